// kernels/cuda/device/blocks.cuh: the block-quantised types of core/quantized.h, read 32 elements at a time.
//
// On the device a matrix lies in tiles of 8 rows and 256 columns, which are whole: rows and columns that it lacks are zeros. The tiles of
// 8 rows follow each other. A tile has the bytes of its blocks in planes, one for each field, so that a warp reads neighbouring bytes. Its
// 64 pieces of 32 elements have the order in which 16×8×16 products take them, four of a row before four of the next: piece p of row r is
//   32 (p / 4) + 4 r + p mod 4
// A piece has codes of up to 8 bits and, for each half of 16, a scale s and an offset o:
//   value = s · (code - bias) - o
// kScales says whether both halves share theirs. Codes of 4, 2 or 1 bits lie so that a shift and a mask give two of them, neighbours, in
// the halves of a word (pair_of). Of four pairs in 4 bits the second stands above the third, so that one shift gives the first two at the
// same bits and the last two too (pair_in_place). The scales of an even piece and the next come together.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/dtype.h"
#include "core/error.h"

namespace linea::cuda {

constexpr int kPiece = 32;  // elements
constexpr int kTileRows = 8, kTileColumns = 256, kTilePieces = kTileRows * kTileColumns / kPiece;

// Of a piece in its tile: a row's even piece is followed by the next one.
__host__ __device__ constexpr int place_in_tile(int row, int piece) { return 32 * (piece / 4) + 4 * row + piece % 4; }
__host__ __device__ constexpr int row_of_place(int place) { return place % 32 / 4; }

__device__ inline float half_of(uint32_t bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); }

template <class T> __device__ inline T streamed(const uint8_t* from) { return __ldcs(reinterpret_cast<const T*>(from)); }

// (word >> shift & mask) | others, in two instructions; the compiler would take three.
__device__ inline uint32_t masked(uint32_t word, int shift, uint32_t mask, uint32_t others) {
  const uint32_t shifted = shift >= 0 ? word >> shift : word << -shift;
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(shifted), "r"(mask), "r"(others));
  return result;
}

// Codes of a piece. pair_of(q, others, place): elements 2q and 2q + 1 in two halves, from bit `place` on, with the bits of `others`.
struct Codes4 {
  static constexpr int kBytes = 16;
  uint4 raw;
  __device__ void fetch(const uint8_t* plane, int place) { raw = streamed<uint4>(plane + place * kBytes); }
  __host__ __device__ static constexpr int bit_of(int pair) { return pair == 1 ? 8 : pair == 2 ? 4 : 4 * pair; }  // of a word's four
  __device__ uint32_t word_of(int q) const { return q / 4 == 0 ? raw.x : q / 4 == 1 ? raw.y : q / 4 == 2 ? raw.z : raw.w; }
  __device__ uint32_t pair_of(int q, uint32_t others, int place = 0) const {
    return masked(word_of(q), bit_of(q % 4) - place, 0x000f000fu << place, others);
  }
  // The same from bit 0 for a word's first two pairs and from bit 4 for its last two.
  __device__ uint32_t pair_in_place(int q) const {
    const uint32_t word = word_of(q);
    return (q % 2 == 0 ? word : word >> 8) & (q % 4 < 2 ? 0x000f000fu : 0x00f000f0u);
  }
};
struct Codes2 {
  static constexpr int kBytes = 8;
  uint2 raw;
  __device__ void fetch(const uint8_t* plane, int place) { raw = streamed<uint2>(plane + place * kBytes); }
  __device__ uint32_t pair_of(int q, uint32_t others, int place = 0) const {
    return masked(q / 8 == 0 ? raw.x : raw.y, 2 * (q % 8) - place, 0x00030003u << place, others);
  }
};
struct Codes1 {
  static constexpr int kBytes = 4;
  uint32_t raw;
  __device__ void fetch(const uint8_t* plane, int place) { raw = streamed<uint32_t>(plane + place * kBytes); }
  __device__ uint32_t pair_of(int q, uint32_t others, int place = 0) const { return masked(raw, q - place, 0x00010001u << place, others); }
};
// In two planes: the first halves of all pieces, then the second.
struct Codes8 {
  static constexpr int kBytes = 32;
  uint4 raw[2];
  __device__ void fetch(const uint8_t* plane, int place) {
    raw[0] = streamed<uint4>(plane + place * 16);
    raw[1] = streamed<uint4>(plane + (kTilePieces + place) * 16);
  }
  __device__ uint32_t pair_of(int q, uint32_t others) const {
    const uint4& half = raw[q / 8];
    const uint32_t word = q % 8 / 2 == 0 ? half.x : q % 8 / 2 == 1 ? half.y : q % 8 / 2 == 2 ? half.z : half.w;
    return __byte_perm(word, others, q % 2 == 0 ? 0x5150 : 0x5352);
  }
};

