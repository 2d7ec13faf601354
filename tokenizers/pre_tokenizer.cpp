#include "tokenizers/pre_tokenizer.h"

#include <algorithm>
#include <map>

#include "tokenizers/normalizer.h"

namespace linea {

std::string metaspace_scheme(const Config& config) {
  return config.text("prepend_scheme", config.boolean("add_prefix_space", true) ? "always" : "never");
}

void PreTokenizer::add(const Json& json, const std::string& source) {
  if (json.is_null()) return;
  static const std::map<std::string, Behavior> kBehaviors = {{"Removed", Behavior::kRemoved},
                                                             {"Isolated", Behavior::kIsolated},
                                                             {"MergedWithPrevious", Behavior::kMergedWithPrevious},
                                                             {"MergedWithNext", Behavior::kMergedWithNext},
                                                             {"Contiguous", Behavior::kContiguous}};
  static const std::map<std::string, Prepend> kSchemes = {
      {"never", Prepend::kNever}, {"first", Prepend::kFirst}, {"always", Prepend::kAlways}};
  const Config config(json, source + ": pre_tokenizer");
  const std::string type = config.text("type");
  if (type == "Sequence") {
    for (const Json& part : config.at("pretokenizers")) add(part, source);
  } else if (type == "Split") {
    const auto behavior = kBehaviors.find(config.text("behavior"));
    if (behavior == kBehaviors.end()) config.fail("behavior", "unknown behavior \"" + config.text("behavior") + "\"");
    if (config.boolean("invert", false)) config.fail("invert", "unsupported: true");
    steps_.push_back({.metaspace = false, .pattern = literal_pattern(config, "pattern"), .behavior = behavior->second});
  } else if (type == "Metaspace") {
    const std::string name = metaspace_scheme(config), replacement = config.text("replacement");
    const auto scheme = kSchemes.find(name);
    if (scheme == kSchemes.end()) config.fail("prepend_scheme", "unknown scheme \"" + name + "\"");
    if (replacement.empty()) config.fail("replacement", "expected a character, found none");
    steps_.push_back({.metaspace = true, .pattern = replacement, .prepend = scheme->second, .cuts = config.boolean("split", true)});
  } else {
    config.fail("type", "unsupported pre-tokenizer \"" + type + "\"");
  }
}

std::vector<std::string> PreTokenizer::split(std::string text, bool at_start) const {
  std::vector<std::string> words;
  words.push_back(std::move(text));
  for (const Step& step : steps_) {
    std::vector<std::string> parts;
    for (size_t i = 0; i < words.size(); ++i) {
      std::string& word = words[i];
      if (step.metaspace) {
        word = replace_all(word, " ", step.pattern);
        const bool prepend = step.prepend == Prepend::kAlways || (step.prepend == Prepend::kFirst && at_start && i == 0);
        if (prepend && !word.starts_with(step.pattern)) word = step.pattern + word;
      }
      if (!step.cuts || word.find(step.pattern) == std::string::npos) {
        parts.push_back(std::move(word));
      } else {
        for (const std::string_view part : cut(word, step.pattern, step.behavior)) parts.emplace_back(part);
      }
    }
    words = std::move(parts);
  }
  return words;
}

std::vector<std::string_view> PreTokenizer::cut(std::string_view text, std::string_view pattern, Behavior behavior) {
  // First every stretch by itself, alternating between matches and the text around them; then joined as the behavior says.
  struct Stretch {
    size_t begin, end;
    bool match;
  };
  std::vector<Stretch> all;
  for (size_t done = 0; done < text.size();) {
    const size_t found = std::min(text.find(pattern, done), text.size());
    if (found > done) all.push_back({done, found, false});
    if (found < text.size()) all.push_back({found, found + pattern.size(), true});
    done = found + (found < text.size() ? pattern.size() : 0);
  }
  std::vector<Stretch> joined;
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
