#include "app/studio/chat_worker.h"

#include <chrono>
#include <utility>

#include "app/engine/chat_model.h"

namespace linea::studio {
namespace {

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int64_t bytes_on_disk(const std::filesystem::path& model) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(model, ignored)) return static_cast<int64_t>(std::filesystem::file_size(model, ignored));
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(model, ignored)) {
    if (file.is_regular_file(ignored)) bytes += static_cast<int64_t>(file.file_size(ignored));
  }
  return bytes;
}

}  // namespace

// A loaded model, its cache of states, and its place in the memory's list.
struct ChatWorker::Model {
  Model(std::filesystem::path from, MemoryBudget* memory) : path(std::move(from)), chat(path, {}), budget(memory) {}
  ~Model() {
    if (budget && ticket) budget->give_back(ticket);
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  std::filesystem::path path;
  ChatModel chat;
  MemoryBudget* budget;
  int64_t ticket = 0;
};

ChatWorker::ChatWorker(std::function<void(std::function<void()>)> post) : post_(std::move(post)), thread_([this] { loop(); }) {}

ChatWorker::~ChatWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    cancel_.cancel();
    wake_.notify_one();
  }
  thread_.join();
}

void ChatWorker::ask(ChatRequest request, MemoryBudget* budget) {
  const std::lock_guard lock(mutex_);
  cancel_.cancel();
  cancel_ = CancelToken();
  next_.emplace(std::move(request), budget);
  wake_.notify_one();
}

void ChatWorker::stop_answer() {
  const std::lock_guard lock(mutex_);
  cancel_.cancel();
}

void ChatWorker::put_out() {
  const std::lock_guard lock(mutex_);
  put_out_ = true;
  wake_.notify_one();
}

void ChatWorker::loop() {
  for (;;) {
    std::optional<std::pair<ChatRequest, MemoryBudget*>> request;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || next_ || put_out_; });
      if (stop_) break;
      request = std::exchange(next_, std::nullopt);
      put_out_ = false;
    }
    if (!request) {
      model_.reset();
      continue;
    }
    working_ = true;
    answer(request->first, request->second);
    working_ = false;
  }
  model_.reset();
}

void ChatWorker::load(const ChatRequest& request, MemoryBudget* budget) {
  if (model_ && model_->path == request.model) return;
  model_.reset();
  int64_t ticket = 0;
  const auto go = [this] {
    if (working_) return false;
    put_out();
    return true;
  };
  if (budget) ticket = budget->reserve({.kind = "chat", .name = request.title, .bytes = bytes_on_disk(request.model), .put_out = go});
  try {
    model_ = std::make_unique<Model>(request.model, budget);
    model_->ticket = ticket;
  } catch (...) {
    if (ticket) budget->give_back(ticket);
    throw;
  }
}

// Answers the last message and fills the numbers.
bool ChatWorker::run(const ChatRequest& request, const CancelToken& cancel, ChatNumbers& numbers) {
  if (model_->budget) model_->budget->use(model_->ticket);
  ChatSession session = model_->chat.new_session();
  for (const ChatMessage& message : request.messages) session.conversation().append({.role = message.role, .text = message.text});
  GenerationOptions options;
  options.sampling = request.sampling, options.max_tokens = request.max_tokens;
  const double start = now_seconds();
  ChatSession::Callbacks callbacks;
  callbacks.cancel_reading = callbacks.cancel_answer = cancel;
  callbacks.text = [&](const std::string& piece) {
    if (piece.empty()) return;
    if (numbers.first_token_seconds < 0) numbers.first_token_seconds = now_seconds() - start;
    post_([on_text = request.on_text, piece] { on_text(piece); });
  };
  const ChatSession::Answer answer = session.answer(options, callbacks);
  numbers.answer_tokens = answer.generation.drawn;
  numbers.tokens_per_second = answer.generation.seconds > 0 ? static_cast<double>(answer.generation.drawn) / answer.generation.seconds : 0;
  numbers.prompt_tokens = answer.read + answer.reused, numbers.reused_tokens = answer.reused;
  // The state after the answer is kept: the next question, or a branch here, goes on from it.
  const ChatSession::Reading reading = session.read_path({});
  numbers.state_bytes = reading.snapshot->bytes(), numbers.tokens_read = reading.snapshot->tokens;
  return answer.generation.end == GenerationEnd::kCancelled;
}

void ChatWorker::answer(ChatRequest& request, MemoryBudget* budget) {
  CancelToken cancel;
  {
    const std::lock_guard lock(mutex_);
    cancel = cancel_;
  }
  ChatNumbers numbers;
  std::string failure, hint;
  bool stopped = false;
  try {
    load(request, budget);
    stopped = run(request, cancel, numbers);
  } catch (const Error& error) {
    stopped = error.kind() == ErrorKind::kCancelled;
    if (!stopped) failure = error.what(), hint = error.hint();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  if (model_ && model_->budget) model_->budget->idle(model_->ticket);
  post_([on_done = std::move(request.on_done), numbers, stopped, failure, hint] { on_done(numbers, stopped, failure, hint); });
}

}  // namespace linea::studio
