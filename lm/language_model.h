// lm/language_model.h: what all recurrent language models have in common.
//
// A model is read-only after loading and may be shared by threads, each with its own Context. A State belongs to one sequence; a forward
// pass replaces it by the state after the last token. A text may be fed in any pieces: prefill and step are the same computation.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/context.h"
#include "lm/state.h"

namespace linea {

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual int64_t vocabulary_size() const = 0;
  virtual int64_t layers() const = 0;
  virtual State initial_state(Context& ctx) const = 0;

  // Feeds one or more tokens. logits [1, V] f32 receives the last token's, logits [T, V] those of every token. Temporaries, whose size
  // grows with T, come from ctx.arena; a planning context leaves tokens' values and the state untouched. Throws kModel for an id outside
  // the vocabulary. A state of B sequences (State::repeated) reads B texts of equal length together, one after the other in `tokens`, and
  // logits [B, V] receives the last token's of each.
  virtual void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const = 0;

  void step(Context& ctx, int32_t token, State& state, const Tensor& logits) const { prefill(ctx, {&token, 1}, state, logits); }
};

}  // namespace linea
