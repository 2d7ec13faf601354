#include "lm/session/conversation.h"

#include <algorithm>

#include "core/text.h"
#include "core/whole_number.h"

namespace linea {
namespace {

constexpr size_t kMaxNodes = 1'000'000;

bool same_content(const MessageNode& a, const MessageNode& b) {
  return a.role == b.role && a.text == b.text && a.twice == b.twice && a.documents == b.documents && a.answer_ids == b.answer_ids;
}

}  // namespace

std::vector<int> Conversation::path(int node) const {
  std::vector<int> nodes;
  for (; node != kRoot; node = nodes_[static_cast<size_t>(node)].parent) nodes.push_back(node);
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

std::vector<int> Conversation::children(int node) const {
  std::vector<int> result;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].parent == node) result.push_back(static_cast<int>(i));
  }
  return result;
}

void Conversation::record(int node) {
  if (history_.empty()) history_.push_back(kRoot);
  history_.resize(position_ + 1);
  history_.push_back(node);
  ++position_;
}

int Conversation::append(MessageNode message) {
  if (nodes_.size() >= kMaxNodes) throw Error(ErrorKind::kUsage, "the conversation has a million messages", "begin a new one");
  message.parent = current();
  nodes_.push_back(std::move(message));
  record(static_cast<int>(nodes_.size()) - 1);
  return current();
}

void Conversation::move_to(int node) {
  if (node < kRoot || node >= static_cast<int>(nodes_.size()))
    throw Error(ErrorKind::kUsage, "there is no message " + std::to_string(node));
  record(node);
}

void Conversation::follow(int parent, const std::vector<MessageNode>& messages) {
  int at = parent;
  for (const MessageNode& message : messages) {
    int next = kRoot;
    for (const int child : children(at)) {
      if (same_content(nodes_[static_cast<size_t>(child)], message)) next = child;
    }
    if (next == kRoot) {
      next = static_cast<int>(nodes_.size());
      nodes_.push_back(message);
      nodes_.back().parent = at;
    }
    at = next;
  }
  record(at);
}

void Conversation::edit(size_t index, const std::string& text, bool keep_following) {
  const std::vector<int> nodes = path();
  if (index >= nodes.size()) throw Error(ErrorKind::kUsage, "there is no message " + std::to_string(index + 1));
  std::vector<MessageNode> messages;
  for (size_t i = index; i < (keep_following ? nodes.size() : index + 1); ++i) messages.push_back(nodes_[static_cast<size_t>(nodes[i])]);
  messages[0].text = text;
  messages[0].answer_ids.clear();
  follow(nodes_[static_cast<size_t>(nodes[index])].parent, messages);
}

void Conversation::set_system(const std::string& text) {
  std::vector<MessageNode> messages;
  for (const int node : path()) messages.push_back(nodes_[static_cast<size_t>(node)]);
  if (!messages.empty() && messages[0].role == Role::kSystem) messages.erase(messages.begin());
  if (!text.empty()) messages.insert(messages.begin(), {.role = Role::kSystem, .text = text});
  follow(kRoot, messages);
}

bool Conversation::undo() {
  if (position_ == 0) return false;
  --position_;
  return true;
}

bool Conversation::redo() {
  if (position_ + 1 >= history_.size()) return false;
  ++position_;
  return true;
}

Json Conversation::to_json() const {
  Json messages = Json::array();
  for (const MessageNode& node : nodes_) {
    Json json = {{"parent", node.parent}, {"role", name_of(node.role)}, {"text", node.text}};
    if (node.twice) json["twice"] = true;
    if (!node.answer_ids.empty()) json["ids"] = node.answer_ids;
    for (const Document& d : node.documents) {
      json["documents"].push_back({{"path", d.path}, {"hash", d.hash}, {"bytes", d.bytes}, {"twice", d.twice}});
    }
    messages.push_back(std::move(json));
  }
  return {{"messages", messages}, {"history", history_}, {"position", position_}};
}

Conversation Conversation::from_json(const Json& json, const std::string& source) {
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::kBadFile, source + ": conversation: " + what); };
  Conversation result;
  try {
    for (const Json& entry : json.at("messages")) {
      MessageNode& node = result.nodes_.emplace_back();
      node.parent = whole_number<int>(entry.at("parent"), source + ": parent");
      const auto role = parse_role(entry.at("role").get<std::string>());
      if (!role) fail("unknown role");
      node.role = *role;
      node.text = entry.at("text").get<std::string>();
      node.twice = entry.value("twice", false);
      for (const Json& id : entry.value("ids", Json::array())) node.answer_ids.push_back(whole_number<int32_t>(id, source + ": ids"));
      for (const Json& d : entry.value("documents", Json::array())) {
        const auto bytes = whole_number<int64_t>(d.at("bytes"), source + ": bytes");
        node.documents.push_back({d.at("path"), d.at("hash"), bytes, d.value("twice", false)});
      }
      if (node.parent < kRoot || node.parent >= static_cast<int>(result.nodes_.size()) - 1) fail("a message has no place");
    }
    for (const Json& node : json.at("history")) result.history_.push_back(whole_number<int>(node, source + ": history"));
    result.position_ = whole_number<size_t>(json.at("position"), source + ": position");
  } catch (const Json::exception& error) {
    fail(printable(error.what(), 160));
  }
  for (const int node : result.history_) {
    if (node < kRoot || node >= static_cast<int>(result.nodes_.size())) fail("a place of its history is no message");
  }
  if (result.position_ >= std::max<size_t>(result.history_.size(), 1)) fail("its place is not in its history");
  return result;
}

}  // namespace linea
