// app/studio/chat_worker.h: the thread that runs the chat model: it loads, reads, answers, and keeps the states of earlier texts, so that
// editing, regenerating and branching at any message begin at once.
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

#include "app/engine/memory_budget.h"
#include "core/cancel.h"
#include "lm/sampling/sampler.h"
#include "lm/template/chat_template.h"

namespace linea::studio {

struct ChatNumbers {
  int64_t state_bytes = 0, tokens_read = 0, prompt_tokens = 0, reused_tokens = 0, answer_tokens = 0;
  double first_token_seconds = -1, tokens_per_second = 0;
};

struct ChatRequest {
  std::filesystem::path model;
  std::string title;  // as the memory's list shows it
  std::vector<ChatMessage> messages;
  SamplingOptions sampling{};
  int64_t max_tokens = 1024;
  // Called through `post`: pieces of the answer, then its end. A failure has a text (and a hint); being stopped is none.
  std::function<void(const std::string& piece)> on_text{};
  std::function<void(const ChatNumbers&, bool stopped, const std::string& failure, const std::string& hint)> on_done{};
};

class ChatWorker {
 public:
  explicit ChatWorker(std::function<void(std::function<void()>)> post);
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
  bool run(const ChatRequest& request, const CancelToken& cancel, ChatNumbers& numbers);  // true when it was stopped

  std::function<void(std::function<void()>)> post_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<std::pair<ChatRequest, MemoryBudget*>> next_;
  bool stop_ = false, put_out_ = false;
  std::atomic<bool> working_{false};
  CancelToken cancel_;
  std::unique_ptr<Model> model_;  // of the worker's thread
  std::thread thread_;
};

}  // namespace linea::studio
