#include "app/studio/picture_import.h"

#include <array>
#include <chrono>
#include <fstream>
#include <tuple>

#include "app/studio/picture_form.h"
#include "core/error.h"
#include "core/image.h"

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMost = 100000;

// From the head of a PNG; other formats are decoded.
std::pair<int64_t, int64_t> size_of(const fs::path& path, bool png) {
  if (!png) {
    const Image image = read_image(path);
    return {image.width, image.height};
  }
  std::array<unsigned char, 24> head{};
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(head.data()), head.size());
  const auto number = [&](size_t at) {
    return int64_t{head[at]} << 24 | int64_t{head[at + 1]} << 16 | int64_t{head[at + 2]} << 8 | int64_t{head[at + 3]};
  };
  return {number(16), number(20)};
}

double time_of(const fs::path& path) {
  const auto age = fs::file_time_type::clock::now() - fs::last_write_time(path);
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch() - age).count();
}

}  // namespace

bool is_picture_name(const fs::path& path) {
  try {
    image_format_of(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool holds_pictures(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (is_picture_name(it->path())) return true;
  }
  return false;
}

std::optional<PictureRecord> describe_picture(const fs::path& path) {
  try {
    const bool png = image_format_of_content(path) == ImageFormat::kPng;
    PictureRecord record;
    record.path = fs::absolute(path).lexically_normal();
    record.origin = "import";
    std::tie(record.width, record.height) = size_of(path, png);
    record.bytes = static_cast<int64_t>(fs::file_size(path));
    record.created = time_of(path);
    if (record.width <= 0 || record.height <= 0 || record.width > kMaxImageSide || record.height > kMaxImageSide) return std::nullopt;
    if (!png) return record;
    const ImageText text = read_png_text(path);
    if (const auto restored = restore_form(text, {})) {
      record.prompt = restored->form.prompt, record.negative = restored->form.negative;
      record.model = restored->form.model, record.seed = restored->form.seed;
      record.settings = to_json(to_settings(restored->form));
    }
    return record;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::vector<PictureRecord> find_pictures(const fs::path& folder) {
  if (std::error_code error; !fs::is_directory(folder, error)) throw Error(ErrorKind::kBadFile, folder.string() + " is no folder");
  std::vector<PictureRecord> found;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator() && found.size() < kMost; it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string().starts_with(".")) {
      if (it->is_directory(ignored)) it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file(ignored) || !is_picture_name(it->path())) continue;
    if (auto record = describe_picture(it->path())) found.push_back(std::move(*record));
  }
  return found;
}

}  // namespace linea::studio
