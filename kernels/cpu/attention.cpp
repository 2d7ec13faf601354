// The CPU backend's attentions: fixed blocks of tokens and queries, so that bits do not depend on the threads. See simd/ for the maths.
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"

namespace linea {

using namespace cpu;

namespace {

// Of linear attention: sums of a block of tokens are one chain, blocks are added in order. Eight heads are 512 B of bf16 a token.
constexpr int64_t kTokenBlock = 512, kHeadGroup = 8;

int64_t padded(int64_t n, const Kernels& kernels) { return ceil_div(n, kernels.lanes) * kernels.lanes; }

}  // namespace

void CpuBackend::relu_linear_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& rows,
                                       float eps) {
  const Tensor& y = rows.values;  // no matrix here takes others
  const int64_t batch = q.dim(0), tokens = q.dim(1), heads = q.dim(2), d = q.dim(3);
  LINEA_ASSERT(d <= kMaxHeadDim);
  const int64_t blocks = ceil_div(tokens, kTokenBlock), state_size = (d + 1) * padded(d, kernels_);
  const Arena::Scope scope(*ctx.arena);
  const Tensor states = ctx.allocate({batch * heads, std::max<int64_t>(blocks, 1), state_size}, DType::kF32);
  if (ctx.planning()) return;

  const LinearAttentionParams p = {.q = q.raw(),
                                   .k = k.raw(),
                                   .v = v.raw(),
                                   .y = y.raw(),
                                   .q_batch = q.stride(0),
                                   .q_token = q.stride(1),
                                   .q_head = q.stride(2),
                                   .k_batch = k.stride(0),
                                   .k_token = k.stride(1),
                                   .k_head = k.stride(2),
                                   .v_batch = v.stride(0),
                                   .v_token = v.stride(1),
                                   .v_head = v.stride(2),
                                   .y_batch = y.stride(0),
                                   .y_token = y.stride(1),
                                   .y_head = y.stride(2),
                                   .head_dim = d,
                                   .eps = eps,
                                   .type = element_of(q)};
  float* state = states.data<float>();
  const int64_t head_groups = ceil_div(heads, kHeadGroup), tasks = batch * head_groups * blocks, head_pitch = blocks * state_size;
  const auto for_tasks = [&](auto visit) {
    parallel_for(tasks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t group = task % head_groups * kHeadGroup, block = task / head_groups % blocks;
        visit(task / head_groups / blocks, group, std::min(heads, group + kHeadGroup), block);
      }
    });
  };
  const auto tokens_end = [&](int64_t block) { return std::min(tokens, (block + 1) * kTokenBlock); };
  for_tasks([&](int64_t b, int64_t head_begin, int64_t head_end, int64_t block) {
    kernels_.linear_attention_state(p, b, head_begin, head_end, block * kTokenBlock, tokens_end(block),
                                    state + b * heads * head_pitch + block * state_size, head_pitch);
  });
  parallel_for(batch * heads, grain_of(head_pitch), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* total = state + i * head_pitch;
      const AddParams sum = {.a = total,
                             .b = total,
                             .y = total,
                             .a_pitch = 0,
                             .b_pitch = state_size,
                             .y_pitch = 0,
                             .dim = state_size,
                             .type = Element::kF32,
                             .b_type = Element::kF32,
                             .b_rows = blocks};
      kernels_.add(sum, 1, blocks);
    }
  });
  for_tasks([&](int64_t b, int64_t head_begin, int64_t head_end, int64_t block) {
    kernels_.linear_attention_apply(p, b, head_begin, head_end, block * kTokenBlock, tokens_end(block), state + b * heads * head_pitch,
                                    head_pitch);
  });
}

void CpuBackend::softmax_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& rows,
                                   const AttentionArgs& args) {
  const Tensor& y = rows.values;
  const int64_t batch = q.dim(0), queries = q.dim(1), heads = q.dim(2), d = q.dim(3), kv_heads = k.dim(1);
  LINEA_ASSERT(d <= kMaxHeadDim);
  const AttentionParams p = {.q = q.raw(),
                             .k = k.raw(),
                             .v = v.raw(),
                             .y = y.raw(),
                             .q_batch = q.stride(0),
                             .q_token = q.stride(1),
                             .q_head = q.stride(2),
                             .y_batch = y.stride(0),
                             .y_token = y.stride(1),
                             .y_head = y.stride(2),
                             .k_token = k.stride(0),
                             .k_head = k.stride(1),
                             .v_token = v.stride(0),
                             .v_head = v.stride(1),
                             .head_dim = d,
                             .queries = queries,
                             .scale = args.scale,
                             .softcap = args.softcap,
                             .causal = args.causal,
                             .window = args.window,
                             .type = element_of(q)};
  if (tiles_ && p.type == Element::kBF16) return tiled_attention(ctx, p, batch, heads, kv_heads, args.key_offsets);
  vector_attention(ctx, p, batch, heads, kv_heads, args.key_offsets);
}