// Scales and offsets of one piece.
struct Affine {
  float scale[2], offset[2];
};

// A half a piece.
struct HalfScales {
  static constexpr int kTileBytes = kTilePieces * 2;
  static constexpr bool kOffsets = false;
  uint32_t raw;
  __device__ void fetch(const uint8_t* plane, int place) { raw = streamed<uint32_t>(plane + place / 2 * 4); }
  __device__ Affine of(int odd) const {
    const float scale = half_of(odd ? raw >> 16 : raw & 0xffff);
    return {{scale, scale}, {0, 0}};
  }
};

// A scale and what is added, as halves.
struct HalfAffines {
  static constexpr int kTileBytes = kTilePieces * 4;
  static constexpr bool kOffsets = true;
  uint2 raw;
  __device__ void fetch(const uint8_t* plane, int place) { raw = streamed<uint2>(plane + place / 2 * 8); }
  __device__ Affine of(int odd) const {
    const uint32_t halves = odd ? raw.y : raw.x;
    const float scale = half_of(halves & 0xffff), offset = -half_of(halves >> 16);
    return {{scale, scale}, {offset, offset}};
  }
};

// Of Q4_K and Q5_K: 16 bytes a row, two halves and then for each two pieces 24 bits, six each for scale and offset of the first and of the
// second.
struct GroupedAffines {
  static constexpr int kTileBytes = kTileRows * 16;
  static constexpr bool kOffsets = true;
  // What add() takes of the first piece is that often as large, and so much of the sum is what it gives.
  static constexpr float kFirstFactor = 16, kUnit = kFirstFactor * 0x1p-24f;
  uint4 raw;
  int place;
  __device__ void fetch(const uint8_t* plane, int of_piece) {
    raw = streamed<uint4>(plane + row_of_place(of_piece) * 16);
    place = of_piece;
  }
  // The bytes 0 1 1 2 of the two pieces at `at`: the first one's twelve bits from bit 0 on, the second one's from bit 20 on.
  __device__ uint32_t both(int at) const {
    const bool second = at % 4 >= 2;
    const uint32_t early = second ? 0x5443 : 0x2110, late = second ? 0 : 0x0776, last = second ? 0x7665 : 0x4210;
    return __byte_perm(__byte_perm(raw.y, raw.z, at < 32 ? early : late), raw.w, at < 32 ? 0x3210 : last);
  }
  __device__ Affine of(int odd) const {
    const uint32_t bits = both(place) >> 20 * odd;
    const float scale = half_of(raw.x & 0xffff) * static_cast<float>(bits & 63),
                offset = half_of(raw.x >> 16) * static_cast<float>(bits >> 6 & 63);
    return {{scale, scale}, {offset, offset}};
  }
  // The sum with the two pieces at `at`, whose products and sums of x are given: what is a row's comes last. Scales and offsets are
  // subnormal halves where they lie, the second piece's four bits higher than the first one's.
  __device__ float add(float sum, const float (&products)[2], const float (&totals)[2], int at) const {
    const uint32_t bits = both(at), scales = masked(bits, 0, 0x03f0003fu, 0), offsets = masked(bits, 6, 0x03f0003fu, 0);
    const float scaled = fmaf(half_of(scales >> 16), products[1], half_of(scales & 0xffff) * products[0]);
    const float offset = fmaf(half_of(offsets >> 16), totals[1], half_of(offsets & 0xffff) * totals[0]);
    return fmaf(-half_of(raw.x >> 16), offset, fmaf(half_of(raw.x & 0xffff), scaled, sum));
  }
};

// Of Q6_K: a half a row, and two signed bytes a piece.
struct SignedScales {
  static constexpr int kTileBytes = kTilePieces * 2 + kTileRows * 2;
  static constexpr bool kOffsets = false;
  uint32_t raw;
  uint16_t row;
  __device__ void fetch(const uint8_t* plane, int place) {
    raw = streamed<uint32_t>(plane + place / 2 * 4);
    row = streamed<uint16_t>(plane + kTilePieces * 2 + row_of_place(place) * 2);
  }
  __device__ Affine of(int odd) const {
    const uint32_t bytes = raw >> 16 * odd;
    const float all = half_of(row);
    return {{all * static_cast<float>(static_cast<int8_t>(bytes & 255)), all * static_cast<float>(static_cast<int8_t>(bytes >> 8 & 255))},
            {0, 0}};
  }
};

