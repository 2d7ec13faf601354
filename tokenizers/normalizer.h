// tokenizers/normalizer.h: the "normalizer" of a tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace linea {

class Normalizer {
 public:
  Normalizer() = default;
  // `json` null = none. Supported: Replace of a literal, Prepend, Lowercase, NFC, NFD, Sequence. Throws kModel naming any other.
  Normalizer(const Json& json, const std::string& source) { add(json, source); }

  std::string apply(std::string_view text) const;

 private:
  enum class Kind { kReplace, kPrepend, kLowercase, kNfc, kNfd };
  struct Step {
    Kind kind;
    std::string pattern, content;
  };

  void add(const Json& json, const std::string& source);

  std::vector<Step> steps_;
};

// Every occurrence of `pattern`, from left to right, replaced by `content`.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);
// {"String": "x"} → x; anything else, a regular expression for example, is kModel.
std::string literal_pattern(const Config& config, const std::string& key);

}  // namespace linea
