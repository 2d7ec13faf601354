// app/studio/chat_worker.h: the thread that runs the chat model: it loads, reads, answers, and keeps the states of earlier texts, in memory
// and on the disk, so that editing, regenerating and branching at any message begin at once, also after a new start.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "app/engine/chat_states.h"
#include "app/engine/memory_budget.h"
#include "core/cancel.h"
#include "lm/sampling/sampler.h"
#include "lm/template/chat_template.h"

namespace linea::studio {

struct ChatNumbers {
  int64_t state_bytes = 0, tokens_read = 0, prompt_tokens = 0, reused_tokens = 0, answer_tokens = 0;
  double first_token_seconds = -1, tokens_per_second = 0;
};

// A message of the path that is answered.
struct ChatTurn {
  Role role = Role::kUser;
  std::string text{};
  std::string details{};  // of an answer: JSON in which "ids" are its tokens
  std::string state{};    // the file of its state (ChatStates); empty = none
};

struct ChatOutcome {
  ChatNumbers numbers{};
  std::string text{};             // the whole answer
  std::vector<int32_t> tokens{};  // of it
  bool stopped = false;           // by stop_answer, which is no failure
  std::string failure{}, hint{};
};

struct ChatRequest {
  std::filesystem::path model;
  std::string title;  // as the memory's list shows it
  std::vector<ChatTurn> turns;
  SamplingOptions sampling{};
  int64_t max_tokens = 1024;
  std::shared_ptr<std::atomic<int64_t>> chat{};  // its id in the library, under which the state is kept; null = it is not
  // Called through `post`: pieces of the answer, its end, and then the name of its state's file.
  std::function<void(const std::string& piece)> on_text{};
  std::function<void(const ChatOutcome&)> on_done{};
  std::function<void(const std::string& state)> on_kept{};
};

class ChatWorker {
 public:
  // `states`: a folder; empty = states are not kept on the disk.
  ChatWorker(std::function<void(std::function<void()>)> post, const std::filesystem::path& states);
  ~ChatWorker();  // stops the answer
  ChatWorker(const ChatWorker&) = delete;
  ChatWorker& operator=(const ChatWorker&) = delete;

  // `budget` may be null: then memory is not counted.
  void ask(ChatRequest request, MemoryBudget* budget);
  void stop_answer();  // within a token
  void put_out();      // frees the model when it is idle

 private:
  struct Model;
  void loop();
  void answer(ChatRequest& request, MemoryBudget* budget);
  void load(const ChatRequest& request, MemoryBudget* budget);
  void run(const ChatRequest& request, const CancelToken& cancel, ChatOutcome& outcome, std::string& state);
  void recall_states(const ChatRequest& request, const ChatSession& session);

  std::function<void(std::function<void()>)> post_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<std::pair<ChatRequest, MemoryBudget*>> next_;
  bool stop_ = false, put_out_ = false;
  std::atomic<bool> working_{false};
  CancelToken cancel_;
  // Of the worker's thread.
  std::optional<ChatStates> states_;
  std::unique_ptr<Model> model_;
  std::thread thread_;
};

}  // namespace linea::studio
