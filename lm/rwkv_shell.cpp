#include "lm/rwkv_shell.h"

#include "lm/logits.h"

namespace linea {

LayerNorm LayerNorm::load(const WeightLoader& w, const std::string& name, int64_t channels) {
  return {squeezed(w, name + ".weight", {channels}), squeezed(w, name + ".bias", {channels})};
}

void LayerNorm::operator()(Context& ctx, const Tensor& x, const Tensor& y) const { group_norm(ctx, x, weight, y, {.bias = bias}); }

RwkvShell RwkvShell::load(const WeightLoader& w) {
  RwkvShell shell;
  const int64_t V = rows_of(w, "emb.weight"), C = columns_of(w, "emb.weight");
  shell.embedding_ = w.table("emb.weight", V, C);
  shell.ln0_ = LayerNorm::load(w, "blocks.0.ln0", C);
  shell.ln_out_ = LayerNorm::load(w, "ln_out", C);
  shell.head_ = w.linear("head.weight", V, C);
  return shell;
}

void RwkvShell::embed(Context& ctx, std::span<const int32_t> tokens, const Tensor& x) const {
  embedding_lookup(ctx, embedding_, tokens, x);
  ln0_(ctx, x, x);
}

void RwkvShell::predict(Context& ctx, const Tensor& x, const Tensor& logits) const {
  const Arena::Scope scope(*ctx.arena);
  const Tensor rows = predicted_rows(x, logits), h = ctx.allocate(rows.shape());
  ln_out_(ctx, rows, h);
  predict_logits(ctx, h, head_, logits);
}

}  // namespace linea
