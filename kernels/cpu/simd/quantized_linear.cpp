// Products with block-quantised weights, which are never expanded in memory.
//
// Maths      y = Σ_groups scale_w · scale_x · (Σ code_w · code_x) - offset_w · Σ x      codes of weights have up to 8 bits, those of x 15
// Accuracy   x is rounded to 15 bits in groups of 32, an error of about 2e-5 of a product (8 bits would cost 4e-3); the sums of a group are
//            exact, and sums over groups are f32.
// Few rows   weights stream once from memory: a part of 32 elements is unpacked in registers and multiplied with each row of x.
// Many rows  a panel of kQuantizedColumns outputs by kQuantizedDepth elements is unpacked once as pairs of 16-bit integers, one output a
//            lane, so that a multiply-add of pairs needs one broadcast of x. Repacking costs about one instruction for 3 weights, against
//            rows/32 multiply-adds.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/quantized_blocks.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int kPart = 32;                // elements that codes() unpacks
constexpr int kPairs = 2 * kLanes;       // elements of one I16s
constexpr int kChunks = kPart / kPairs;  // of a part
constexpr int kPairsOfPart = kPart / 2;

// sum + the products of neighbours, added in pairs: 32-bit lanes
inline I32s multiply_add(I32s sum, I16s a, I16s b) {
#if defined(__AVX512VNNI__)
  return (I32s)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
  return sum + (I32s)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return sum + (I32s)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return sum + (I32s)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  const I32s even_a = (bits<I32s>(a) << 16) >> 16, odd_a = bits<I32s>(a) >> 16;
  const I32s even_b = (bits<I32s>(b) << 16) >> 16, odd_b = bits<I32s>(b) >> 16;
  return sum + even_a * even_b + odd_a * odd_b;
#endif
}

