// lm/session/runner.h: a language model with the memory to run it.
//
// Texts of any length are read in pieces whose temporaries fit a fixed amount of memory, found by planning. One runner a thread; several
// may share a model.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "kernels/replay.h"
#include "lm/language_model.h"
#include "lm/session/snapshot.h"

namespace linea {

// The most of `longest`, `longest` / 2, … tokens whose plan, in bytes, is within `memory`; at least one.
int64_t longest_that_fits(int64_t longest, int64_t memory, const std::function<int64_t(int64_t tokens)>& plan);
// The same context on an arena that only plans.
Context planning_on(const Context& context, Arena& arena);

class Runner {
 public:
  struct Limits {
    int64_t memory = int64_t{256} << 20;  // bytes of temporaries; exceeded only where one token needs more
    int64_t longest_piece = 512;          // tokens
  };
  // `context` gives backend and type; its arena is not used.
  Runner(const LanguageModel& model, const Context& context, Limits limits);
  Runner(const LanguageModel& model, const Context& context) : Runner(model, context, Limits{}) {}
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  Snapshot start();  // all beginnings share one state until they are read on

  // Feeds tokens; `progress` hears how many are done, after each piece. Throws kCancelled between layers when `cancel` says so, and the
  // snapshot is then neither the old nor the new one: copy it before where that matters.
  using Progress = std::function<void(int64_t done)>;
  void read(std::span<const int32_t> tokens, Snapshot& snapshot, const Progress& progress = {}, const CancelToken& cancel = {});
  void step(int32_t token, Snapshot& snapshot) { read({&token, 1}, snapshot); }

  // Feeds tokens and hands out the logits after each, [piece, V] f32 on the host, piece by piece.
  using Rows = std::function<void(const Tensor& logits)>;
  void score(std::span<const int32_t> tokens, State& state, const Rows& rows, const CancelToken& cancel = {});

  const LanguageModel& model() const { return *model_; }
  Context& context() { return context_; }  // with an arena for pieces of longest_piece() tokens
  int64_t longest_piece() const { return piece_; }
  int64_t memory() const { return arena_->capacity(); }

 private:
  int64_t plan(int64_t tokens, bool all_logits);  // bytes

  const LanguageModel* model_;
  Context context_;
  int64_t piece_ = 1, scored_piece_ = 1;
  State initial_;  // once it was asked for
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<ReplayCache> replays_;  // steps of one token, captured
};

}  // namespace linea
