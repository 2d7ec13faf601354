// tokenizers/pre_tokenizer.h: the "pre_tokenizer" of a tokenizer.json, which cuts text into words that are merged apart.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace linea {

class PreTokenizer {
 public:
  PreTokenizer() = default;
  // `json` null = none. Supported: Split at a literal, Metaspace, Sequence. Throws kModel naming any other.
  PreTokenizer(const Json& json, const std::string& source) { add(json, source); }

  // The words of one stretch of normalized text. at_start: the stretch begins the whole text.
  std::vector<std::string> split(std::string text, bool at_start) const;

 private:
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend { kNever, kFirst, kAlways };
  struct Step {
    bool metaspace = false;
    std::string pattern{};  // the literal, or Metaspace's replacement for a blank
    Behavior behavior = Behavior::kMergedWithNext;
    Prepend prepend = Prepend::kNever;
    bool cuts = true;
  };

  void add(const Json& json, const std::string& source);
  static std::vector<std::string_view> cut(std::string_view text, std::string_view pattern, Behavior behavior);

  std::vector<Step> steps_;
};

// Whether Metaspace adds a blank before the text: "always", "first" or "never", or add_prefix_space in older files.
std::string metaspace_scheme(const Config& config);

}  // namespace linea