inline I16s load_pairs(const int16_t* p) {
  I16s v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

inline F32s floats(I32s v) { return __builtin_convertvector(v, F32s); }

inline F32s broadcast(float value) { return value - F32s{}; }  // splat() turns -0 into +0, which costs an addition

// ---- Activations -------------------------------------------------------------------------------------------------------------------

constexpr float kLargestCode = 32767.0f;
constexpr float kToInteger = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, which then stands in the low bits

template <class T> void quantize_row(const QuantizeParams& p, int64_t row) {
  const T* x = static_cast<const T*>(p.x) + row * p.x_pitch;
  for (int64_t k = 0; k < p.in; k += kPart) {
    F32s value[kPart / kLanes], largest = {}, check = {};
    for (int i = 0; i < kPart / kLanes; ++i) {
      value[i] = load(x + k + i * kLanes);
      largest = max(largest, bits<F32s>(bits<U32s>(value[i]) & 0x7fffffffu));
      check += value[i] * 0.0f;  // not a number where x is none, or infinite
    }
    const float peak = horizontal_max(largest), scale = peak < 1e-30f ? 0.0f : peak / kLargestCode;
    const float factor = scale == 0.0f ? 0.0f : kLargestCode / peak;
    int32_t sum[2] = {};  // of sixteen elements
    for (int i = 0; i < kPart / kLanes; ++i) {
      const I32s code = bits<I32s>(value[i] * factor + kToInteger) - bits<I32s>(splat(kToInteger));
      int16_t lanes[kLanes];
      for (int l = 0; l < kLanes; ++l) {
        lanes[l] = static_cast<int16_t>(code[l]);
        sum[i * kLanes / 16] += lanes[l];
      }
      __builtin_memcpy(p.codes + row * p.in + k + i * kLanes, lanes, sizeof(lanes));
    }
    p.scales[(row * p.in + k) / kPart] = scale + horizontal_sum(check);
    for (int j = 0; j < 2; ++j) p.sums[(row * p.in + k) / 16 + j] = scale * static_cast<float>(sum[j]);
    p.part_sums[(row * p.in + k) / kPart] = scale * static_cast<float>(sum[0] + sum[1]);
  }
}

// ---- Few rows ----------------------------------------------------------------------------------------------------------------------

// The scales of a chunk of a part, lane by lane, out of those of the whole block.
template <int kPart, int kChunk> inline F32s chunk_scale(const float& scale) { return broadcast(scale); }
template <int kPart, int kChunk> inline F32s chunk_scale(const F32x8& scales) {
  return broadcast(reinterpret_cast<const float*>(&scales)[kPart]);
}
template <int kPart, int kChunk> inline F32s chunk_scale(const F32x16& scales) {
#if defined(__AVX512F__)
  I32s pick;
  for (int l = 0; l < kLanes; ++l) pick[l] = 2 * kPart + l / 8;
  return __builtin_shuffle(scales, pick);
#else
  return broadcast(reinterpret_cast<const float*>(&scales)[2 * kPart + kChunk * kPairs / 16]);
#endif
}

// Eight scales are read one by one: from memory that costs nothing, from a register it takes shuffles.
inline void spill(F32x8& v) { asm("" : "+m"(v)); }
template <class Groups> inline void spill(Groups&) {}

template <int kIndex> struct Chain {};

// Scales of x for the groups of a block whose first element is number `at` of the codes.
inline float scales_for(const float* x_scales, int64_t at, float) { return x_scales[at / kPart]; }
inline F32x8 scales_for(const float* x_scales, int64_t at, F32x8) {
  F32x8 v;
  __builtin_memcpy(&v, x_scales + at / kPart, sizeof(v));
  return v;
}
inline F32x16 scales_for(const float* x_scales, int64_t at, F32x16) {
  const F32x8 v = scales_for(x_scales, at, F32x8{});
  return __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
}

// A vector of offsets in the lanes of another, whose sum is all that counts.
inline F32s spread(float v) {
  F32s result = {};
  result[0] = v;
  return result;
}
template <class Groups> inline F32s spread(const Groups& v) {
  F32s parts[sizeof(Groups) / sizeof(F32s) + 1] = {};
  __builtin_memcpy(parts, &v, sizeof(v));
  F32s result = parts[0];
  for (size_t i = 1; i < sizeof(Groups) / sizeof(F32s); ++i) result += parts[i];
  return result;
}

// One row of the weights by kRows rows of x.
template <class Q, int kRows> struct DotTile {
  static constexpr bool kHasOffset = Q::kOffset || Q::kZero != 0;
  static constexpr int kGroups = Q::kElements / Q::kGroup, kParts = Q::kElements / kPart;
  using Groups = typename GroupFloats<kGroups>::Type;
  const QuantizedLinearParams& p;
  int64_t row;
  F32s chain[kRows][2] = {};
  Groups offset[kRows] = {};

  // One block of weights, whose elements begin at k; its parts take turns with the two chains.
  template <int kFirst> __attribute__((always_inline)) void add(const uint8_t* block, int64_t k, Chain<kFirst>) {
    Groups scales, offsets;
    Q::groups(block, scales, offsets);
    if constexpr (Q::kZero != 0) offsets = scales * static_cast<float>(Q::kZero);
    Groups product[kRows];
    for (int i = 0; i < kRows; ++i) {
      const int64_t at = (row + i) * p.in + k;
      product[i] = scales * scales_for(p.x_scales, at, Groups{});
      if constexpr (kHasOffset) {
        Groups sums;
        __builtin_memcpy(&sums, (Q::kGroup == 16 ? p.x_sums : p.x_part_sums) + at / Q::kGroup, sizeof(sums));
        offset[i] += offsets * sums;
      }
    }
    for (int i = 0; i < kRows; ++i) spill(product[i]);
    add_parts<kFirst, 0>(block, k, product);
  }

  template <int kFirst, int kPartIndex>
  __attribute__((always_inline)) void add_parts(const uint8_t* block, int64_t k, const Groups (&product)[kRows]) {
    if constexpr (kPartIndex < kParts) {
      const I8x32 codes = Q::template codes<kPartIndex>(block);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const int16_t* x = p.x + (row + i) * p.in + k + kPartIndex * kPart;
        add_chunks<kPartIndex, 0>(chain[i][(kFirst + kPartIndex) % 2], codes, x, product[i]);
      }
      add_parts<kFirst, kPartIndex + 1>(block, k, product);
    }
  }

  template <int kPartIndex, int kChunk>
  __attribute__((always_inline)) static void add_chunks(F32s& sum, I8x32 codes, const int16_t* x, const Groups& scales) {
    if constexpr (kChunk < kChunks) {
      const I32s products = multiply_add(I32s{}, widened<kChunk>(codes), load_pairs(x + kChunk * kPairs));
      sum += floats(products) * chunk_scale<kPartIndex, kChunk>(scales);
      add_chunks<kPartIndex, kChunk + 1>(sum, codes, x, scales);
    }
  }

  // The sum for row i, spread over the lanes.
  F32s total(int i) const {
    const F32s sum = chain[i][0] + chain[i][1];
    if constexpr (!kHasOffset) return sum;
    return sum - spread(offset[i]);
  }
};

