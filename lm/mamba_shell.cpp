#include "lm/mamba_shell.h"

#include <cmath>

#include "lm/logits.h"

namespace linea {
namespace {

std::string embedding_of(const Checkpoint& checkpoint) {
  for (const char* prefix : {"backbone.", "model.backbone.", "model."}) {
    for (const char* embedding : {"embeddings.weight", "embedding.weight"}) {
      if (checkpoint.contains(std::string(prefix) + embedding)) return std::string(prefix) + embedding;
    }
  }
  throw Error(ErrorKind::kModel, checkpoint.source().string() + ": not a recurrent language model that Linea knows",
              "expected tensors named as in RWKV-4 to 7 (blocks.0.att.…) or Mamba and Mamba-2 (backbone.embeddings.weight)");
}

}  // namespace

std::string MambaShell::prefix_of(const Checkpoint& checkpoint) {
  const std::string name = embedding_of(checkpoint);
  return name.substr(0, name.rfind("embedding"));
}

MambaShell MambaShell::load(Context& ctx, const Checkpoint& checkpoint, float eps) {
  const WeightLoader root = WeightLoader(ctx, checkpoint).as_stored();
  const std::string embedding = embedding_of(checkpoint);
  const int64_t V = rows_of(root, embedding), D = columns_of(root, embedding);
  MambaShell shell;
  shell.eps_ = eps;
  shell.embedding_ = root.table(embedding, V, D);
  shell.norm_ = root.vector(prefix_of(checkpoint) + "norm_f.weight", {D});
  // A tied head is the table itself, but for blocks that a device multiplies and does not look up.
  const bool own_blocks = is_quantized(root.type_of(embedding, ctx.dtype)) && !is_quantized(shell.embedding_.dtype());
  const bool has_head = root.contains("lm_head.weight");
  shell.head_ = has_head || own_blocks ? root.linear(has_head ? "lm_head.weight" : embedding, V, D) : prepare_linear(ctx, shell.embedding_);
  return shell;
}

void MambaShell::embed(Context& ctx, std::span<const int32_t> tokens, const Tensor& x) const {
  embedding_lookup(ctx, embedding_, tokens, x);
}

void MambaShell::predict(Context& ctx, const Tensor& x, const Tensor& logits) const {
  const Arena::Scope scope(*ctx.arena);
  const Tensor rows = predicted_rows(x, logits), h = ctx.allocate(rows.shape());
  group_norm(ctx, rows, norm_, h, {.eps = eps_, .centre = false});
  predict_logits(ctx, h, head_, logits);
}

void require_flag(const Config& json, const std::string& key, bool expected) {
  if (json.boolean(key, expected) != expected) json.fail(key, std::string("unsupported: ") + (expected ? "false" : "true"));
}

void require_no_time_step_limit(const Config& json, const std::string& key) {
  if (!json.has(key)) return;
  const Json& limit = json.at(key);
  const auto is_infinite = [](const Json& value) {
    return value.is_null() || (value.is_number() && std::isinf(value.get<double>())) || value == "Infinity" ||
           (value.is_object() && value.value("__float__", "") == "Infinity");
  };
  if (!limit.is_array() || limit.size() != 2 || limit[0] != 0.0 || !is_infinite(limit[1])) json.fail(key, "unsupported: " + limit.dump());
}

void require_plain_layers(const Config& authors) {
  if (authors.integer("d_intermediate", 0, int64_t{1} << 24, 0) != 0) authors.fail("d_intermediate", "unsupported: MLP layers");
  if (authors.has("attn_layer_idx") && !authors.at("attn_layer_idx").empty()) {
    authors.fail("attn_layer_idx", "unsupported: attention layers");
  }
  require_flag(authors, "rms_norm", true);
}

}  // namespace linea