// Of Q2_K: two halves a row, and a byte a half piece, scale and offset.
struct NibbleAffines {
  static constexpr int kTileBytes = kTilePieces * 2 + kTileRows * 4;
  static constexpr bool kOffsets = true;
  uint32_t raw, row;
  __device__ void fetch(const uint8_t* plane, int place) {
    raw = streamed<uint32_t>(plane + place / 2 * 4);
    row = streamed<uint32_t>(plane + kTilePieces * 2 + row_of_place(place) * 4);
  }
  __device__ Affine of(int odd) const {
    const float scale = half_of(row & 0xffff), offset = half_of(row >> 16);
    Affine a;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32_t bits = raw >> (16 * odd + 8 * half);
      a.scale[half] = scale * static_cast<float>(bits & 15);
      a.offset[half] = offset * static_cast<float>(bits >> 4 & 15);
    }
    return a;
  }
};

// Of Q3_K: a half a row, and for two pieces 24 bits, six for each half piece, less 32: the lower 16 in a plane, the upper 8 in another,
// then the rows'.
struct SixBitScales {
  static constexpr int kTileBytes = kTilePieces / 2 * 3 + kTileRows * 2;
  static constexpr bool kOffsets = false;
  uint16_t low, row;
  uint8_t high;
  __device__ void fetch(const uint8_t* plane, int place) {
    low = streamed<uint16_t>(plane + place / 2 * 2);
    high = streamed<uint8_t>(plane + kTilePieces + place / 2);
    row = streamed<uint16_t>(plane + kTilePieces / 2 * 3 + row_of_place(place) * 2);
  }
  __device__ Affine of(int odd) const {
    const uint32_t bits = (low | static_cast<uint32_t>(high) << 16) >> 12 * odd;
    const float all = half_of(row);
    return {{all * static_cast<float>(static_cast<int>(bits & 63) - 32), all * static_cast<float>(static_cast<int>(bits >> 6 & 63) - 32)},
            {0, 0}};
  }
};

struct NoCodes {
  static constexpr int kBytes = 0;
  __device__ void fetch(const uint8_t*, int) {}
};

// What a type is made of: low bits of its codes, perhaps more bits above them, scales. kAhead: pieces on their way of a kernel that
// streams.
template <class Low, class High, int kBits, int kBiasOfCodes, class Scales, int kScalesOfPiece, int kPiecesAhead> struct BlockForm {
  static constexpr int kLowBits = kBits, kBias = kBiasOfCodes, kScales = kScalesOfPiece, kAhead = kPiecesAhead;
  static constexpr bool kOffsets = Scales::kOffsets, kGrouped = std::is_same_v<Scales, GroupedAffines>;
  static constexpr int kUpperPlace = std::is_same_v<Low, Codes4> && std::is_same_v<High, NoCodes> ? 4 : 0;  // of small_pair_of
  static constexpr int kHighPlane = kTilePieces * Low::kBytes, kScalePlane = kHighPlane + kTilePieces * High::kBytes;
  static constexpr int kTileBytes = kScalePlane + Scales::kTileBytes;

  Low low;
  High high;
  Scales scales;

  __device__ void fetch_codes(const uint8_t* tile, int place) {
    low.fetch(tile, place);
    high.fetch(tile + kHighPlane, place);
  }
  __device__ void fetch_scales(const uint8_t* tile, int place) { scales.fetch(tile + kScalePlane, place); }
  __device__ uint32_t pair_of(int q, uint32_t others) const {
    if constexpr (!std::is_same_v<High, NoCodes>) others = high.pair_of(q, others, kLowBits);
    return low.pair_of(q, others);
  }
  // pair_of(q, 0), but from bit kUpperPlace on for the last two of four pairs.
  __device__ uint32_t small_pair_of(int q) const {
    if constexpr (kUpperPlace > 0) return low.pair_in_place(q);
    return pair_of(q, 0);
  }
};

template <DType type> struct Blocks;
template <> struct Blocks<DType::kQ4_0> : BlockForm<Codes4, NoCodes, 4, 8, HalfScales, 1, 4> {};
template <> struct Blocks<DType::kQ4_1> : BlockForm<Codes4, NoCodes, 4, 0, HalfAffines, 1, 4> {};
template <> struct Blocks<DType::kQ5_0> : BlockForm<Codes4, Codes1, 4, 16, HalfScales, 1, 4> {};
template <> struct Blocks<DType::kQ5_1> : BlockForm<Codes4, Codes1, 4, 0, HalfAffines, 1, 4> {};
template <> struct Blocks<DType::kQ8_0> : BlockForm<Codes8, NoCodes, 8, 128, HalfScales, 1, 4> {};  // codes plus 128
template <> struct Blocks<DType::kQ2_K> : BlockForm<Codes2, NoCodes, 2, 0, NibbleAffines, 2, 4> {};
template <> struct Blocks<DType::kQ3_K> : BlockForm<Codes2, Codes1, 2, 4, SixBitScales, 2, 4> {};
template <> struct Blocks<DType::kQ4_K> : BlockForm<Codes4, NoCodes, 4, 0, GroupedAffines, 1, 4> {};
template <> struct Blocks<DType::kQ5_K> : BlockForm<Codes4, Codes1, 4, 0, GroupedAffines, 1, 4> {};
template <> struct Blocks<DType::kQ6_K> : BlockForm<Codes4, Codes2, 4, 32, SignedScales, 2, 4> {};