// totals[i] = row (row + i) of x · row n of the weights, spread over the lanes
template <class Q, int kRows> void dot_tile(const QuantizedLinearParams& p, int64_t row, int64_t n, F32s* totals) {
  DotTile<Q, kRows> tile{p, row};
  const uint8_t* block = p.w + n * p.row_bytes;
  int64_t k = 0;
  if constexpr (Q::kElements == kPart) {
    for (; k + 2 * kPart <= p.in; k += 2 * kPart, block += 2 * Q::kBytes) {
      tile.add(block, k, Chain<0>{});
      tile.add(block + Q::kBytes, k + kPart, Chain<1>{});
    }
  }
  for (; k < p.in; k += Q::kElements, block += Q::kBytes) tile.add(block, k, Chain<0>{});
  for (int i = 0; i < kRows; ++i) totals[i] = tile.total(i);
}

void finish(const QuantizedLinearParams& p, const float* sums, int64_t sums_pitch, int64_t row, int64_t rows, int64_t column,
            int64_t columns) {
  const int64_t bytes = p.out.type == Element::kF32 ? 4 : 2;
  EpilogueParams e = {};
  e.x = sums;
  e.bias = p.out.bias ? p.out.bias + column : nullptr;
  e.residual = p.out.residual ? static_cast<const char*>(p.out.residual) + (row * p.out.residual_pitch + column) * bytes : nullptr;
  e.y = static_cast<char*>(p.out.y) + (row * p.out.y_pitch + column) * bytes;
  e.x_pitch = sums_pitch;
  e.residual_pitch = p.out.residual_pitch;
  e.y_pitch = p.out.y_pitch;
  e.rows_per_gate = 1;
  e.dim = columns;
  e.act = p.out.act;
  e.y_type = p.out.type;
  if (!p.out.gate) return epilogue(e, 0, rows);
  for (int64_t r = 0; r < rows; ++r) {  // a block may cross from one batch member to the next
    e.gate = p.out.gate + (row + r) / p.out.rows_per_gate * p.out.gate_pitch + column;
    e.gate_pitch = 0;
    epilogue(e, r, r + 1);
  }
}

// kRows rows of x, `outputs` outputs from n on, at most kOutputBlock.
template <class Q, int kRows> void dot_outputs(const QuantizedLinearParams& p, int64_t row, int64_t n, int64_t outputs) {
  float sums[kRows * kOutputBlock];
  for (int64_t j = 0; j < outputs; j += kLanes) {
    F32s totals[kRows][kLanes] = {};
    for (int64_t l = 0; l < kLanes && j + l < outputs; ++l) {
      F32s one[kRows];
      dot_tile<Q, kRows>(p, row, n + j + l, one);
      for (int i = 0; i < kRows; ++i) totals[i][l] = one[i];
    }
    for (int i = 0; i < kRows; ++i) store(sums + i * kOutputBlock + j, lane_sums(totals[i]));
  }
  finish(p, sums, kOutputBlock, row, kRows, n, outputs);
}

