// app/cli/line_input.h: what the user types, with editing and history on a terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace linea::cli {

// One message a call: a line; lines joined by a backslash at their ends; or lines between two of """ alone. Nothing at the end of input.
class LineInput {
 public:
  LineInput();
  std::optional<std::string> read_message(const std::string& prompt);

 private:
  std::optional<std::string> read_line(const std::string& prompt);
  bool on_terminal_;
};

}  // namespace linea::cli
