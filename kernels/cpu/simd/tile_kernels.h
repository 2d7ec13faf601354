// kernels/cpu/simd/tile_kernels.h: attention of bf16 on a processor's matrix units (AMX), whose registers are tiles of 16 rows of 64 bytes.
//
// Like kernels.h: plain data and function pointers, serial, no result depends on the range that a call is given. What is multiplied is
// rounded to bf16, sums are f32. `scratch` is a thread's own.
#pragma once

#include "kernels/cpu/simd/kernels.h"

namespace linea::cpu {

inline constexpr int64_t kTileKeys = 512;    // keys that softmax attention visits together
inline constexpr int64_t kTileQueries = 32;  // queries of one call

struct TileKernels {
  // Keys of a key head: panels of keys over head_dim, then the values.
  void (*attention_pack)(const AttentionParams&, int64_t kv_head, int64_t key_begin, int64_t keys, void* packed);
  // Up to kTileQueries queries of one head against a segment's packed keys.
  void (*attention)(const AttentionParams&, int64_t batch, int64_t head, int64_t query_begin, int64_t query_end, int64_t keys,
                    const void* packed, void* scratch);
};

// Bytes of what is packed and of the scratch. Rows are an odd number of cache lines long, so that they fall into all sets.
inline constexpr int64_t row_bytes_in_tiles(int64_t d) { return (((d + 31) / 32) | 1) * 64; }
inline constexpr int64_t packed_panel_bytes(int64_t d) { return (d + 31) / 32 * 2048; }
inline constexpr int64_t packed_attention_bytes(int64_t keys, int64_t d) {
  return (keys + 31) / 32 * (packed_panel_bytes(d) + (d + 15) / 16 * 1024);
}
inline constexpr int64_t tile_attention_scratch(int64_t d) {
  return kTileQueries * (row_bytes_in_tiles(d) + (kTileKeys + 16) * 4 + (d + 15) / 16 * 64);
}

namespace amx {
const TileKernels& tile_kernels();
}

}  // namespace linea::cpu