template <class Q> void dot_blocks(const QuantizedLinearParams& p, int64_t block_begin, int64_t block_end) {
  for (int64_t block = block_begin; block < block_end; ++block) {
    const int64_t n = block * kOutputBlock, outputs = p.out.out - n < kOutputBlock ? p.out.out - n : kOutputBlock;
    for (int64_t m = 0; m < p.out.rows;) {
      const int64_t left = p.out.rows - m, rows = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      rows == 4   ? dot_outputs<Q, 4>(p, m, n, outputs)
      : rows == 2 ? dot_outputs<Q, 2>(p, m, n, outputs)
                  : dot_outputs<Q, 1>(p, m, n, outputs);
      m += rows;
    }
  }
}

// ---- Many rows ---------------------------------------------------------------------------------------------------------------------

constexpr int kVectors = kLanes == 16 ? 4 : 2;  // of outputs in a tile
constexpr int kTile = kVectors * kLanes;        // outputs in a tile
constexpr int kTileRows = kLanes == 16 ? 6 : 4;
constexpr int kMostGroups = static_cast<int>(kQuantizedDepth) / 16;

// kTile outputs by kQuantizedDepth elements, in scratch: pairs [depth / 2, kTile], then scales and offsets [groups, kTile].
struct Panel {
  float* pairs;
  float *scales, *offsets;
};

template <int kChunk> inline void store_chunks(int16_t* to, I8x32 codes) {
  if constexpr (kChunk < kChunks) {
    const I16s chunk = widened<kChunk>(codes);
    __builtin_memcpy(to + kChunk * kPairs, &chunk, sizeof(chunk));
    store_chunks<kChunk + 1>(to, codes);
  }
}

using PartsOfRows = int16_t[kLanes][kPart];

template <class Q, int kPartIndex> inline void store_parts(PartsOfRows* to, int row, const uint8_t* block) {
  if constexpr (kPartIndex < Q::kElements / kPart) {
    store_chunks<0>(to[kPartIndex][row], signed_codes((U8x32)Q::template codes<kPartIndex>(block), Q::kZero));
    store_parts<Q, kPartIndex + 1>(to, row, block);
  }
}

inline void clear_parts(PartsOfRows* to, int row, int parts) {
  for (int part = 0; part < parts; ++part) __builtin_memset(to[part][row], 0, sizeof(to[part][row]));
}

// Rows [column, column + columns) of the weights; beyond them zeros.
template <class Q>
void pack(const QuantizedLinearParams& p, int64_t column, int64_t columns, int64_t k, int64_t depth, const Panel& panel) {
  constexpr int kGroups = Q::kElements / Q::kGroup, kMostBlocks = kQuantizedDepth / Q::kElements;
  alignas(kBytes) PartsOfRows codes[kQuantizedDepth / kPart];
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kLanes; ++r) {
      const int64_t n = v * kLanes + r;
      typename GroupFloats<kGroups>::Type scales[kMostBlocks] = {}, offsets[kMostBlocks] = {};
      for (int64_t at = 0; at < depth; at += Q::kElements) {
        const uint8_t* block = p.w + (column + n) * p.row_bytes + (k + at) / Q::kElements * Q::kBytes;
        if (n < columns) Q::groups(block, scales[at / Q::kElements], offsets[at / Q::kElements]);
        n < columns ? store_parts<Q, 0>(codes + at / kPart, r, block) : clear_parts(codes + at / kPart, r, Q::kElements / kPart);
      }
      for (int64_t g = 0; g < depth / kPart * (kPart / Q::kGroup); ++g) {
        panel.scales[g * kTile + n] = reinterpret_cast<const float*>(scales)[g];
        if constexpr (Q::kOffset) panel.offsets[g * kTile + n] = reinterpret_cast<const float*>(offsets)[g];
      }
    }
    for (int64_t part = 0; part < depth / kPart; ++part) {
      for (int c = 0; c < kPairsOfPart; c += kLanes) {
        F32s rows[kLanes];
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) __builtin_memcpy(&rows[r], codes[part][r] + 2 * c, sizeof(F32s));
        transpose(rows);
#pragma GCC unroll 16
        for (int j = 0; j < kLanes; ++j) store(panel.pairs + (part * kPairsOfPart + c + j) * kTile + v * kLanes, rows[j]);
      }
    }
  }
}

