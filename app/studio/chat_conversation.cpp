#include "app/studio/chat_conversation.h"

#include <algorithm>
#include <map>

#include "app/studio/clock.h"
#include "app/studio/json_read.h"

namespace linea::studio {
namespace {

std::string title_of(const std::string& text) {
  std::string title;
  for (const char c : text.substr(0, 48)) title += c == '\n' || c == '\t' ? ' ' : c;
  while (!title.empty() && (static_cast<unsigned char>(title.back()) & 0xC0) == 0x80) title.pop_back();
  if (!title.empty() && static_cast<unsigned char>(title.back()) >= 0xC0) title.pop_back();
  return title + (text.size() > 48 ? "…" : "");
}

}  // namespace

Json to_json(const ChatSettings& s) {
  return {{"system", s.system},
          {"temperature", s.temperature},
          {"top_p", s.top_p},
          {"top_k", s.top_k},
          {"presence", s.presence},
          {"frequency", s.frequency},
          {"penalty_decay", s.penalty_decay},
          {"max_tokens", s.max_tokens}};
}

ChatSettings chat_settings_from_json(const Json& json) {
  ChatSettings s;
  if (!json.is_object()) return s;
  read(json, "system", s.system), read(json, "temperature", s.temperature), read(json, "top_p", s.top_p), read(json, "top_k", s.top_k);
  read(json, "presence", s.presence), read(json, "frequency", s.frequency), read(json, "penalty_decay", s.penalty_decay),
      read(json, "max_tokens", s.max_tokens);
  s.temperature = std::clamp(s.temperature, 0.0, 5.0), s.top_p = std::clamp(s.top_p, 0.01, 1.0);
  s.top_k = std::clamp<int64_t>(s.top_k, 0, 100000), s.max_tokens = std::clamp<int64_t>(s.max_tokens, 1, 1000000);
  s.presence = std::clamp(s.presence, -2.0, 2.0), s.frequency = std::clamp(s.frequency, -2.0, 2.0),
  s.penalty_decay = std::clamp(s.penalty_decay, 0.0, 1.0);
  return s;
}

SamplingOptions sampling_of(const ChatSettings& s, uint64_t seed) {
  SamplingOptions o;
  o.temperature = s.temperature, o.top_p = s.top_p, o.top_k = s.top_k;
  o.presence = s.presence, o.frequency = s.frequency, o.penalty_decay = s.penalty_decay;
  o.seed = seed;
  return o;
}

void ChatConversation::start_new() {
  chat_id_ = std::make_shared<std::atomic<int64_t>>(0);
  title_ = "New chat";
  created_ = 0;
  nodes_.clear(), roots_.clear(), path_.clear();
  settings_ = chat_settings_from_json(ws_.settings.chat);
}

void ChatConversation::open(const ChatRecord& chat, const std::vector<MessageRecord>& messages) {
  start_new();
  *chat_id_ = chat.id;
  title_ = chat.title, created_ = chat.created;
  try {
    settings_ = chat_settings_from_json(chat.settings.empty() ? Json::object() : Json::parse(chat.settings));
  } catch (const Json::exception&) {  // settings of another form: the defaults hold
  }
  std::map<int64_t, int> index;
  int leaf = -1;
  for (const MessageRecord& message : messages) {
    const auto parent = index.find(message.parent);
    Node node{.role = message.role,
              .text = message.text,
              .details = message.details,
              .state = message.state_file,
              .parent = parent == index.end() ? -1 : parent->second,
              .created = message.created};
    *node.id = message.id;
    *node.saved = true;
    const int at = static_cast<int>(nodes_.size());
    (node.parent < 0 ? roots_ : nodes_[static_cast<size_t>(node.parent)].children).push_back(at);
    index[message.id] = at;
    if (message.id == chat.leaf || leaf < 0) leaf = at;
    nodes_.push_back(std::move(node));
  }
  rebuild_path(leaf);
}

void ChatConversation::rebuild_path(int leaf) {
  path_.clear();
  for (int at = leaf; at >= 0; at = nodes_[static_cast<size_t>(at)].parent) path_.push_back(at);
  std::reverse(path_.begin(), path_.end());
}

MessageRecord ChatConversation::record_of(const Node& node) const {
  MessageRecord record;
  record.role = node.role, record.text = node.text, record.details = node.details, record.state_file = node.state;
  record.created = node.created, record.updated = clock_seconds();
  return record;
}

int ChatConversation::add(const std::string& role, const std::string& text, int parent) {
  if (nodes_.empty()) title_ = title_of(text), created_ = clock_seconds(), save_chat();
  const int at = static_cast<int>(nodes_.size());
  Node node{.role = role, .text = text, .parent = parent, .created = clock_seconds()};
  const std::shared_ptr<int64_t> parent_id = parent < 0 ? std::make_shared<int64_t>(0) : nodes_[static_cast<size_t>(parent)].id;
  ws_.background.with_library([record = record_of(node), id = node.id, saved = node.saved, parent_id,
                               chat = chat_id_](Library& library) mutable -> Background::Done {
    record.chat = *chat, record.parent = *parent_id;
    *id = library.add_message(record);
    return [saved] { *saved = true; };
  });
  (parent < 0 ? roots_ : nodes_[static_cast<size_t>(parent)].children).push_back(at);
  nodes_.push_back(std::move(node));
  set_leaf(at);
  return at;
}

void ChatConversation::append(int index, const std::string& piece) {
  nodes_[static_cast<size_t>(index)].text += piece;
  if (clock_seconds() - saved_at_ > 0.5) save(index);
}

void ChatConversation::save(int index) {
  const Node& node = nodes_[static_cast<size_t>(index)];
  saved_at_ = clock_seconds();
  const std::shared_ptr<int64_t> parent_id = node.parent < 0 ? std::make_shared<int64_t>(0) : nodes_[static_cast<size_t>(node.parent)].id;
  ws_.background.with_library(
      [record = record_of(node), id = node.id, parent_id, chat = chat_id_](Library& library) mutable -> Background::Done {
        record.id = *id, record.chat = *chat, record.parent = *parent_id;
        library.update_message(record);
        return {};
      });
}

void ChatConversation::set_state(int node, const std::string& file) {
  nodes_[static_cast<size_t>(node)].state = file;
  save(node);
}

void ChatConversation::set_leaf(int node) {
  rebuild_path(node);
  save_chat();
}

// Makes the chat's row with its first message; afterwards keeps title, settings and leaf.
void ChatConversation::save_chat() {
  ChatRecord record;
  record.title = title_, record.model = ws_.settings.chat_model,
  record.settings = to_json(settings_).dump(-1, ' ', false, Json::error_handler_t::replace);
  record.created = created_, record.updated = clock_seconds();
  const std::shared_ptr<int64_t> leaf_id = leaf() < 0 ? std::make_shared<int64_t>(0) : nodes_[static_cast<size_t>(leaf())].id;
  ws_.background.with_library([record, chat = chat_id_, leaf_id](Library& library) mutable -> Background::Done {
    record.leaf = *leaf_id;
    if (*chat == 0) {
      *chat = library.add_chat(record);
    } else {
      record.id = *chat;
      library.update_chat(record);
    }
    return {};
  });
}

void ChatConversation::set_settings(const ChatSettings& settings) {
  if (settings == settings_) return;
  settings_ = settings;
  ws_.settings.chat = to_json(settings);
  if (!nodes_.empty()) save_chat();
}

std::pair<int, int> ChatConversation::sibling_place(int node) const {
  const std::vector<int>& all = siblings(node);
  const auto at = std::find(all.begin(), all.end(), node);
  return {static_cast<int>(at - all.begin()) + 1, static_cast<int>(all.size())};
}

void ChatConversation::switch_sibling(int node, int step) {
  const std::vector<int>& all = siblings(node);
  const auto [place, count] = sibling_place(node);
  int at = all[static_cast<size_t>(std::clamp(place - 1 + step, 0, count - 1))];
  while (!nodes_[static_cast<size_t>(at)].children.empty()) at = nodes_[static_cast<size_t>(at)].children.back();
  set_leaf(at);
}

std::vector<ChatTurn> ChatConversation::turns_to(int node) const {
  std::vector<ChatTurn> turns;
  for (int at = node; at >= 0; at = nodes_[static_cast<size_t>(at)].parent) {
    const Node& n = nodes_[static_cast<size_t>(at)];
    turns.push_back({n.role == "assistant" ? Role::kAssistant : Role::kUser, n.text, n.details, n.state});
  }
  if (settings_.system.find_first_not_of(" \n\t") != std::string::npos) turns.push_back({Role::kSystem, settings_.system});
  std::reverse(turns.begin(), turns.end());
  return turns;
}

std::string ChatConversation::to_markdown() const {
  std::string text = "# " + title_ + "\n";
  if (!settings_.system.empty()) text += "\n*System:* " + settings_.system + "\n";
  for (const int at : path_) {
    const Node& node = nodes_[static_cast<size_t>(at)];
    text += std::string("\n## ") + (node.role == "assistant" ? "Answer" : "Question") + "\n\n" + node.text + "\n";
  }
  return text;
}

// The whole tree: parents by index.
std::string ChatConversation::to_json_text() const {
  Json messages = Json::array();
  for (const Node& node : nodes_) {
    messages.push_back({{"role", node.role}, {"content", node.text}, {"parent", node.parent}, {"created", node.created}});
  }
  const Json json = {
      {"schema", "linea.chat/1"}, {"title", title_}, {"settings", to_json(settings_)}, {"messages", messages}, {"path", path_}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace linea::studio
