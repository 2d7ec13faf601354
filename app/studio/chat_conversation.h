// app/studio/chat_conversation.h: one chat: its messages as a tree, the path through it that is shown, and the library's copy of both.
//
// Every change is handed to the library's lane at once; an answer that is being written is saved twice a second.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "app/studio/chat_worker.h"
#include "app/studio/rich_text.h"
#include "app/studio/workspace.h"
#include "lm/sampling/sampler.h"
#include "lm/template/chat_template.h"

namespace linea::studio {

struct ChatSettings {
  std::string system;
  double temperature = 1, top_p = 0.5, presence = 0.4, frequency = 0.4, penalty_decay = 0.996;
  int64_t top_k = 0, max_tokens = 1024;
  bool operator==(const ChatSettings&) const = default;
};
Json to_json(const ChatSettings& settings);
ChatSettings chat_settings_from_json(const Json& json);
SamplingOptions sampling_of(const ChatSettings& settings, uint64_t seed);

class ChatConversation {
 public:
  struct Node {
    std::string role, text, details{}, state{};  // as in ChatTurn
    int parent = -1;                             // index; -1 = a first message
    double created = 0;
    std::vector<int> children{};
    // Of the library; written and read on its lane only.
    std::shared_ptr<int64_t> id = std::make_shared<int64_t>(0);
    std::shared_ptr<bool> saved = std::make_shared<bool>(false);  // it is on the disk
    std::unique_ptr<RichText> rich = std::make_unique<RichText>();
    float height = -1;  // as last laid out
  };

  explicit ChatConversation(Workspace& ws) : ws_(ws) {}

  void start_new();
  void open(const ChatRecord& chat, const std::vector<MessageRecord>& messages);
  // The library's id, written on its lane once the chat has its first message; 0 before. The pointer tells chats apart.
  using ChatKey = std::shared_ptr<std::atomic<int64_t>>;
  int64_t chat_id() const { return *chat_id_; }
  const ChatKey& chat_key() const { return chat_id_; }
  const std::string& title() const { return title_; }

  std::deque<Node>& nodes() { return nodes_; }            // references stay valid while messages are added
  const std::vector<int>& path() const { return path_; }  // from the first message to the leaf
  int leaf() const { return path_.empty() ? -1 : path_.back(); }

  int add(const std::string& role, const std::string& text, int parent);  // becomes the leaf; saved
  void append(int node, const std::string& piece);                        // saved from time to time
  void save(int node);
  void set_state(int node, const std::string& file);
  void set_leaf(int node);
  // Another child of the same parent: `step` -1 or 1; then down to its latest end.
  void switch_sibling(int node, int step);
  std::pair<int, int> sibling_place(int node) const;  // 1-based place and count
  std::vector<ChatTurn> turns_to(int node) const;
  void set_settings(const ChatSettings& settings);
  const ChatSettings& settings() const { return settings_; }

  std::string to_markdown() const;
  std::string to_json_text() const;

 private:
  const std::vector<int>& siblings(int node) const {
    return nodes_[static_cast<size_t>(node)].parent < 0 ? roots_
                                                        : nodes_[static_cast<size_t>(nodes_[static_cast<size_t>(node)].parent)].children;
  }
  void rebuild_path(int leaf);
  void save_chat();
  MessageRecord record_of(const Node& node) const;

  Workspace& ws_;
  ChatKey chat_id_ = std::make_shared<std::atomic<int64_t>>(0);
  std::string title_ = "New chat";
  double created_ = 0;
  ChatSettings settings_;
  std::deque<Node> nodes_;
  std::vector<int> roots_, path_;
  double saved_at_ = 0;
};

}  // namespace linea::studio
