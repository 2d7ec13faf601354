#include "tokenizers/pre_tokenizer.h"

#include <algorithm>
#include <map>

#include "tokenizers/byte_level.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/unicode/category.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

// What GPT-2 cuts text with before it merges, and ByteLevel in every file.
constexpr std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

const CategoryMask kNumbers = *categories_named("N"), kPunctuationMarks = *categories_named("P");

bool is_punctuation(char32_t c) {
  const bool ascii = (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
  return ascii || (category_of(c) & kPunctuationMarks) != 0;
}

}  // namespace

std::string metaspace_scheme(const Config& config) {
  return config.text("prepend_scheme", config.boolean("add_prefix_space", true) ? "always" : "never");
}

PreTokenizer::Behavior PreTokenizer::behavior_of(const Config& config, const std::string& name) {
  static const std::map<std::string, Behavior> kBehaviors = {{"Removed", Behavior::kRemoved},
                                                             {"Isolated", Behavior::kIsolated},
                                                             {"MergedWithPrevious", Behavior::kMergedWithPrevious},
                                                             {"MergedWithNext", Behavior::kMergedWithNext},
                                                             {"Contiguous", Behavior::kContiguous}};
  const auto found = kBehaviors.find(name);
  if (found == kBehaviors.end()) config.fail("behavior", "unknown behavior \"" + name + "\"");
  return found->second;
}

void PreTokenizer::add(const Json& json, const std::string& source) {
  if (json.is_null()) return;
  static const std::map<std::string, Prepend> kSchemes = {
      {"never", Prepend::kNever}, {"first", Prepend::kFirst}, {"always", Prepend::kAlways}};
  const Config config(json, source + ": pre_tokenizer");
  const std::string type = config.text("type");
  if (type == "Sequence") {
    for (const Json& part : config.at("pretokenizers")) add(part, source);
  } else if (type == "Split") {
    add_split(config);
  } else if (type == "Metaspace") {
    const std::string name = metaspace_scheme(config), replacement = config.text("replacement");
    const auto scheme = kSchemes.find(name);
    if (scheme == kSchemes.end()) config.fail("prepend_scheme", "unknown scheme \"" + name + "\"");
    if (replacement.empty()) config.fail("replacement", "expected a character, found none");
    steps_.push_back({.kind = Kind::kMetaspace, .pattern = replacement, .prepend = scheme->second, .cuts = config.boolean("split", true)});
  } else if (type == "ByteLevel") {
    Step step{.kind = Kind::kByteLevel, .behavior = Behavior::kIsolated};
    if (config.boolean("use_regex", true)) step.regex = std::make_shared<const Regex>(kGpt2Pattern, config.source());
    if (config.boolean("add_prefix_space", true)) step.prepend = Prepend::kAlways;
    steps_.push_back(std::move(step));
  } else if (type == "Digits") {
    const bool each = config.boolean("individual_digits", false);
    steps_.push_back({.kind = Kind::kDigits, .behavior = each ? Behavior::kIsolated : Behavior::kContiguous});
  } else if (type == "Punctuation") {
    steps_.push_back({.kind = Kind::kPunctuation, .behavior = behavior_of(config, config.text("behavior", "Isolated"))});
  } else {
    config.fail("type", "unsupported pre-tokenizer \"" + type + "\"");
  }
}

void PreTokenizer::add_split(const Config& config) {
  Step step{.kind = Kind::kLiteral, .behavior = behavior_of(config, config.text("behavior")), .invert = config.boolean("invert", false)};
  const Json& pattern = config.at("pattern");
  if (pattern.is_object() && pattern.contains("Regex") && pattern["Regex"].is_string()) {
    step.kind = Kind::kRegex;
    step.regex = std::make_shared<const Regex>(pattern["Regex"].get<std::string>(), config.source());
  } else {
    step.pattern = literal_pattern(config, "pattern");
  }
  steps_.push_back(std::move(step));
}

std::vector<std::string> PreTokenizer::split(std::string text, bool at_start) const {
  std::vector<std::string> words;
  words.push_back(std::move(text));
  for (const Step& step : steps_) {
    std::vector<std::string> parts;
    for (size_t i = 0; i < words.size(); ++i) {
      const std::string word = prepared(step, std::move(words[i]), at_start && i == 0);
      for (const std::string_view part : cut(step, word)) {
        parts.push_back(step.kind == Kind::kByteLevel ? to_byte_level(part) : std::string(part));
      }
    }
    words = std::move(parts);
  }
  return words;
}

std::string PreTokenizer::prepared(const Step& step, std::string word, bool first) {
  if (step.kind == Kind::kMetaspace) word = replace_all(word, " ", step.pattern);
  const std::string& blank = step.kind == Kind::kMetaspace ? step.pattern : " ";
  const bool prepend = step.prepend == Prepend::kAlways || (step.prepend == Prepend::kFirst && first);
  return prepend && !word.starts_with(blank) ? blank + word : word;
}

// The match that begins exactly at `begin`: its end, or `begin` when there is none.
size_t PreTokenizer::match_at(const Step& step, std::string_view text, size_t begin) {
  size_t next = begin;
  switch (step.kind) {
    case Kind::kRegex:
    case Kind::kByteLevel: next = step.regex->match(text, begin); return next == Regex::kNone ? begin : next;
    case Kind::kDigits: return category_of(next_code_point(text, next)) & kNumbers ? next : begin;
    case Kind::kPunctuation: return is_punctuation(next_code_point(text, next)) ? next : begin;
    case Kind::kLiteral:
    case Kind::kMetaspace: return text.substr(begin).starts_with(step.pattern) ? begin + step.pattern.size() : begin;
  }
  return begin;
}

// Every match by itself, and the text between them.
std::vector<PreTokenizer::Stretch> PreTokenizer::stretches(const Step& step, std::string_view text) {
  std::vector<Stretch> all;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = match_at(step, text, at);
    if (end == at) {
      at += utf8_length(text[at]);
      continue;
    }
    if (at > done) all.push_back({done, at, step.invert});
    all.push_back({at, end, !step.invert});
    done = at = end;
  }
  if (done < text.size()) all.push_back({done, text.size(), step.invert});
  return all;
}

// The stretches, joined as the behavior says.
std::vector<std::string_view> PreTokenizer::cut(const Step& step, std::string_view text) {
  if (!step.cuts || (step.kind == Kind::kByteLevel && !step.regex)) return {text};
  std::vector<Stretch> all = stretches(step, text);
  std::vector<Stretch> joined;
  const Behavior behavior = step.behavior;
  const bool backwards = behavior == Behavior::kMergedWithNext;
  if (backwards) std::reverse(all.begin(), all.end());
  bool previous_match = false;
  for (const Stretch& s : all) {
    const bool join = !joined.empty() && (behavior == Behavior::kContiguous                        ? s.match == previous_match
                                          : behavior == Behavior::kMergedWithPrevious || backwards ? s.match && !previous_match
                                                                                                   : false);
    if (join) {
      (backwards ? joined.back().begin : joined.back().end) = backwards ? s.begin : s.end;
    } else if (!(s.match && behavior == Behavior::kRemoved)) {
      joined.push_back(s);
    }
    previous_match = s.match;
  }
  if (backwards) std::reverse(joined.begin(), joined.end());
  std::vector<std::string_view> parts;
  for (const Stretch& s : joined) parts.push_back(text.substr(s.begin, s.end - s.begin));
  return parts;
}

}  // namespace linea
