#include "kernels/cpu/interleaved.h"

#include <cstring>

#include "core/quantized.h"
#include "core/threads.h"
#include "kernels/cpu/common.h"

namespace linea::cpu {
namespace {

using Bytes = const uint8_t*;

// `words` of four codes of one row, each to its lane in a vector of its own.
void put_words(Bytes from, int row, int words, uint8_t* to) {
  for (int i = 0; i < words; ++i) std::memcpy(to + 4 * (i * kInterleavedRows + row), from + 4 * i, 4);
}

// Scales and offsets of Q4_K and Q5_K.
template <class Block> void put_affine(Bytes block, int row, Block& to) {
  std::memcpy(&to.scale[row], block, 2);
  std::memcpy(&to.offset[row], block + 2, 2);
  for (int g = 0; g < 8; ++g) {
    const SixBitGroup group = six_bit_group(block + 4, g);
    to.scales[g][row] = static_cast<uint8_t>(group.scale);
    to.offsets[g][row] = static_cast<uint8_t>(group.offset);
  }
}

void put(Bytes block, int row, InterleavedQ4K& to) {
  put_affine(block, row, to);
  put_words(block + 16, row, 32, to.codes[0][0]);
}

void put(Bytes block, int row, InterleavedQ5K& to) {
  put_affine(block, row, to);
  put_words(block + 16, row, 8, to.high[0]);
  put_words(block + 48, row, 32, to.codes[0][0]);
}

void put(Bytes block, int row, InterleavedQ6K& to) {
  put_words(block, row, 32, to.low[0][0][0]);
  put_words(block + 128, row, 16, to.high[0][0]);
  for (int g = 0; g < 16; ++g) to.scales[g][row] = static_cast<int8_t>(block[192 + g]);
  std::memcpy(&to.scale[row], block + 208, 2);
}

template <class Block> Tensor interleaved_as(const Tensor& w) {
  const int64_t out = w.dim(0), blocks = w.dim(1) / kInterleavedElements, size = bytes_for(w.dtype(), kInterleavedElements);
  Tensor result({ceil_div(out, kInterleavedRows), blocks * static_cast<int64_t>(sizeof(Block))}, DType::kU8);
  parallel_for(result.dim(0), grain_of(kInterleavedRows * w.dim(1) / 4), [&](int64_t begin, int64_t end) {
    for (int64_t eight = begin; eight < end; ++eight) {
      auto* to = static_cast<Block*>(static_cast<void*>(result.data<uint8_t>())) + eight * blocks;
      const int rows = static_cast<int>(std::min<int64_t>(kInterleavedRows, out - eight * kInterleavedRows));
      if (rows < kInterleavedRows) std::memset(to, 0, static_cast<size_t>(blocks) * sizeof(Block));
      for (int row = 0; row < rows; ++row) {
        const auto* from = static_cast<const uint8_t*>(w.raw()) + (eight * kInterleavedRows + row) * blocks * size;
        for (int64_t b = 0; b < blocks; ++b) put(from + b * size, row, to[b]);
      }
    }
  });
  return result;
}

}  // namespace

bool interleaves(const Kernels& kernels, DType type) {
  return kernels.interleaved_dot && (type == DType::kQ4_K || type == DType::kQ5_K || type == DType::kQ6_K);
}

Tensor interleaved(const Tensor& w) {
  switch (w.dtype()) {
    case DType::kQ4_K: return interleaved_as<InterleavedQ4K>(w);
    case DType::kQ5_K: return interleaved_as<InterleavedQ5K>(w);
    default: return interleaved_as<InterleavedQ6K>(w);
  }
}

}  // namespace linea::cpu
