// kernels/cuda/device/blocks.cuh: the block-quantised types of core/quantized.h, read 32 elements at a time.
//
// On the device the fields of a type's blocks lie in planes of their own, one after the other (quantized_linear.h), so that lanes read
// neighbouring bytes, aligned. A piece of 32 elements has codes of up to 8 bits and, for each half of 16, a scale s and an offset o:
//   value = s · (code - bias) - o
// kScales says whether both halves share theirs. Blocks<type>::kFields are the fields as they lie in a block of the file, in the order of
// the planes; fetch() reads what a piece needs, to be unpacked later, so that several pieces are on their way at once.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace linea::cuda {

constexpr int kPiece = 32;  // elements

struct Field {
  int offset, bytes;  // in a block
};
struct Fields {
  Field field[4];
  int count;
};

struct Unpacked {
  uint32_t codes[8];  // a byte an element
  float scale[2], offset[2];
};

__device__ inline float half_of(uint32_t bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); }

// The bytes of a block that lie in the planes before plane `index`.
template <class B> constexpr int bytes_before(int index) {
  int bytes = 0;
  for (int i = 0; i < index; ++i) bytes += B::kFields.field[i].bytes;
  return bytes;
}

// Where a plane begins in a matrix of `blocks` blocks.
template <class B, int kPlane> __device__ inline int64_t plane_of(int64_t blocks) {
  constexpr int64_t kBytes = bytes_before<B>(kPlane);
  return kBytes * blocks;
}

template <class T> __device__ inline T streamed(const uint8_t* from) { return __ldcs(reinterpret_cast<const T*>(from)); }

// 16 bytes of nibbles: elements 0 … 15 are the low ones.
__device__ inline void unpack_nibbles(const uint4& raw, uint32_t (&codes)[8]) {
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    codes[i] = words[i] & 0x0f0f0f0fu;
    codes[i + 4] = words[i] >> 4 & 0x0f0f0f0fu;
  }
}

// A fifth bit for every element, from a word with a bit each.
__device__ inline void add_fifth_bits(uint32_t high, uint32_t (&codes)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const uint32_t bits = high >> 4 * i;
    codes[i] |= (bits & 1) << 4 | (bits & 2) << 11 | (bits & 4) << 18 | (bits & 8) << 25;
  }
}

__device__ inline void set_affine(uint32_t halves, Unpacked& u) {  // a scale and what is added, as halves
  u.scale[0] = u.scale[1] = half_of(halves & 0xffff);
  u.offset[0] = u.offset[1] = -half_of(halves >> 16);
}

__device__ inline void set_scale(uint32_t half, Unpacked& u) {
  u.scale[0] = u.scale[1] = half_of(half);
  u.offset[0] = u.offset[1] = 0;
}

template <DType type> struct Blocks;

template <> struct Blocks<DType::kQ8_0> {
  static constexpr Fields kFields = {{{2, 32}, {0, 2}}, 2};
  static constexpr int kElements = 32, kBias = 128, kAhead = 4, kScales = 1;
  uint4 codes[2];
  uint16_t scale;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes[0] = streamed<uint4>(w + piece * 32);
    codes[1] = streamed<uint4>(w + piece * 32 + 16);
    scale = streamed<uint16_t>(w + plane_of<Blocks, 1>(blocks) + piece * 2);
  }
  __device__ void unpack(int64_t, Unpacked& u) const {
    const uint32_t words[8] = {codes[0].x, codes[0].y, codes[0].z, codes[0].w, codes[1].x, codes[1].y, codes[1].z, codes[1].w};
#pragma unroll
    for (int i = 0; i < 8; ++i) u.codes[i] = words[i] ^ 0x80808080u;  // signed to unsigned
    set_scale(scale, u);
  }
};

