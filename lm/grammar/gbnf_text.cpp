#include "lm/grammar/gbnf_text.h"

#include <algorithm>
#include <limits>

namespace linea {
namespace {

std::string digit_class(char first, char last) {
  if (first == last) return gbnf_literal(std::string(1, first));
  return std::string("[") + first + "-" + last + "]";
}

std::string digits(size_t count) { return count == 0 ? "" : " [0-9]{" + std::to_string(count) + "}"; }

// Numbers of equal length between two texts of digits, both included.
void between(const std::string& low, const std::string& high, const std::string& prefix, std::vector<std::string>& alternatives) {
  size_t common = 0;
  while (common < low.size() && low[common] == high[common]) ++common;
  const std::string start = common > 0 ? prefix + gbnf_literal(low.substr(0, common)) + " " : prefix;
  if (common == low.size()) {
    alternatives.push_back(start);
    return;
  }
  const std::string low_rest = low.substr(common + 1), high_rest = high.substr(common + 1);
  const bool low_is_round = low_rest.find_first_not_of('0') == std::string::npos;
  const bool high_is_full = high_rest.find_first_not_of('9') == std::string::npos;
  char first = low[common], last = high[common];
  if (!low_is_round) {
    between(low_rest, std::string(low_rest.size(), '9'), start + digit_class(first, first) + " ", alternatives);
    ++first;
  }
  const bool split_high = !high_is_full;
  if (split_high) --last;
  if (first <= last) alternatives.push_back(start + digit_class(first, last) + digits(low_rest.size()));
  if (split_high) {
    between(std::string(high_rest.size(), '0'), high_rest, start + digit_class(high[common], high[common]) + " ", alternatives);
  }
}

// From `low` to `high`, both at least 0.
void natural_numbers(uint64_t low, uint64_t high, const std::string& sign, std::vector<std::string>& alternatives) {
  const std::string first = std::to_string(low), last = std::to_string(high);
  for (size_t length = first.size(); length <= last.size(); ++length) {
    const std::string from = length == first.size() ? first : "1" + std::string(length - 1, '0');
    const std::string to = length == last.size() ? last : std::string(length, '9');
    between(from, to, sign, alternatives);
  }
}

// From `low` on without an end: those of its length, and all longer ones of up to 17 digits, which doubles and 64 bits still hold.
void natural_numbers_from(uint64_t low, const std::string& sign, std::vector<std::string>& alternatives) {
  constexpr size_t kMostDigits = 17;
  const std::string first = std::to_string(low);
  between(first, std::string(first.size(), '9'), sign, alternatives);
  if (first.size() >= kMostDigits) return;
  alternatives.push_back(sign + "[1-9] " + gbnf_repeat("[0-9]", static_cast<int64_t>(first.size()), static_cast<int64_t>(kMostDigits - 1)));
}

uint64_t magnitude(int64_t value) { return value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value); }

constexpr const char* kMinus = "\"-\" ";

}  // namespace

std::string gbnf_literal(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': quoted += "\\\""; break;
      case '\\': quoted += "\\\\"; break;
      case '\n': quoted += "\\n"; break;
      case '\r': quoted += "\\r"; break;
      case '\t': quoted += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(c));
          quoted += escape;
        } else {
          quoted += c;
        }
    }
  }
  return quoted + "\"";
}

std::string gbnf_any_of(const std::vector<std::string>& alternatives) {
  if (alternatives.size() == 1) return alternatives[0];
  std::string text;
  for (const std::string& alternative : alternatives) text += (text.empty() ? "(" : " | ") + alternative;
  return text + ")";
}

std::string gbnf_repeat(const std::string& item, int64_t least, int64_t most) {
  if (most == 0) return "\"\"";
  const std::string one = "(" + item + ")";
  if (least == 1 && most == 1) return one;
  if (most < 0) return one + (least == 0 ? "*" : least == 1 ? "+" : "{" + std::to_string(least) + ",}");
  return one + "{" + std::to_string(least) + "," + std::to_string(most) + "}";
}

std::string gbnf_integers(int64_t low, int64_t high) {
  std::vector<std::string> alternatives;
  if (low < 0) natural_numbers(magnitude(std::min<int64_t>(high, -1)), magnitude(low), kMinus, alternatives);
  if (high >= 0) natural_numbers(static_cast<uint64_t>(std::max<int64_t>(low, 0)), static_cast<uint64_t>(high), "", alternatives);
  return gbnf_any_of(alternatives);
}

std::string gbnf_integers_from(int64_t low) {
  std::vector<std::string> alternatives;
  if (low < 0) natural_numbers(1, magnitude(low), kMinus, alternatives);
  natural_numbers_from(static_cast<uint64_t>(std::max<int64_t>(low, 0)), "", alternatives);
  return gbnf_any_of(alternatives);
}

std::string gbnf_integers_to(int64_t high) {
  std::vector<std::string> alternatives;
  if (high >= 0) natural_numbers(0, static_cast<uint64_t>(high), "", alternatives);
  natural_numbers_from(magnitude(std::min<int64_t>(high, -1)), kMinus, alternatives);
  return gbnf_any_of(alternatives);
}

}  // namespace linea
