// app/cli/line_input.h: what the user types, with editing and history on a terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace linea::cli {

// One message a call: a line; lines joined by a backslash at their ends; or lines between two of """ alone. Nothing at the end of input.
// Where lines are edited, Ctrl-C drops what is being written; a second one on an empty line is the end of input, as Ctrl-D is.
class LineInput {
 public:
  LineInput();
  std::optional<std::string> read_message(const std::string& prompt);

 private:
  enum class End : unsigned char { kLine, kInput, kDropped };
  End read_line(const std::string& prompt, std::string& line);
  End read_edited_line(const std::string& prompt, std::string& line);
  End read_lines(const std::string& prompt, std::string& message);

  bool on_terminal_;
  bool dropped_before_ = false;  // the last thing that was typed was Ctrl-C
};

}  // namespace linea::cli
