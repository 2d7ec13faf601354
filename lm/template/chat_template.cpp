#include "lm/template/chat_template.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

constexpr const char* kBlanks = " \t\r\n";

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string::npos ? std::string() : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

}  // namespace

const char* name_of(Role role) {
  switch (role) {
    case Role::kSystem: return "system";
    case Role::kUser: return "user";
    case Role::kAssistant: return "assistant";
  }
  return "";
}

std::optional<Role> parse_role(const std::string& name) {
  for (const Role role : {Role::kSystem, Role::kUser, Role::kAssistant}) {
    if (name == name_of(role)) return role;
  }
  return std::nullopt;
}

const std::vector<std::string>& ChatTemplate::names() {
  static const std::vector<std::string> kNames = {"world", "g1", "chatml"};
  return kNames;
}

ChatTemplate ChatTemplate::named(const std::string& name, Thinking thinking) {
  ChatTemplate t;
  t.name_ = name;
  t.thinking_ = thinking;
  if (name == "world") {
    t.stops_ = {"\n\n"};
    t.joins_paragraphs_ = true;
  } else if (name == "g1") {
    t.stops_ = {"\n\nUser:", "\n\nSystem:"};
    t.joins_paragraphs_ = true;
  } else if (name == "chatml") {
    t.style_ = Style::kChatMl;
    t.stops_ = {"<|im_end|>"};
    t.end_pieces_ = {"<|im_end|>"};
  } else {
    throw Error(ErrorKind::kUsage, "chat template: unknown name '" + name + "'", "one of world, g1, chatml, or auto");
  }
  if (thinking != Thinking::kOff && name != "g1")
    throw Error(ErrorKind::kUsage, "chat template " + name + " has no form for thinking", "g1 has");
  return t;
}

ChatTemplate ChatTemplate::jinja(const std::string& text, const std::string& source, const std::string& bos, const std::string& eos) {
  ChatTemplate t;
  t.name_ = "jinja";
  t.style_ = Style::kJinja;
  t.jinja_ = std::make_shared<const JinjaTemplate>(text, source);
  t.bos_ = bos;
  t.eos_ = eos;
  t.learn_stops();
  return t;
}

// What stands between an answer and the next user message ends answers: the special token at its beginning, or all of it but the blanks.
void ChatTemplate::learn_stops() {
  const std::string answer = "0answer0", next = "0next0";
  std::string text;
  try {
    text = render({{Role::kUser, "0first0"}, {Role::kAssistant, answer}, {Role::kUser, next}}, false);
  } catch (const Error&) {
    return;  // templates for one exchange only
  }
  const size_t begin = text.find(answer), end = text.find(next);
  if (begin == std::string::npos || end == std::string::npos || end < begin) return;
  std::string separator = text.substr(begin + answer.size(), end - begin - answer.size());
  joins_paragraphs_ = separator.starts_with("\n\n");
  while (!separator.empty() && std::string_view(kBlanks).find(separator.back()) != std::string_view::npos) separator.pop_back();
  if (separator.find_first_not_of(kBlanks) == std::string::npos) return;
  if (const size_t close = separator.find('>'); separator.starts_with("<") && close != std::string::npos) {
    end_pieces_.push_back(separator.substr(0, close + 1));
    stops_.push_back(separator.substr(0, close + 1));
  } else {
    stops_.push_back(separator);
  }
}

std::string ChatTemplate::cleaned(const std::string& text) const {
  std::string result;
  for (const char c : valid_utf8(text)) {
    if (c == '\r') continue;
    if (joins_paragraphs_ && c == '\n' && result.ends_with('\n')) continue;
    result += c;
  }
  return joins_paragraphs_ ? trimmed(result) : result;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages, bool answer_follows) const {
  if (style_ != Style::kJinja) return render_named(messages, answer_follows);
  JinjaValue list = JinjaValue::array();
  for (const ChatMessage& message : messages) list.push_back({{"role", name_of(message.role)}, {"content", message.text}});
  return jinja_->render({{"messages", list},
                         {"add_generation_prompt", answer_follows},
                         {"bos_token", bos_},
                         {"eos_token", eos_},
                         {"tools", nullptr},
                         {"enable_thinking", thinking_ == Thinking::kOn}});
}

std::string ChatTemplate::render_named(const std::vector<ChatMessage>& messages, bool answer_follows) const {
  std::string text;
  for (const ChatMessage& m : messages) {
    if (style_ == Style::kChatMl) {
      text += std::string("<|im_start|>") + name_of(m.role) + "\n" + m.text + "<|im_end|>\n";
    } else {
      text += (m.role == Role::kSystem ? "System: " : m.role == Role::kUser ? "User: " : "Assistant: ") + trimmed(m.text) + "\n\n";
    }
  }
  if (!answer_follows) return text;
  if (style_ == Style::kChatMl) return text + "<|im_start|>assistant\n";
  return text + "Assistant:" + (thinking_ == Thinking::kOff ? "" : " ") + opening();
}

// The last mark is left open: the model closes it, in the way that it has learned.
std::string ChatTemplate::opening() const {
  if (style_ != Style::kTurns) return {};
  return thinking_ == Thinking::kOn ? "<think" : thinking_ == Thinking::kFake ? "<think>\n</think" : "";
}

}  // namespace linea
