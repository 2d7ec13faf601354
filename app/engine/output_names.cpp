#include "app/engine/output_names.h"

namespace linea {

namespace fs = std::filesystem;

std::string slug_of(const std::string& prompt, size_t limit) {
  std::string slug;
  for (const char c : prompt) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool capital = c >= 'A' && c <= 'Z';
    if (letter || capital) {
      slug += capital ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!slug.empty() && slug.back() != '-') {
      slug += '-';
    }
    if (slug.size() >= limit) break;
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
  return slug.empty() ? "picture" : slug;
}

fs::path output_path(const std::string& output, const std::string& prompt, int index, int count, uint64_t seed) {
  std::error_code ignored;
  if (output.empty() || output.back() == '/' || fs::is_directory(output, ignored)) {
    return fs::path(output) / (slug_of(prompt) + "-" + std::to_string(seed) + ".png");
  }
  fs::path path = output;
  if (count > 1) {
    const std::string digits = std::to_string(count), number = std::to_string(index + 1);
    path.replace_filename(path.stem().string() + "-" + std::string(digits.size() - number.size(), '0') + number +
                          path.extension().string());
  }
  return path;
}

}  // namespace linea