void CpuBackend::vector_attention(Context& ctx, const AttentionParams& p, int64_t batch, int64_t heads, int64_t kv_heads,
                                  std::span<const int64_t> key_offsets) const {
  const int64_t tile_size = 2 * kKeyTile * p.head_dim;
  std::vector<int64_t> first_tile(static_cast<size_t>(batch + 1), 0);  // of each segment, within one key head
  for (size_t b = 0; b < static_cast<size_t>(batch); ++b) {
    first_tile[b + 1] = first_tile[b] + ceil_div(key_offsets[b + 1] - key_offsets[b], kKeyTile);
  }
  const int64_t tiles = first_tile.back();
  const Arena::Scope scope(*ctx.arena);
  const Tensor packed_tiles = ctx.allocate({kv_heads, std::max<int64_t>(tiles, 1), tile_size}, DType::kF32);
  if (ctx.planning()) return;
  float* packed = packed_tiles.data<float>();
  parallel_for(kv_heads * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t tile = i % tiles, head = i / tiles;
      const auto segment = static_cast<size_t>(std::upper_bound(first_tile.begin(), first_tile.end(), tile) - first_tile.begin() - 1);
      const int64_t first_key = key_offsets[segment] + (tile - first_tile[segment]) * kKeyTile;
      const int64_t count = std::min(kKeyTile, key_offsets[segment + 1] - first_key);
      kernels_.attention_pack(p, head, first_key, count, packed + i * tile_size);
    }
  });
  const int64_t query_blocks = ceil_div(p.queries, kQueryBlock);
  parallel_for(batch * heads * query_blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task % query_blocks, head = task / query_blocks % heads, b = task / query_blocks / heads;
      const int64_t kv_head = head / (heads / kv_heads);
      const auto segment = static_cast<size_t>(b);
      kernels_.attention(p, b, head, block * kQueryBlock, std::min(p.queries, (block + 1) * kQueryBlock),
                         key_offsets[segment + 1] - key_offsets[segment], packed + (kv_head * tiles + first_tile[segment]) * tile_size,
                         tile_size);
    }
  });
}

void CpuBackend::tiled_attention(Context& ctx, const AttentionParams& p, int64_t batch, int64_t heads, int64_t kv_heads,
                                 std::span<const int64_t> key_offsets) const {
  const auto keys_of = [&](int64_t b) { return key_offsets[static_cast<size_t>(b) + 1] - key_offsets[static_cast<size_t>(b)]; };
  int64_t most_keys = 0;
  for (int64_t b = 0; b < batch; ++b) most_keys = std::max(most_keys, keys_of(b));
  const int64_t segment_bytes = packed_attention_bytes(most_keys, p.head_dim);
  const Arena::Scope scope(*ctx.arena);
  const Tensor packed_segments = ctx.allocate({batch, kv_heads, std::max<int64_t>(segment_bytes / 4, 1)}, DType::kF32);
  const ThreadBuffers buffers(ctx, tile_attention_scratch(p.head_dim) / 4);
  if (ctx.planning()) return;

  char* packed = static_cast<char*>(packed_segments.raw());
  parallel_for(batch * kv_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / kv_heads;
      tiles_->attention_pack(p, i % kv_heads, key_offsets[static_cast<size_t>(b)], keys_of(b), packed + i * segment_bytes);
    }
  });
  const int64_t query_blocks = ceil_div(p.queries, kTileQueries);
  parallel_for(batch * heads * query_blocks, 1, [&](int64_t begin, int64_t end) {
    float* scratch = buffers.take();
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task % query_blocks, head = task / query_blocks % heads, b = task / query_blocks / heads;
      const int64_t segment = b * kv_heads + head / (heads / kv_heads);
      tiles_->attention(p, b, head, block * kTileQueries, std::min(p.queries, (block + 1) * kTileQueries), keys_of(b),
                        packed + segment * segment_bytes, scratch);
    }
  });
}

}  // namespace linea