// Codes choose one of sixteen levels: -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113, plus 128 the bytes of four
// words.
template <> struct Blocks<DType::kIQ4_NL> : BlockForm<Codes4, NoCodes, 4, 128, HalfScales, 1, 4> {
  static constexpr int kUpperPlace = 0;
  __device__ uint32_t pair_of(int q, uint32_t others) const {
    const uint32_t codes = low.pair_of(q, 0), selector = (codes | codes >> 12) & 0x77;
    const uint32_t negative = __byte_perm(__byte_perm(0x3f2d1801u, 0x766a5d4fu, selector), 0, 0x4140);
    const uint32_t positive = __byte_perm(__byte_perm(0xa6998d81u, 0xf1d9c5b5u, selector), 0, 0x4140);
    const uint32_t is_upper = (codes >> 3 & 0x00010001u) * 0xffu;
    return (negative & ~is_upper) | (positive & is_upper) | others;
  }
  __device__ uint32_t small_pair_of(int q) const { return pair_of(q, 0); }
};

// Two codes less their bias as floats, exactly: 2²³ + code less 2²³ and the bias.
template <class B> __device__ inline float2 codes_of(const B& raw, int q) {
  constexpr float kLess = 8388608.0f + static_cast<float>(B::kBias);
  const uint32_t pair = raw.pair_of(q, 0);
  return {__uint_as_float(__byte_perm(pair, 0x4b000000u, 0x7610)) - kLess, __uint_as_float(__byte_perm(pair, 0x4b000000u, 0x7632)) - kLess};
}

// The same in a 16-bit type: code bits under an exponent make 2ⁿ + code where they fit its mantissa.
template <class B, class T> __device__ inline uint32_t narrow_codes_of(const B& raw, int q) {
  if constexpr (std::is_same_v<T, __half>) {
    const uint32_t pair = raw.pair_of(q, 0x64006400u);
    const __half2 v = __hsub2(reinterpret_cast<const __half2&>(pair), __float2half2_rn(1024.0f + B::kBias));
    return reinterpret_cast<const uint32_t&>(v);
  } else if constexpr (B::kBias < 128) {
    const uint32_t pair = raw.pair_of(q, 0x43004300u);
    const __nv_bfloat162 v = __hsub2(reinterpret_cast<const __nv_bfloat162&>(pair), __float2bfloat162_rn(128.0f + B::kBias));
    return reinterpret_cast<const uint32_t&>(v);
  } else {
    const float2 wide = codes_of(raw, q);
    const __nv_bfloat162 v = __floats2bfloat162_rn(wide.x, wide.y);
    return reinterpret_cast<const uint32_t&>(v);
  }
}

// A piece of a matrix in memory: its tile, and its place there.
struct PlaceOfPiece {
  const uint8_t* tile;
  int place;
};
template <class B> __device__ inline PlaceOfPiece place_of(const void* w, int row, int piece, int pieces_of_row) {
  constexpr int kPiecesAcross = kTileColumns / kPiece;
  const int64_t tiles_across = (pieces_of_row + kPiecesAcross - 1) / kPiecesAcross;
  const int64_t tile = row / kTileRows * tiles_across + piece / kPiecesAcross;
  return {static_cast<const uint8_t*>(w) + tile * B::kTileBytes, place_in_tile(row % kTileRows, piece % kPiecesAcross)};
}

// Calls f(Blocks<type>{}).
template <class F> void with_blocks(DType type, F&& f) {
  switch (type) {
    case DType::kQ4_0: return f(Blocks<DType::kQ4_0>{});
    case DType::kQ4_1: return f(Blocks<DType::kQ4_1>{});
    case DType::kQ5_0: return f(Blocks<DType::kQ5_0>{});
    case DType::kQ5_1: return f(Blocks<DType::kQ5_1>{});
    case DType::kQ8_0: return f(Blocks<DType::kQ8_0>{});
    case DType::kIQ4_NL: return f(Blocks<DType::kIQ4_NL>{});
    case DType::kQ2_K: return f(Blocks<DType::kQ2_K>{});
    case DType::kQ3_K: return f(Blocks<DType::kQ3_K>{});
    case DType::kQ4_K: return f(Blocks<DType::kQ4_K>{});
    case DType::kQ5_K: return f(Blocks<DType::kQ5_K>{});
    case DType::kQ6_K: return f(Blocks<DType::kQ6_K>{});
    default: throw Error(ErrorKind::kInternal, std::string(name_of(type)) + " is not block-quantised");
  }
}

}  // namespace linea::cuda
