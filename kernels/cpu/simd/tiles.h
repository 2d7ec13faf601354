// kernels/cpu/simd/tiles.h: the eight tile registers of AMX, 16 rows of 64 bytes each, and C += A B of bf16 with sums in f32.
//
// A is 16 rows of 32 values; B is 16 rows of 16 pairs, pair (k, k + 1) of column n in row k/2; C is 16×16 f32. Compiled without AMX the
// same functions work on arrays, so that what is built on them can be tested on any processor.
#pragma once

#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int64_t kTileBytes = 1024;

#if defined(__AMX_BF16__)

template <int kTile> inline void tile_zero() { asm volatile("tilezero %%tmm%c0" ::"i"(kTile)); }
template <int kTile> inline void tile_load(const void* rows, int64_t pitch_bytes) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(rows), "r"(pitch_bytes) : "memory");
}
template <int kTile> inline void tile_store(float* rows, int64_t pitch_bytes) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(rows), "r"(pitch_bytes) : "memory");
}
template <int kC, int kA, int kB> inline void tile_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

// While it lives, this thread's tile registers are usable.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) Configuration {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static const Configuration whole;
    asm volatile("ldtilecfg %0" ::"m"(whole));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

#else

inline thread_local char tile_memory[8][kTileBytes];

template <int kTile> inline void tile_zero() { __builtin_memset(tile_memory[kTile], 0, kTileBytes); }
template <int kTile> inline void tile_load(const void* rows, int64_t pitch_bytes) {
  for (int r = 0; r < 16; ++r) __builtin_memcpy(tile_memory[kTile] + r * 64, static_cast<const char*>(rows) + r * pitch_bytes, 64);
}
template <int kTile> inline void tile_store(float* rows, int64_t pitch_bytes) {
  for (int r = 0; r < 16; ++r) __builtin_memcpy(reinterpret_cast<char*>(rows) + r * pitch_bytes, tile_memory[kTile] + r * 64, 64);
}
inline float tile_value(int tile, int64_t index) {
  uint16_t value;
  __builtin_memcpy(&value, tile_memory[tile] + 2 * index, 2);
  return bits<float>(static_cast<uint32_t>(value) << 16);
}
template <int kC, int kA, int kB> inline void tile_multiply() {
  float sums[256];
  __builtin_memcpy(sums, tile_memory[kC], kTileBytes);
  for (int m = 0; m < 16; ++m) {
    for (int k = 0; k < 32; ++k) {
      for (int n = 0; n < 16; ++n) sums[m * 16 + n] += tile_value(kA, m * 32 + k) * tile_value(kB, k / 2 * 32 + n * 2 + k % 2);
    }
  }
  __builtin_memcpy(tile_memory[kC], sums, kTileBytes);
}

class Tiles {
 public:
  Tiles() {}
};

#endif

// Two vectors as 32 values of bf16, to nearest even.
inline __m512i narrow_pair(F32s low, F32s high) {
#if defined(__AVX512BF16__)
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
#else
  const U16s halves[2] = {narrow_bf16(low), narrow_bf16(high)};
  __m512i both;
  __builtin_memcpy(&both, halves, sizeof(both));
  return both;
#endif
}
inline void store_pair(void* to, F32s low, F32s high) { _mm512_storeu_si512(to, narrow_pair(low, high)); }

// One step of 32 rows of A by two tiles of B, one after the other in memory, into tiles 0 to 3 (rows 0 and 16 of A, each by both of B).
inline void multiply_two_by_two(const char* a0, const char* a1, int64_t a_pitch, const char* b) {
  tile_load<4>(a0, a_pitch);
  tile_load<6>(b, 64);
  tile_multiply<0, 4, 6>();
  tile_load<7>(b + kTileBytes, 64);
  tile_multiply<1, 4, 7>();
  tile_load<5>(a1, a_pitch);
  tile_multiply<2, 5, 6>();
  tile_multiply<3, 5, 7>();
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
