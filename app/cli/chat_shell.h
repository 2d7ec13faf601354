// app/cli/chat_shell.h: a conversation in the terminal: answers as they come, and the commands that begin with a slash.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/engine/chat_model.h"

namespace linea::cli {

struct ChatSettings {
  GenerationOptions generation{};
  std::optional<Grammar> grammar{};
  std::string state_file{};  // where the conversation is kept; empty = nowhere
  bool twice = false;        // what the user says is read two times
  bool json = false, quiet = false;
};

class ChatShell {
 public:
  ChatShell(ChatModel& model, ChatSettings settings);

  // The kept conversation, where the file exists.
  void restore();
  void set_system(const std::string& text) { session_.conversation().set_system(text); }
  void read_file(const std::string& path);
  // Says it and prints the answer. False when the answer was cancelled.
  bool exchange(const std::string& message);
  // Reads messages and commands until the end of input or /quit.
  void interact();

 private:
  struct Command;
  static const std::vector<Command>& commands();
  void run_command(const std::string& line);
  void print_answer(bool again);
  void print_json(const ChatSession::Answer& answer) const;
  void print_stats() const;
  void print_conversation() const;
  void print_help() const;
  void save_state();
  size_t message_number(const std::string& text) const;

  void command_save(const std::string& argument);
  void command_load(const std::string& argument);
  void command_branch(const std::string& argument);
  void command_edit(const std::string& argument);
  void command_system(const std::string& argument);

  ChatModel& model_;
  ChatSettings settings_;
  ChatSession session_;
  std::shared_ptr<GrammarMatcher> matcher_;
  std::optional<ChatSession::Answer> last_;
  uint64_t answers_ = 0;
  bool done_ = false;
};

}  // namespace linea::cli
