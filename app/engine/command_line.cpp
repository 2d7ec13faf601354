#include "app/engine/command_line.h"

#include <string_view>

#include "core/text.h"

namespace linea {
namespace {

std::string replaced(std::string_view text, char from, std::string_view to) {
  std::string result;
  for (const char c : text) c == from ? result += to : result += c;
  return result;
}

}  // namespace

std::string shell_quote(const std::string& word) {
  static const std::string kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
  if (!word.empty() && word.find_first_not_of(kSafe) == std::string::npos && word[0] != '-') return word;
  if (for_terminal(word) == word) return "'" + replaced(word, '\'', "'\\''") + "'";
  return "$'" + replaced(for_terminal(replaced(word, '\\', "\\\\")), '\'', "\\'") + "'";
}

}  // namespace linea
