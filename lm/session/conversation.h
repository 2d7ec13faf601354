// lm/session/conversation.h: a conversation as a tree of messages. A value.
//
// Messages are never changed: editing one, or answering again, begins a new branch, and the old one stays. The current place is the end of
// one path from the root; every move of it can be undone and redone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "lm/template/chat_template.h"

namespace linea {

// A file that a user message begins with. It is read from the disk whenever the model has to read it, in pieces.
struct Document {
  std::string path;
  std::string hash;  // of its content, 16 hexadecimal digits
  int64_t bytes = 0;
  bool twice = false;
  bool operator==(const Document&) const = default;
};

struct MessageNode {
  int parent = -1;
  Role role = Role::kUser;
  std::string text{};
  bool twice = false;                 // the text is given to the model two times
  std::vector<Document> documents{};  // before the text
  std::vector<int32_t> answer_ids{};  // of a generated answer: the tokens that the model has read
};

class Conversation {
 public:
  static constexpr int kRoot = -1;  // the place before the first message

  const std::vector<MessageNode>& nodes() const { return nodes_; }
  int current() const { return history_.empty() ? kRoot : history_[position_]; }
  std::vector<int> path(int node) const;  // from the root
  std::vector<int> path() const { return path(current()); }
  std::vector<int> children(int node) const;

  // Adds a message at the current place and moves there.
  int append(MessageNode message);
  // Moves to any message, or kRoot: what is said next branches off there. Throws kUsage for a number that is no message.
  void move_to(int node);
  // A branch in which message `index` of the current path (0 = the first) has another text. `keep_following` repeats what came after it.
  void edit(size_t index, const std::string& text, bool keep_following);
  // A branch that begins with this system prompt, or with none when empty; what follows is kept.
  void set_system(const std::string& text);
  bool undo();  // false when there is nothing to undo
  bool redo();

  Json to_json() const;
  // Throws kBadFile naming `source` for anything that to_json cannot have written.
  static Conversation from_json(const Json& json, const std::string& source);

 private:
  void record(int node);
  // Repeats messages after `parent`, sharing those that are there already, and moves to the last.
  void follow(int parent, const std::vector<MessageNode>& messages);

  std::vector<MessageNode> nodes_;
  std::vector<int> history_;  // places, the latest last
  size_t position_ = 0;       // in history_
};

}  // namespace linea
