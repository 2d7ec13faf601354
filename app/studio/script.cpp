#include "app/studio/script.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace linea::studio {
namespace {

struct Arity {
  size_t least, most;
};

const std::map<std::string, Arity>& commands() {
  static const std::map<std::string, Arity> kCommands = {
      {"click", {1, 1}},  {"double-click", {1, 1}}, {"right-click", {1, 1}}, {"type", {1, 1}},  {"key", {1, 1}},
      {"drag", {2, 3}},   {"wheel", {2, 2}},        {"move", {1, 1}},        {"drop", {1, 50}}, {"wait", {1, 3}},
      {"expect", {1, 3}}, {"screenshot", {1, 1}},   {"resize", {2, 2}},      {"scale", {1, 1}}, {"theme", {1, 1}},
      {"view", {1, 1}},   {"monkey", {2, 2}},       {"report", {1, 1}},      {"quit", {0, 0}},  {"dump", {0, 0}}};
  return kCommands;
}

// Words and quoted texts of one line; \" and \n inside quotes.
std::vector<std::string> split(const std::string& line, const std::string& place) {
  std::vector<std::string> words;
  for (size_t i = 0; i < line.size();) {
    if (line[i] == ' ' || line[i] == '\t' || line[i] == '\r') {
      ++i;
      continue;
    }
    if (line[i] == '#' && (i + 1 == line.size() || line[i + 1] == ' ')) break;
    std::string word;
    if (line[i] == '"') {
      for (++i; i < line.size() && line[i] != '"'; ++i) {
        if (line[i] == '\\' && i + 1 < line.size()) {
          ++i;
          word += line[i] == 'n' ? '\n' : line[i];
        } else {
          word += line[i];
        }
      }
      if (i++ >= line.size()) throw Error(ErrorKind::kUsage, place + ": a quote is not closed");
    } else {
      while (i < line.size() && line[i] != ' ' && line[i] != '\t' && line[i] != '\r') word += line[i++];
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

std::vector<ScriptCommand> parse_script(const std::string& text, const std::string& source) {
  std::vector<ScriptCommand> script;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string place = source + ": line " + std::to_string(++number);
    std::vector<std::string> words = split(text.substr(at, end - at), place);
    at = end + 1;
    if (words.empty()) continue;
    ScriptCommand command{.line = number, .name = words[0], .words = {words.begin() + 1, words.end()}};
    const auto known = commands().find(command.name);
    if (known == commands().end()) throw Error(ErrorKind::kUsage, place + ": unknown command '" + command.name + "'");
    if (command.words.size() < known->second.least || command.words.size() > known->second.most)
      throw Error(ErrorKind::kUsage, place + ": '" + command.name + "' has " + std::to_string(command.words.size()) + " arguments");
    if (command.name == "key") parse_chord(command.words[0]);
    script.push_back(std::move(command));
  }
  return script;
}

KeyChord parse_chord(const std::string& text) {
  static const std::map<std::string, int> kKeys = {
      {"Enter", 257}, {"Esc", 256}, {"Tab", 258},    {"Space", 32},      {"Up", 265},     {"Down", 264},     {"Left", 263}, {"Right", 262},
      {"Home", 268},  {"End", 269}, {"Delete", 261}, {"Backspace", 259}, {"PageUp", 266}, {"PageDown", 267}, {",", 44},     {"/", 47}};
  static const std::map<std::string, int> kModifiers = {{"Shift", 1}, {"Ctrl", 2}, {"Alt", 4}};
  KeyChord chord;
  std::string rest = text;
  for (size_t plus = rest.find('+'); plus != std::string::npos && plus + 1 < rest.size(); plus = rest.find('+')) {
    const auto modifier = kModifiers.find(rest.substr(0, plus));
    if (modifier == kModifiers.end()) throw Error(ErrorKind::kUsage, "unknown key '" + text + "'");
    chord.modifiers |= modifier->second;
    rest.erase(0, plus + 1);
  }
  if (const auto named = kKeys.find(rest); named != kKeys.end()) {
    chord.key = named->second;
  } else if (rest.size() == 1 && ((rest[0] >= 'A' && rest[0] <= 'Z') || (rest[0] >= '0' && rest[0] <= '9'))) {
    chord.key = static_cast<unsigned char>(rest[0]);
  } else if (rest.size() >= 2 && rest[0] == 'F' && rest.find_first_not_of("0123456789", 1) == std::string::npos && rest.size() <= 3) {
    chord.key = 289 + std::stoi(rest.substr(1));
  } else {
    throw Error(ErrorKind::kUsage, "unknown key '" + text + "'");
  }
  return chord;
}

}  // namespace linea::studio
