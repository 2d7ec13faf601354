#include "app/studio/chat_worker.h"

#include <algorithm>
#include <utility>

#include "app/engine/chat_model.h"
#include "app/studio/clock.h"
#include "app/studio/json_read.h"

namespace linea::studio {
namespace {

int64_t bytes_on_disk(const std::filesystem::path& model) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(model, ignored)) return static_cast<int64_t>(std::filesystem::file_size(model, ignored));
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(model, ignored)) {
    if (file.is_regular_file(ignored)) bytes += static_cast<int64_t>(file.file_size(ignored));
  }
  return bytes;
}

// Empty where they are not known, or not of this model: the answer is then read as text.
std::vector<int32_t> tokens_of(const ChatTurn& turn, int64_t vocabulary) {
  if (turn.details.empty()) return {};
  std::vector<int32_t> tokens;
  if (const Json details = Json::parse(turn.details, nullptr, false); details.is_object()) read(details, "ids", tokens);
  if (std::any_of(tokens.begin(), tokens.end(), [&](int32_t id) { return id < 0 || id >= vocabulary; })) tokens.clear();
  return tokens;
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

ChatWorker::ChatWorker(std::function<void(std::function<void()>)> post, const std::filesystem::path& states) : post_(std::move(post)) {
  if (!states.empty()) states_.emplace(states);
  thread_ = std::thread([this] { loop(); });
}

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

// The state nearest to the end of the path comes from the disk, unless what is in memory reaches about as far.
void ChatWorker::recall_states(const ChatRequest& request, const ChatSession& session) {
  constexpr size_t kQuicklyRead = 64;  // bytes of text
  if (!states_) return;
  const std::string text = session.prompt_text();
  const PrefixCache::Found found = model_->chat.cache().longest_prefix(text);
  const size_t known = found.snapshot ? found.key.length : 0;
  size_t behind = 0;  // of the text, roughly
  for (auto turn = request.turns.rbegin(); turn != request.turns.rend(); behind += (turn++)->text.size()) {
    if (behind + known + kQuicklyRead > text.size()) return;
    ChatSession scratch = model_->chat.new_session();
    if (!turn->state.empty() && states_->recall(turn->state, scratch)) return;
  }
}

// Answers the last message. `state` becomes the name of the file that holds the state after it, where there is one.
void ChatWorker::run(const ChatRequest& request, const CancelToken& cancel, ChatOutcome& outcome, std::string& state) {
  if (model_->budget) model_->budget->use(model_->ticket);
  ChatSession session = model_->chat.new_session();
  for (const ChatTurn& turn : request.turns) {
    session.conversation().append({.role = turn.role, .text = turn.text, .answer_ids = tokens_of(turn, model_->chat.vocabulary().size())});
  }
  recall_states(request, session);
  GenerationOptions options;
  options.sampling = request.sampling, options.max_tokens = request.max_tokens;
  ChatNumbers& numbers = outcome.numbers;
  const double start = now_seconds();
  ChatSession::Callbacks callbacks;
  callbacks.cancel_reading = callbacks.cancel_answer = cancel;
  callbacks.text = [&](const std::string& piece) {
    if (piece.empty()) return;
    if (numbers.first_token_seconds < 0) numbers.first_token_seconds = now_seconds() - start;
    post_([on_text = request.on_text, piece] { on_text(piece); });
  };
  const ChatSession::Answer answer = session.answer(options, callbacks);
  const Generation& generation = answer.generation;
  outcome.text = answer.text, outcome.tokens = generation.tokens;
  outcome.stopped = generation.end == GenerationEnd::kCancelled;
  numbers.answer_tokens = generation.drawn;
  numbers.tokens_per_second = generation.seconds > 0 ? static_cast<double>(generation.drawn) / generation.seconds : 0;
  numbers.prompt_tokens = answer.read + answer.reused, numbers.reused_tokens = answer.reused;
  numbers.tokens_read = numbers.prompt_tokens + static_cast<int64_t>(generation.tokens.size());
  const PrefixCache::Found latest = model_->chat.cache().longest_prefix(session.prompt_text());
  if (!latest.snapshot) return;
  numbers.state_bytes = latest.snapshot->bytes();
  if (!states_ || !request.chat || *request.chat <= 0) return;
  try {
    state = states_->keep(*request.chat, session, numbers.state_bytes);
  } catch (const Error&) {  // a full disk shows where something is lost; here nothing is
  }
}

void ChatWorker::answer(ChatRequest& request, MemoryBudget* budget) {
  CancelToken cancel;
  {
    const std::lock_guard lock(mutex_);
    cancel = cancel_;
  }
  ChatOutcome outcome;
  std::string state;
  try {
    load(request, budget);
    run(request, cancel, outcome, state);
  } catch (const Error& error) {
    outcome.stopped = error.kind() == ErrorKind::kCancelled;
    if (!outcome.stopped) outcome.failure = error.what(), outcome.hint = error.hint();
  } catch (const std::exception& error) {
    outcome.failure = error.what();
  }
  if (model_ && model_->budget) model_->budget->idle(model_->ticket);
  post_([on_done = std::move(request.on_done), on_kept = std::move(request.on_kept), outcome, state] {
    on_done(outcome);
    if (!state.empty() && on_kept) on_kept(state);
  });
}

}  // namespace linea::studio
