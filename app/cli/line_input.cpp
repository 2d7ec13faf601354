#include "app/cli/line_input.h"

#include <langinfo.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string_view>

#ifdef LINEA_HAS_EDITLINE
#include <editline/readline.h>
#endif

namespace linea::cli {
namespace {

constexpr const char* kBlock = "\"\"\"";
constexpr const char* kMore = "... ";

#ifdef LINEA_HAS_EDITLINE
constexpr int kControlC = 3;
bool interrupted = false;  // by Ctrl-C, in a line that had something in it or not
bool had_text = false;

int on_control_c(int, int) {
  interrupted = true;
  had_text = rl_end > 0;
  rl_done = 1;
  return 0;
}

// While a line is edited, Ctrl-C is a key and no signal.
class ControlCIsAKey {
 public:
  ControlCIsAKey() : changed_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!changed_) return;
    termios now = before_;
    now.c_cc[VINTR] = _POSIX_VDISABLE;
    tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }
  ~ControlCIsAKey() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  ControlCIsAKey(const ControlCIsAKey&) = delete;
  ControlCIsAKey& operator=(const ControlCIsAKey&) = delete;

 private:
  termios before_{};
  bool changed_;
};
#endif

}  // namespace

LineInput::LineInput() : on_terminal_(isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {
#ifdef LINEA_HAS_EDITLINE
  if (!on_terminal_) return;
  // libedit takes what is typed in the locale's encoding, and Linea speaks UTF-8.
  if (!std::setlocale(LC_CTYPE, "") || std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
  rl_initialize();
  rl_add_defun("drop-line", on_control_c, kControlC);
#endif
}

LineInput::End LineInput::read_edited_line(const std::string& prompt, std::string& line) {
#ifdef LINEA_HAS_EDITLINE
  interrupted = false;
  const ControlCIsAKey key;
  const std::unique_ptr<char, decltype(&std::free)> typed(readline(prompt.c_str()), &std::free);
  if (interrupted) {
    rl_done = 0;
    std::fputs("^C\n", stdout);
    if (dropped_before_ && !had_text) return End::kInput;
    if (!had_text) std::fputs("(Ctrl-C again, or Ctrl-D, ends the chat)\n", stdout);
    dropped_before_ = true;
    return End::kDropped;
  }
  dropped_before_ = false;
  if (!typed) return End::kInput;
  if (*typed != '\0') add_history(typed.get());
  line = typed.get();
  return End::kLine;
#else
  std::fputs(prompt.c_str(), stdout);
  std::fflush(stdout);
  return std::getline(std::cin, line) ? End::kLine : End::kInput;
#endif
}

LineInput::End LineInput::read_line(const std::string& prompt, std::string& line) {
  if (on_terminal_) return read_edited_line(prompt, line);
  if (!std::getline(std::cin, line)) return End::kInput;
  if (line.ends_with('\r')) line.pop_back();
  return End::kLine;
}

LineInput::End LineInput::read_lines(const std::string& prompt, std::string& message) {
  std::string line;
  End end = read_line(prompt, line);
  if (end != End::kLine) return end;
  if (line == kBlock) {
    while ((end = read_line(kMore, line)) == End::kLine && line != kBlock) message += line + "\n";
    return end == End::kDropped ? end : End::kLine;
  }
  message = line;
  while (message.ends_with('\\')) {
    message.back() = '\n';
    line.clear();
    if (end = read_line(kMore, line); end != End::kLine) break;
    message += line;
  }
  return end == End::kDropped ? end : End::kLine;
}

std::optional<std::string> LineInput::read_message(const std::string& prompt) {
  for (;;) {
    std::string message;
    const End end = read_lines(prompt, message);
    if (end == End::kLine) return message;
    if (end == End::kInput) return std::nullopt;
  }
}

}  // namespace linea::cli
