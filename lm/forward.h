// lm/forward.h: the course of every forward pass: embedding, layers on an f32 residual stream, head. Private to lm/.
#pragma once

#include <span>
#include <string>

#include "kernels/backend.h"
#include "kernels/ops.h"
#include "kernels/replay.h"
#include "lm/state.h"

namespace linea {

// `shell` embeds tokens and predicts logits (MambaShell, RwkvShell); layer(i, x) adds layer i to x [T, C]. `name` is what the reference
// calls its list of layers: taps are "<name>.<i>". A step of one token (of each sequence) is replayed where the context keeps such work:
// all but the embedding depends on nothing but addresses. Steps, and quantised models, are sequences of ops that need no library with
// threads of its own.
template <class Shell, class Layer>
void run_layers(Context& ctx, const Shell& shell, std::span<const int32_t> tokens, int64_t layers, const char* name, State& state,
                const Tensor& logits, const Layer& layer) {
  if (!ctx.planning()) state.own();
  const Arena::Scope scope(*ctx.arena);
  const Tensor x = ctx.allocate({static_cast<int64_t>(tokens.size()), shell.channels()}, DType::kF32);
  shell.embed(ctx, tokens, x);
  const auto rest = [&] {
    for (int64_t i = 0; i < layers; ++i) {
      ctx.cancel.throw_if_cancelled();
      layer(i, x);
      if (ctx.tap) ctx.tap(std::string(name) + "." + std::to_string(i), x);
    }
    shell.predict(ctx, x, logits);
  };
  const bool is_step = static_cast<int64_t>(tokens.size()) == state.sequences();
  const bool is_sequence = (is_step || shell.in_blocks()) && !ctx.tap;  // a tap reads in between
  const auto sequence = [&] { is_sequence ? ctx.backend->run_sequence(rest) : rest(); };
  if (!is_step || !ctx.replays) return sequence();
  ReplayCache::Key key = {&shell, x.raw(), logits.raw()};
  for (int64_t i = 0; i < state.layers(); ++i) {
    for (const Tensor& part : state.layer(i)) key.push_back(part.raw());
  }
  ctx.replays->run(ctx, std::move(key), sequence);
}

}  // namespace linea
