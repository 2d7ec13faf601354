// lm/template/chat_template.h: a conversation as the text that a model was trained to read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lm/template/jinja.h"

namespace linea {

enum class Role : uint8_t { kSystem, kUser, kAssistant };
const char* name_of(Role role);                      // "system", "user", "assistant"
std::optional<Role> parse_role(const std::string&);  // of the same names

struct ChatMessage {
  Role role = Role::kUser;
  std::string text;
};

// How an answer of a thinking model begins: kOff leaves it to the model, kOn opens the thought, kFake opens and closes an empty one.
enum class Thinking : uint8_t { kOff, kOn, kFake };

class ChatTemplate {
 public:
  // "world": RWKV World ("User: …", blank line, "Assistant:"), answers end at a blank line. "g1": the same for RWKV-7 G1, whose answers may
  // hold blank lines and thoughts. "chatml". Throws kUsage for another name.
  static ChatTemplate named(const std::string& name, Thinking thinking = Thinking::kOff);
  static const std::vector<std::string>& names();
  // The Jinja template of a model. bos and eos are what it calls bos_token and eos_token. Throws kModel.
  static ChatTemplate jinja(const std::string& text, const std::string& source, const std::string& bos, const std::string& eos);

  // The conversation; with `answer_follows`, up to where the model goes on. Throws kUsage when the template refuses its order of roles.
  std::string render(const std::vector<ChatMessage>& messages, bool answer_follows) const;

  const std::string& name() const { return name_; }
  std::string opening() const;                                      // of an answer, where the template writes it: the mark of a thought
  const std::vector<std::string>& stops() const { return stops_; }  // texts that end an answer
  const std::vector<std::string>& end_pieces() const { return end_pieces_; }  // special tokens that may
  // Line breaks of messages: a blank line would end the turn, so it becomes a single break.
  bool joins_paragraphs() const { return joins_paragraphs_; }
  // What the model sees of a message that the user typed or read from a file.
  std::string cleaned(const std::string& text) const;

 private:
  ChatTemplate() = default;
  std::string render_named(const std::vector<ChatMessage>& messages, bool answer_follows) const;
  void learn_stops();

  enum class Style : uint8_t { kTurns, kChatMl, kJinja };
  std::string name_;
  Style style_ = Style::kTurns;
  Thinking thinking_ = Thinking::kOff;
  std::vector<std::string> stops_, end_pieces_;
  bool joins_paragraphs_ = false;
  std::shared_ptr<const JinjaTemplate> jinja_;
  std::string bos_, eos_;
};

}  // namespace linea
