#include "lm/template_text.h"

#include "core/json.h"
#include "core/mapped_file.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

// A text, or a list of named ones, of which "default" is taken.
std::string text_of(const Config& config) {
  const Json& value = config.at("chat_template");
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) config.fail("chat_template", "expected a text or a list of named texts");
  for (const Json& entry : value) {
    const Config named(entry, config.source() + ": chat_template");
    if (named.text("name") == "default") return named.text("template");
  }
  return {};
}

}  // namespace

std::string read_chat_template(const fs::path& folder) {
  constexpr int64_t kMaxBytes = 1 << 20;
  std::error_code ignored;
  if (const fs::path file = folder / "tokenizer_config.json"; fs::exists(file, ignored)) {
    if (const Config config = Config::read(file); config.has("chat_template")) return text_of(config);
  }
  const fs::path file = folder / "chat_template.jinja";
  return fs::exists(file, ignored) ? read_file(file, kMaxBytes, ErrorKind::kModel) : std::string();
}

std::string read_chat_template(const GgufFile& file) {
  const char* const key = "tokenizer.chat_template";
  return file.contains(key) && file.text(key).find('{') != std::string::npos ? file.text(key) : std::string();
}

}  // namespace linea