template <> struct Blocks<DType::kQ4_0> {
  static constexpr Fields kFields = {{{2, 16}, {0, 2}}, 2};
  static constexpr int kElements = 32, kBias = 8, kAhead = 4, kScales = 1;
  uint4 codes;
  uint16_t scale;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes = streamed<uint4>(w + piece * 16);
    scale = streamed<uint16_t>(w + plane_of<Blocks, 1>(blocks) + piece * 2);
  }
  __device__ void unpack(int64_t, Unpacked& u) const {
    unpack_nibbles(codes, u.codes);
    set_scale(scale, u);
  }
};

template <> struct Blocks<DType::kIQ4_NL> {
  static constexpr Fields kFields = {{{2, 16}, {0, 2}}, 2};
  static constexpr int kElements = 32, kBias = 128, kAhead = 4, kScales = 1;
  uint4 codes;
  uint16_t scale;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes = streamed<uint4>(w + piece * 16);
    scale = streamed<uint16_t>(w + plane_of<Blocks, 1>(blocks) + piece * 2);
  }
  // The sixteen levels -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 plus 128, as bytes of four words.
  __device__ void unpack(int64_t, Unpacked& u) const {
    unpack_nibbles(codes, u.codes);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t c = u.codes[i], low = c & 0x07070707u;
      const uint32_t selector = (low & 7) | (low >> 4 & 0x70) | (low >> 8 & 0x700) | (low >> 12 & 0x7000);
      const uint32_t negative = __byte_perm(0x3f2d1801u, 0x766a5d4fu, selector), positive = __byte_perm(0xa6998d81u, 0xf1d9c5b5u, selector);
      const uint32_t is_upper = (c >> 3 & 0x01010101u) * 0xffu;
      u.codes[i] = (negative & ~is_upper) | (positive & is_upper);
    }
    set_scale(scale, u);
  }
};

template <> struct Blocks<DType::kQ4_1> {
  static constexpr Fields kFields = {{{4, 16}, {0, 4}}, 2};
  static constexpr int kElements = 32, kBias = 0, kAhead = 4, kScales = 1;
  uint4 codes;
  uint32_t affine;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes = streamed<uint4>(w + piece * 16);
    affine = streamed<uint32_t>(w + plane_of<Blocks, 1>(blocks) + piece * 4);
  }
  __device__ void unpack(int64_t, Unpacked& u) const {
    unpack_nibbles(codes, u.codes);
    set_affine(affine, u);
  }
};

template <> struct Blocks<DType::kQ5_0> {
  static constexpr Fields kFields = {{{6, 16}, {2, 4}, {0, 2}}, 3};
  static constexpr int kElements = 32, kBias = 16, kAhead = 4, kScales = 1;
  uint4 codes;
  uint32_t high;
  uint16_t scale;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes = streamed<uint4>(w + piece * 16);
    high = streamed<uint32_t>(w + plane_of<Blocks, 1>(blocks) + piece * 4);
    scale = streamed<uint16_t>(w + plane_of<Blocks, 2>(blocks) + piece * 2);
  }
  __device__ void unpack(int64_t, Unpacked& u) const {
    unpack_nibbles(codes, u.codes);
    add_fifth_bits(high, u.codes);
    set_scale(scale, u);
  }
};

template <> struct Blocks<DType::kQ5_1> {
  static constexpr Fields kFields = {{{8, 16}, {4, 4}, {0, 4}}, 3};
  static constexpr int kElements = 32, kBias = 0, kAhead = 4, kScales = 1;
  uint4 codes;
  uint32_t high, affine;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes = streamed<uint4>(w + piece * 16);
    high = streamed<uint32_t>(w + plane_of<Blocks, 1>(blocks) + piece * 4);
    affine = streamed<uint32_t>(w + plane_of<Blocks, 2>(blocks) + piece * 4);
  }
  __device__ void unpack(int64_t, Unpacked& u) const {
    unpack_nibbles(codes, u.codes);
    add_fifth_bits(high, u.codes);
    set_affine(affine, u);
  }
};

