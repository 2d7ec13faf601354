#include "lm/session/batch_runner.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/backend.h"
#include "kernels/ops.h"

namespace linea {

BatchRunner::BatchRunner(const LanguageModel& model, const Context& context, int64_t members, Runner::Limits limits)
    : model_(&model), context_(context), logits_(static_cast<size_t>(members)), tokens_(static_cast<size_t>(members)) {
  Arena none = Arena::planning(context_.backend->device());
  context_.arena = &none;
  states_ = State::repeated(model.initial_state(context_), members);
  piece_ = longest_that_fits(limits.longest_piece, limits.memory, [&](int64_t tokens) { return plan(1, tokens); });
  together_ = longest_that_fits(limits.longest_piece / members, limits.memory, [&](int64_t tokens) { return plan(members, tokens); });
  arena_ = std::make_unique<Arena>(context_.backend->device(), std::max(plan(1, piece_), plan(members, together_)));
  context_.arena = arena_.get();
  replays_ = std::make_unique<ReplayCache>();
  context_.replays = replays_.get();
}

int64_t BatchRunner::plan(int64_t sequences, int64_t tokens) {
  Arena arena = Arena::planning(context_.backend->device());
  Context planner = planning_on(context_, arena);
  State one = states_.sequence(0);
  const Tensor logits = planner.allocate({sequences, model_->vocabulary_size()}, DType::kF32);
  model_->prefill(planner, std::vector<int32_t>(static_cast<size_t>(sequences * tokens)), sequences == members() ? states_ : one, logits);
  return arena.peak();
}

void BatchRunner::keep_logits(const Tensor& logits, int64_t first_member) {
  const Tensor host = download(context_, logits);
  const int64_t width = host.dim(1);
  for (int64_t row = 0; row < host.dim(0); ++row) {
    const float* from = host.data<float>() + row * width;
    logits_[static_cast<size_t>(first_member + row)].assign(from, from + width);
  }
}

// The first `count` tokens of every text.
void BatchRunner::read_together(std::span<const std::vector<int32_t>> texts, int64_t count) {
  const Arena::Scope scope(*arena_);
  const Tensor logits = context_.allocate({members(), model_->vocabulary_size()}, DType::kF32);
  for (int64_t done = 0; done < count;) {
    const int64_t piece = std::min(together_, count - done);
    std::vector<int32_t> ids;
    for (const std::vector<int32_t>& text : texts) ids.insert(ids.end(), text.begin() + done, text.begin() + done + piece);
    model_->prefill(context_, ids, states_, logits);
    done += piece;
  }
  keep_logits(logits, 0);
  for (int64_t& tokens : tokens_) tokens += count;
}

void BatchRunner::read_rest(std::span<const int32_t> text, int64_t member) {
  const Arena::Scope scope(*arena_);
  const Tensor logits = context_.allocate({1, model_->vocabulary_size()}, DType::kF32);
  State state = states_.sequence(member);
  for (size_t done = 0; done < text.size();) {
    const size_t piece = std::min(static_cast<size_t>(piece_), text.size() - done);
    model_->prefill(context_, text.subspan(done, piece), state, logits);
    done += piece;
  }
  keep_logits(logits, member);
  tokens_[static_cast<size_t>(member)] += static_cast<int64_t>(text.size());
}

void BatchRunner::read(std::span<const std::vector<int32_t>> texts, const CancelToken& cancel) {
  LINEA_ASSERT(static_cast<int64_t>(texts.size()) == members());
  context_.cancel = cancel;
  size_t shared = texts.front().size();
  for (const std::vector<int32_t>& text : texts) shared = std::min(shared, text.size());
  if (shared > 0) read_together(texts, static_cast<int64_t>(shared));
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() > shared) read_rest(std::span(texts[i]).subspan(shared), static_cast<int64_t>(i));
  }
}

void BatchRunner::step(std::span<const int32_t> tokens) {
  LINEA_ASSERT(static_cast<int64_t>(tokens.size()) == members());
  const Arena::Scope scope(*arena_);
  context_.cancel = CancelToken();
  const Tensor logits = context_.allocate({members(), model_->vocabulary_size()}, DType::kF32);
  model_->prefill(context_, tokens, states_, logits);
  keep_logits(logits, 0);
  for (int64_t& count : tokens_) ++count;
}

Snapshot BatchRunner::snapshot(int64_t member) const { return {states_.sequence_alone(member), logits(member), tokens(member)}; }

void BatchRunner::set(int64_t member, const Snapshot& snapshot) {
  states_.set_sequence(member, snapshot.state);
  logits_[static_cast<size_t>(member)] = snapshot.logits;
  tokens_[static_cast<size_t>(member)] = snapshot.tokens;
}

}  // namespace linea
