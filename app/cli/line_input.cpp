#include "app/cli/line_input.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>

#ifdef LINEA_HAS_EDITLINE
#include <editline/readline.h>
#endif

namespace linea::cli {
namespace {

constexpr const char* kBlock = "\"\"\"";

}  // namespace

LineInput::LineInput() : on_terminal_(isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {}

std::optional<std::string> LineInput::read_line(const std::string& prompt) {
#ifdef LINEA_HAS_EDITLINE
  if (on_terminal_) {
    const std::unique_ptr<char, decltype(&std::free)> line(readline(prompt.c_str()), &std::free);
    if (!line) return std::nullopt;
    if (*line != '\0') add_history(line.get());
    return std::string(line.get());
  }
#endif
  if (on_terminal_) {
    std::fputs(prompt.c_str(), stdout);
    std::fflush(stdout);
  }
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::optional<std::string> LineInput::read_message(const std::string& prompt) {
  std::optional<std::string> line = read_line(prompt);
  if (!line) return std::nullopt;
  if (*line == kBlock) {
    std::string block;
    while ((line = read_line("… ")) && *line != kBlock) block += *line + "\n";
    return block;
  }
  std::string message = *line;
  while (message.ends_with('\\')) {
    message.back() = '\n';
    if (!(line = read_line("… "))) break;
    message += *line;
  }
  return message;
}

}  // namespace linea::cli
