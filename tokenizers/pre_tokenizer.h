// tokenizers/pre_tokenizer.h: the "pre_tokenizer" of a tokenizer.json, which cuts text into words that are merged apart.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "tokenizers/regex.h"

namespace linea {

class PreTokenizer {
 public:
  PreTokenizer() = default;
  // `json` null = none. Supported: Split at a literal or a regular expression, Metaspace, ByteLevel, Digits, Punctuation, Sequence. Throws
  // kModel naming any other.
  PreTokenizer(const Json& json, const std::string& source) { add(json, source); }

  // The words of one stretch of normalized text. at_start: the stretch begins the whole text.
  std::vector<std::string> split(std::string text, bool at_start) const;

 private:
  enum class Kind { kLiteral, kRegex, kMetaspace, kByteLevel, kDigits, kPunctuation };
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend { kNever, kFirst, kAlways };
  struct Step {
    Kind kind;
    std::string pattern{};                 // the literal, or Metaspace's replacement for a blank
    std::shared_ptr<const Regex> regex{};  // of kRegex, and of kByteLevel where it cuts
    Behavior behavior = Behavior::kMergedWithNext;
    Prepend prepend = Prepend::kNever;
    bool cuts = true, invert = false;  // inverted: what does not match counts as the match
  };
  struct Stretch {
    size_t begin, end;
    bool match;
  };

  static Behavior behavior_of(const Config& config, const std::string& name);
  void add(const Json& json, const std::string& source);
  void add_split(const Config& config);
  static std::string prepared(const Step& step, std::string word, bool first);
  static std::vector<Stretch> stretches(const Step& step, std::string_view text);
  static size_t match_at(const Step& step, std::string_view text, size_t begin);
  static std::vector<std::string_view> cut(const Step& step, std::string_view text);

  std::vector<Step> steps_;
};

// Whether Metaspace adds a blank before the text: "always", "first" or "never", or add_prefix_space in older files.
std::string metaspace_scheme(const Config& config);

}  // namespace linea
