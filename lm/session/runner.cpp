#include "lm/session/runner.h"

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/ops.h"

namespace linea {

int64_t longest_that_fits(int64_t longest, int64_t memory, const std::function<int64_t(int64_t tokens)>& plan) {
  int64_t tokens = std::max<int64_t>(longest, 1);
  while (tokens > 1 && plan(tokens) > memory) tokens /= 2;
  return tokens;
}

Context planning_on(const Context& context, Arena& arena) {
  Context planner = context;
  planner.arena = &arena;
  planner.cancel = CancelToken();
  planner.tap = nullptr;
  planner.replays = nullptr;
  return planner;
}

Runner::Runner(const LanguageModel& model, const Context& context, Limits limits) : model_(&model), context_(context) {
  piece_ = longest_that_fits(limits.longest_piece, limits.memory, [&](int64_t tokens) { return plan(tokens, false); });
  scored_piece_ = longest_that_fits(limits.longest_piece, limits.memory, [&](int64_t tokens) { return plan(tokens, true); });
  arena_ = std::make_unique<Arena>(context_.backend->device(), std::max(plan(piece_, false), plan(scored_piece_, true)));
  context_.arena = arena_.get();
  replays_ = std::make_unique<ReplayCache>();
  context_.replays = replays_.get();
}

// The rows of logits come from the arena too.
int64_t Runner::plan(int64_t tokens, bool all_logits) {
  Arena arena = Arena::planning(context_.backend->device());
  Context planner = planning_on(context_, arena);
  State state = model_->initial_state(planner);
  const Tensor logits = planner.allocate({all_logits ? tokens : 1, model_->vocabulary_size()}, DType::kF32);
  model_->prefill(planner, std::vector<int32_t>(static_cast<size_t>(tokens)), state, logits);
  return arena.peak();
}

Snapshot Runner::start() {
  if (initial_.layers() == 0) initial_ = model_->initial_state(context_);
  return {initial_, {}, 0};
}

void Runner::read(std::span<const int32_t> tokens, Snapshot& snapshot, const Progress& progress, const CancelToken& cancel) {
  if (tokens.empty()) return;
  context_.cancel = cancel;
  const Arena::Scope scope(*arena_);
  const Tensor logits = context_.allocate({1, model_->vocabulary_size()}, DType::kF32);
  const auto total = static_cast<int64_t>(tokens.size());
  for (int64_t done = 0; done < total;) {
    const int64_t count = std::min(piece_, total - done);
    model_->prefill(context_, tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(count)), snapshot.state, logits);
    done += count;
    snapshot.tokens += count;
    if (progress) progress(done);
  }
  const Tensor host = download(context_, logits);
  snapshot.logits.assign(host.data<float>(), host.data<float>() + host.elements());
}

void Runner::score(std::span<const int32_t> tokens, State& state, const Rows& rows, const CancelToken& cancel) {
  context_.cancel = cancel;
  for (size_t done = 0; done < tokens.size();) {
    const size_t count = std::min(static_cast<size_t>(scored_piece_), tokens.size() - done);
    const Arena::Scope scope(*arena_);
    const Tensor logits = context_.allocate({static_cast<int64_t>(count), model_->vocabulary_size()}, DType::kF32);
    model_->prefill(context_, tokens.subspan(done, count), state, logits);
    rows(download(context_, logits));
    done += count;
  }
}

}  // namespace linea
