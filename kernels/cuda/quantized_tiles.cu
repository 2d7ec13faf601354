// kernels/cuda/quantized_tiles.cu: block-quantised matrices from the file's order to tiles (device/blocks.cuh), on the CPU.
//
// Byte offsets are those of core/quantized.cpp. Codes are taken apart piece by piece and packed anew; scales keep their bits.
#include <array>
#include <cstring>

#include "core/threads.h"
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/blocks.cuh"
#include "kernels/cuda/quantized_linear.h"

namespace linea::cuda {
namespace {

using Bytes = const uint8_t*;
using Codes = std::array<uint8_t, kPiece>;

// ---- Codes of piece j of a block ------------------------------------------------------------------------------------------------------

// Blocks of 32 keep element i and i + 16 in one byte.
Codes nibbles_of(Bytes from) {
  Codes codes;
  for (int i = 0; i < 16; ++i) codes[i] = from[i] & 15, codes[i + 16] = from[i] >> 4;
  return codes;
}
Codes five_bits_of(Bytes from, Bytes high) {
  Codes codes = nibbles_of(from);
  for (int i = 0; i < kPiece; ++i) codes[i] = static_cast<uint8_t>(codes[i] | (high[i / 8] >> i % 8 & 1) << 4);
  return codes;
}
// Blocks of 256 keep two pieces, or four, in 32 bytes.
Codes long_nibbles_of(Bytes from, int j) {
  Codes codes;
  for (int i = 0; i < kPiece; ++i) codes[i] = from[32 * (j / 2) + i] >> 4 * (j % 2) & 15;
  return codes;
}
Codes two_bits_of(Bytes from, int j) {
  Codes codes;
  for (int i = 0; i < kPiece; ++i) codes[i] = from[32 * (j / 4) + i] >> 2 * (j % 4) & 3;
  return codes;
}
void add_bit(Codes& codes, Bytes from, int j, int place) {
  for (int i = 0; i < kPiece; ++i) codes[i] = static_cast<uint8_t>(codes[i] | (from[i] >> j & 1) << place);
}

Codes codes_in_block(DType type, Bytes b, int j) {
  Codes codes = {};
  switch (type) {
    case DType::kQ4_0:
    case DType::kIQ4_NL: return nibbles_of(b + 2);
    case DType::kQ4_1: return nibbles_of(b + 4);
    case DType::kQ5_0: return five_bits_of(b + 6, b + 2);
    case DType::kQ5_1: return five_bits_of(b + 8, b + 4);
    case DType::kQ8_0:
      for (int i = 0; i < kPiece; ++i) codes[i] = b[2 + i] ^ 0x80;  // signed to unsigned
      return codes;
    case DType::kQ2_K: return two_bits_of(b + 16, j);
    case DType::kQ3_K:
      codes = two_bits_of(b + 32, j);
      add_bit(codes, b, j, 2);
      return codes;
    case DType::kQ4_K: return long_nibbles_of(b + 16, j);
    case DType::kQ5_K:
      codes = long_nibbles_of(b + 48, j);
      add_bit(codes, b + 16, j, 4);
      return codes;
    default:  // Q6_K
      for (int i = 0; i < kPiece; ++i) {
        const int low = b[64 * (j / 4) + 32 * (j % 2) + i] >> 4 * (j % 4 / 2) & 15, high = b[128 + 32 * (j / 4) + i] >> 2 * (j % 4) & 3;
        codes[i] = static_cast<uint8_t>(low | high << 4);
      }
      return codes;
  }
}

// ---- Packing --------------------------------------------------------------------------------------------------------------------------

// `kBits` of every code, from bit `first` on: neighbours in the halves of words. Four bits have their pairs in an order of their own.
template <int kBits> void pack(const Codes& codes, int first, uint8_t* to) {
  constexpr int kInWord = 32 / kBits;
  for (int word = 0; word < kPiece / kInWord; ++word) {
    uint32_t bits = 0;
    for (int i = 0; i < kInWord; ++i) {
      const int bit = kBits == 4 ? Codes4::bit_of(i / 2) : kBits * (i / 2);
      bits |= (static_cast<uint32_t>(codes[word * kInWord + i]) >> first & ((1u << kBits) - 1)) << (16 * (i % 2) + bit);
    }
    std::memcpy(to + 4 * word, &bits, sizeof(bits));
  }
}

template <class Form> void put(const Codes& codes, int first, uint8_t* plane, int place) {
  if constexpr (std::is_same_v<Form, Codes8>) {
    std::memcpy(plane + place * 16, codes.data(), 16);
    std::memcpy(plane + (kTilePieces + place) * 16, codes.data() + 16, 16);
  } else if constexpr (!std::is_same_v<Form, NoCodes>) {
    pack<Form::kBytes / 4>(codes, first, plane + place * Form::kBytes);
  }
}

// ---- Scales of piece j of a block -----------------------------------------------------------------------------------------------------

// Twelve bits of a piece among the 24 of two.
void put_twelve(uint32_t bits, uint8_t* plane, int place) {
  uint16_t low = 0;
  uint8_t* low_at = plane + place / 2 * 2;
  uint8_t& high = plane[kTilePieces + place / 2];
  std::memcpy(&low, low_at, sizeof(low));
  const uint32_t both = (low | static_cast<uint32_t>(high) << 16) | bits << 12 * (place % 2);
  low = static_cast<uint16_t>(both);
  high = static_cast<uint8_t>(both >> 16);
  std::memcpy(low_at, &low, sizeof(low));
}

// The same in bytes that follow each other, three for each two of a row's pieces.
void put_three_bytes(uint32_t bits, int piece, uint8_t* row) {
  uint8_t* at = row + piece / 2 * 3;
  const uint32_t shifted = bits << 12 * (piece % 2);
  for (int i = 0; i < 3; ++i) at[i] = static_cast<uint8_t>(at[i] | shifted >> 8 * i);
}

// Six-bit scale and offset of Q4_K's and Q5_K's piece j, packed in twelve bytes.
uint32_t grouped(Bytes packed, int j) {
  if (j < 4) return (packed[j] & 63u) | (packed[j + 4] & 63u) << 6;
  const uint32_t scale = (packed[j + 4] & 15u) | packed[j - 4] >> 6 << 4, offset = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
  return scale | offset << 6;
}
// Six-bit scales of the halves of Q3_K's piece j.
uint32_t six_bits(Bytes packed, int j) {
  uint32_t bits = 0;
  for (int half = 0; half < 2; ++half) {
    const int group = 2 * j + half;
    const uint32_t low = packed[group % 8] >> 4 * (group / 8) & 15, high = packed[8 + group % 4] >> 2 * (group / 4) & 3;
    bits |= (low | high << 4) << 6 * half;
  }
  return bits;
}

template <class Scales> void put_scales(Bytes b, int j, uint8_t* plane, int place) {
  const int row = row_of_place(place);
  if constexpr (std::is_same_v<Scales, HalfScales>) {
    std::memcpy(plane + place * 2, b, 2);
  } else if constexpr (std::is_same_v<Scales, HalfAffines>) {
    std::memcpy(plane + place * 4, b, 4);
  } else if constexpr (std::is_same_v<Scales, GroupedAffines>) {
    std::memcpy(plane + row * 16, b, 4);
    put_three_bytes(grouped(b + 4, j), j, plane + row * 16 + 4);
  } else if constexpr (std::is_same_v<Scales, SignedScales>) {
    std::memcpy(plane + place * 2, b + 192 + 2 * j, 2);
    std::memcpy(plane + kTilePieces * 2 + row * 2, b + 208, 2);
  } else if constexpr (std::is_same_v<Scales, NibbleAffines>) {
    std::memcpy(plane + place * 2, b + 2 * j, 2);
    std::memcpy(plane + kTilePieces * 2 + row * 4, b + 80, 4);
  } else {
    static_assert(std::is_same_v<Scales, SixBitScales>);
    put_twelve(six_bits(b + 96, j), plane, place);
    std::memcpy(plane + kTilePieces / 2 * 3 + row * 2, b + 108, 2);
  }
}

// ---- Tiles ----------------------------------------------------------------------------------------------------------------------------

// Tiles of 8 rows, `to` being zeros.
template <class B> void arrange_rows(const Tensor& w, int64_t first_row, uint8_t* to) {
  const DType type = w.dtype();
  const int64_t unit = block_elements(type), block = block_bytes(type), row_bytes = w.dim(1) / unit * block;
  const auto pieces_of_block = static_cast<int>(unit / kPiece);
  for (int row = 0; row < kTileRows && first_row + row < w.dim(0); ++row) {
    const Bytes from = static_cast<Bytes>(w.raw()) + (first_row + row) * row_bytes;
    for (int64_t piece = 0; piece < w.dim(1) / kPiece; ++piece) {
      const Bytes b = from + piece / pieces_of_block * block;
      const auto j = static_cast<int>(piece % pieces_of_block), in_tile = static_cast<int>(piece % (kTileColumns / kPiece));
      uint8_t* tile = to + piece / (kTileColumns / kPiece) * B::kTileBytes;
      const int place = place_in_tile(row, in_tile);
      const Codes codes = codes_in_block(type, b, j);
      put<decltype(B::low)>(codes, 0, tile, place);
      put<decltype(B::high)>(codes, B::kLowBits, tile + B::kHighPlane, place);
      put_scales<decltype(B::scales)>(b, j, tile + B::kScalePlane, place);
    }
  }
}

}  // namespace

Tensor in_tiles(const Tensor& w) {
  LINEA_ASSERT(w.device().is_cpu() && w.is_contiguous());
  const Tensor result({ceil_div(w.dim(0), kTileRows) * kTileRows, ceil_div(w.dim(1), kTileColumns) * kTileColumns}, w.dtype());
  std::memset(result.raw(), 0, static_cast<size_t>(result.bytes()));
  with_blocks(w.dtype(), [&](auto tag) {
    using B = decltype(tag);
    const int64_t bytes = result.dim(1) / kTileColumns * B::kTileBytes;
    LINEA_ASSERT(bytes * (result.dim(0) / kTileRows) == result.bytes());
    parallel_for(result.dim(0) / kTileRows, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) arrange_rows<B>(w, i * kTileRows, static_cast<uint8_t*>(result.raw()) + i * bytes);
    });
  });
  return result;
}

}  // namespace linea::cuda