// sums [kRows, kTile] += rows [row, row + kRows) of x by the panel
template <int kGroup, bool kOffset, int kRows>
void multiply_tile(const QuantizedLinearParams& p, const Panel& panel, int64_t row, int64_t k, int64_t depth, float* sums) {
  for (int64_t g = 0; g < depth / kGroup; ++g) {
    const int64_t begin = k + g * kGroup;
    I32s sum[kRows][kVectors] = {};
    const float* pairs = panel.pairs + g * (kGroup / 2) * kTile;
    for (int j = 0; j < kGroup / 2; ++j, pairs += kTile) {
      I16s w[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) w[v] = bits<I16s>(load(pairs + v * kLanes));
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        int32_t pair;
        __builtin_memcpy(&pair, p.x + (row + i) * p.in + begin + 2 * j, sizeof(pair));
        const I16s x = bits<I16s>(I32s{} + pair);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[i][v] = multiply_add(sum[i][v], w[v], x);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const float x_scale = p.x_scales[((row + i) * p.in + begin) / kPart];
      const float x_sum = (kGroup == 16 ? p.x_sums : p.x_part_sums)[((row + i) * p.in + begin) / kGroup];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        float* target = sums + i * kTile + v * kLanes;
        F32s total = load(target) + floats(sum[i][v]) * (load(panel.scales + g * kTile + v * kLanes) * x_scale);
        if constexpr (kOffset) total -= load(panel.offsets + g * kTile + v * kLanes) * x_sum;
        store(target, total);
      }
    }
  }
}

template <class Q>
void multiply_block(const QuantizedLinearParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  constexpr int kGroup = Q::kGroup;
  constexpr bool kOffset = Q::kOffset;
  const Panel panel = {scratch, scratch + kQuantizedDepth / 2 * kTile, scratch + (kQuantizedDepth / 2 + kMostGroups) * kTile};
  float* sums = panel.offsets + kMostGroups * kTile;
  for (int64_t i = 0; i < rows * kTile; ++i) sums[i] = 0;
  for (int64_t k = 0; k < p.in; k += kQuantizedDepth) {
    const int64_t depth = p.in - k < kQuantizedDepth ? p.in - k : kQuantizedDepth;
    pack<Q>(p, column, columns, k, depth, panel);
    int64_t r = 0;
    for (; r + kTileRows <= rows; r += kTileRows) multiply_tile<kGroup, kOffset, kTileRows>(p, panel, row + r, k, depth, sums + r * kTile);
    for (; r + 2 <= rows; r += 2) multiply_tile<kGroup, kOffset, 2>(p, panel, row + r, k, depth, sums + r * kTile);
    if (r < rows) multiply_tile<kGroup, kOffset, 1>(p, panel, row + r, k, depth, sums + r * kTile);
  }
  finish(p, sums, kTile, row, rows, column, columns);
}

}  // namespace

static_assert(kTile <= kQuantizedColumns && kQuantizedColumns % kTile == 0);

void quantize_activations(const QuantizeParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    for (int64_t row = row_begin; row < row_end; ++row) quantize_row<TypeOf<decltype(type)>>(p, row);
  });
}

void quantized_dot(const QuantizedLinearParams& p, int64_t block_begin, int64_t block_end) {
  with_block(p.block, [&](auto type) { dot_blocks<decltype(type)>(p, block_begin, block_end); });
}

void quantized_gemm(const QuantizedLinearParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  with_block(p.block, [&](auto type) {
    for (int64_t c = 0; c < columns; c += kTile) {
      multiply_block<decltype(type)>(p, row, rows, column + c, columns - c < kTile ? columns - c : kTile, scratch);
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