// What follows has blocks of 256 elements; piece j of a block is elements 32·j ….
struct Codes32 {
  uint4 raw[2];
  __device__ void fetch(const uint8_t* from) {
    raw[0] = streamed<uint4>(from);
    raw[1] = streamed<uint4>(from + 16);
  }
  __device__ uint32_t word(int i) const {
    const uint4& r = raw[i / 4];
    return i % 4 == 0 ? r.x : i % 4 == 1 ? r.y : i % 4 == 2 ? r.z : r.w;
  }
};

// The six-bit scale and offset of Q4_K's and Q5_K's group j: three words after the two halves.
__device__ inline void set_grouped(const uint4& head, int j, Unpacked& u) {
  const int shift = 8 * (j % 4);
  const uint32_t a = head.y >> shift & 255, b = head.z >> shift & 255, c = head.w >> shift & 255;
  const uint32_t scale = j < 4 ? a & 63 : (c & 15) | (a >> 6) << 4, offset = j < 4 ? b & 63 : c >> 4 | (b >> 6) << 4;
  u.scale[0] = u.scale[1] = half_of(head.x & 0xffff) * static_cast<float>(scale);
  u.offset[0] = u.offset[1] = half_of(head.x >> 16) * static_cast<float>(offset);
}

template <> struct Blocks<DType::kQ4_K> {
  static constexpr Fields kFields = {{{16, 128}, {0, 16}}, 2};
  static constexpr int kElements = 256, kBias = 0, kAhead = 4, kScales = 1;
  Codes32 codes;
  uint4 head;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes.fetch(w + piece / 8 * 128 + piece % 8 / 2 * 32);
    head = streamed<uint4>(w + plane_of<Blocks, 1>(blocks) + piece / 8 * 16);
  }
  __device__ void unpack(int64_t piece, Unpacked& u) const {
    const int j = static_cast<int>(piece % 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) u.codes[i] = codes.word(i) >> 4 * (j % 2) & 0x0f0f0f0fu;
    set_grouped(head, j, u);
  }
};

template <> struct Blocks<DType::kQ5_K> {
  static constexpr Fields kFields = {{{48, 128}, {16, 32}, {0, 16}}, 3};
  static constexpr int kElements = 256, kBias = 0, kAhead = 2, kScales = 1;
  Codes32 codes, high;
  uint4 head;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    codes.fetch(w + piece / 8 * 128 + piece % 8 / 2 * 32);
    high.fetch(w + plane_of<Blocks, 1>(blocks) + piece / 8 * 32);
    head = streamed<uint4>(w + plane_of<Blocks, 2>(blocks) + piece / 8 * 16);
  }
  __device__ void unpack(int64_t piece, Unpacked& u) const {
    const int j = static_cast<int>(piece % 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      u.codes[i] = (codes.word(i) >> 4 * (j % 2) & 0x0f0f0f0fu) | (high.word(i) >> j & 0x01010101u) << 4;
    }
    set_grouped(head, j, u);
  }
};

template <> struct Blocks<DType::kQ6_K> {
  static constexpr Fields kFields = {{{0, 128}, {128, 64}, {192, 16}, {208, 2}}, 4};
  static constexpr int kElements = 256, kBias = 32, kAhead = 2, kScales = 2;
  Codes32 low, high;
  uint16_t scales, scale;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    const int64_t block = piece / 8;
    const int j = static_cast<int>(piece % 8);
    low.fetch(w + block * 128 + j / 4 * 64 + j % 2 * 32);
    high.fetch(w + plane_of<Blocks, 1>(blocks) + block * 64 + j / 4 * 32);
    scales = streamed<uint16_t>(w + plane_of<Blocks, 2>(blocks) + piece * 2);
    scale = streamed<uint16_t>(w + plane_of<Blocks, 3>(blocks) + block * 2);
  }
  __device__ void unpack(int64_t piece, Unpacked& u) const {
    const int quarter = static_cast<int>(piece % 4);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      u.codes[i] = (low.word(i) >> 4 * (quarter / 2) & 0x0f0f0f0fu) | (high.word(i) >> 2 * quarter & 0x03030303u) << 4;
    }
    const float all = half_of(scale);
    u.scale[0] = all * static_cast<float>(static_cast<int8_t>(scales & 255));
    u.scale[1] = all * static_cast<float>(static_cast<int8_t>(scales >> 8));
    u.offset[0] = u.offset[1] = 0;
  }
};

