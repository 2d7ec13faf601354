#include "kernels/cpu/simd/tile_kernels.h"

namespace linea::cpu::LINEA_ISA {

void tile_attention_pack(const AttentionParams& p, int64_t kv_head, int64_t key_begin, int64_t keys, void* packed);
void tile_attention(const AttentionParams& p, int64_t batch, int64_t head, int64_t query_begin, int64_t query_end, int64_t keys,
                    const void* packed, void* scratch);

const TileKernels& tile_kernels() {
  static const TileKernels table = {tile_attention_pack, tile_attention};
  return table;
}

}  // namespace linea::cpu::LINEA_ISA
