#include "tokenizers/normalizer.h"

#include <map>

#include "tokenizers/unicode/case.h"
#include "tokenizers/unicode/normal_forms.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

// char::to_lowercase for each character: no context, so no final sigma.
std::string lower_each(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    append_utf8(out, lower_code_point(c));
    if (c == 0x130) append_utf8(out, 0x307);  // İ is i with a combining dot
  }
  return out;
}

}  // namespace

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (size_t found; (found = text.find(pattern, done)) != std::string_view::npos; done = found + pattern.size())
    out.append(text.substr(done, found - done)).append(content);
  return out.append(text.substr(done));
}

std::string literal_pattern(const Config& config, const std::string& key) {
  const Json& pattern = config.at(key);
  if (pattern.is_object() && pattern.contains("String") && pattern["String"].is_string()) {
    std::string text = pattern["String"].get<std::string>();
    if (!text.empty()) return text;
  }
  config.fail(key, "unsupported pattern " + pattern.dump() + ": only {\"String\": …} is");
}

void Normalizer::add(const Json& json, const std::string& source) {
  if (json.is_null()) return;
  const Config config(json, source + ": normalizer");
  const std::string type = config.text("type");
  static const std::map<std::string, Kind> kPlain = {{"Lowercase", Kind::kLowercase}, {"NFC", Kind::kNfc}, {"NFD", Kind::kNfd}};
  if (type == "Sequence") {
    for (const Json& part : config.at("normalizers")) add(part, source);
  } else if (type == "Replace") {
    steps_.push_back({Kind::kReplace, literal_pattern(config, "pattern"), config.text("content")});
  } else if (type == "Prepend") {
    steps_.push_back({Kind::kPrepend, "", config.text("prepend")});
  } else if (const auto plain = kPlain.find(type); plain != kPlain.end()) {
    steps_.push_back({plain->second, "", ""});
  } else {
    config.fail("type", "unsupported normalizer \"" + type + "\"");
  }
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Kind::kReplace: result = replace_all(result, step.pattern, step.content); break;
      case Kind::kPrepend: result = result.empty() ? result : step.content + result; break;
      case Kind::kLowercase: result = lower_each(result); break;
      case Kind::kNfc: result = canonical_composition(result); break;
      case Kind::kNfd: result = canonical_decomposition(result); break;
    }
  }
  return result;
}

}  // namespace linea