template <> struct Blocks<DType::kQ2_K> {
  static constexpr Fields kFields = {{{16, 64}, {0, 16}, {80, 4}}, 3};
  static constexpr int kElements = 256, kBias = 0, kAhead = 4, kScales = 2;
  Codes32 codes;
  uint16_t groups;
  uint32_t affine;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    const int64_t block = piece / 8;
    codes.fetch(w + block * 64 + piece % 8 / 4 * 32);
    groups = streamed<uint16_t>(w + plane_of<Blocks, 1>(blocks) + piece * 2);
    affine = streamed<uint32_t>(w + plane_of<Blocks, 2>(blocks) + block * 4);
  }
  __device__ void unpack(int64_t piece, Unpacked& u) const {
    const int quarter = static_cast<int>(piece % 4);
#pragma unroll
    for (int i = 0; i < 8; ++i) u.codes[i] = codes.word(i) >> 2 * quarter & 0x03030303u;
    const float scale = half_of(affine & 0xffff), offset = half_of(affine >> 16);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      u.scale[i] = scale * static_cast<float>(groups >> 8 * i & 15);
      u.offset[i] = offset * static_cast<float>(groups >> (8 * i + 4) & 15);
    }
  }
};

template <> struct Blocks<DType::kQ3_K> {
  static constexpr Fields kFields = {{{32, 64}, {0, 32}, {96, 12}, {108, 2}}, 4};
  static constexpr int kElements = 256, kBias = 4, kAhead = 2, kScales = 2;
  Codes32 codes, third;
  uint32_t scales[3];
  uint16_t scale;
  __device__ void fetch(const uint8_t* w, int64_t blocks, int64_t piece) {
    const int64_t block = piece / 8;
    codes.fetch(w + block * 64 + piece % 8 / 4 * 32);
    third.fetch(w + plane_of<Blocks, 1>(blocks) + block * 32);
#pragma unroll
    for (int i = 0; i < 3; ++i) scales[i] = streamed<uint32_t>(w + plane_of<Blocks, 2>(blocks) + block * 12 + 4 * i);
    scale = streamed<uint16_t>(w + plane_of<Blocks, 3>(blocks) + block * 2);
  }
  __device__ void unpack(int64_t piece, Unpacked& u) const {
    const int j = static_cast<int>(piece % 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) u.codes[i] = (codes.word(i) >> 2 * (j % 4) & 0x03030303u) | (third.word(i) >> j & 0x01010101u) << 2;
    const float all = half_of(scale);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int group = 2 * j + i;
      const uint32_t word = group % 8 < 4 ? scales[0] : scales[1];
      const uint32_t low = word >> 8 * (group % 4) >> 4 * (group / 8) & 15, high = scales[2] >> 8 * (group % 4) >> 2 * (group / 4) & 3;
      u.scale[i] = all * static_cast<float>(static_cast<int>(low | high << 4) - 32);
      u.offset[i] = 0;
    }
  }
};

// Element i of the piece without its scale, exactly: 2²³ + code as a float, less 2²³ and the bias.
template <class B> __device__ inline float code_of(const Unpacked& u, int i) {
  const uint32_t bits = __byte_perm(u.codes[i / 4], 0x4b000000u, 0x7440u | static_cast<uint32_t>(i % 4));
  return __uint_as_float(bits) - (8388608.0f + static_cast<float>(B::kBias));
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
