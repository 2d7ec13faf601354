// kernels/cuda/device/step_words.cuh: what one block of the step kernel gives to others: rows that say themselves that they are there.
//
// A barrier costs four ways through the second-level cache, which is busy with weights: the results, the word that they are there, the
// question, and the results again. So a row that others take lies in words of its own: 16 bits of the row and 16 of the launch's mark. Who
// takes it reads until all words carry the mark, which is two ways. Every row has its place in the program, written once a launch.
#pragma once

#include "kernels/cuda/device/step_block.cuh"

namespace linea::cuda::step {

#if LINEA_HOPPER_CODE

// A relaxed access is enough: every word tells of itself alone.
__device__ inline void load_words(const uint32_t* from, uint32_t (&words)[4]) {
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "l"(from)
               : "memory");
}
__device__ inline void load_words(const uint32_t* from, uint32_t (&words)[2]) {
  asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];" : "=r"(words[0]), "=r"(words[1]) : "l"(from) : "memory");
}
__device__ inline void load_words(const uint32_t* from, uint32_t (&words)[1]) {
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(words[0]) : "l"(from) : "memory");
}

// The same where `wanted` is not zero; other words stay as they are.
__device__ inline void load_words_where(uint32_t wanted, const uint32_t* from, uint32_t (&words)[4]) {
  asm volatile(
      "{\n"
      ".reg .pred wanted;\n"
      "setp.ne.u32 wanted, %5, 0;\n"
      "@wanted ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];\n"
      "}\n"
      : "+r"(words[0]), "+r"(words[1]), "+r"(words[2]), "+r"(words[3])
      : "l"(from), "r"(wanted)
      : "memory");
}

// The element of 16 bits that a word carries.
template <class T> __device__ inline float element_of_word(uint32_t word) { return to_float(*reinterpret_cast<const T*>(&word)); }

// kBytes of a row from its words, which may not be there yet: `missing` gets bits above the lower 16 then.
template <int kBytes> struct RowPart {
  uint32_t words[kBytes / 2] = {};

  __device__ void load(const uint32_t* from) {
    constexpr int kTogether = kBytes / 2 < 4 ? kBytes / 2 : 4;
#pragma unroll
    for (int i = 0; i < kBytes / 2; i += kTogether) load_words(from + i, reinterpret_cast<uint32_t(&)[kTogether]>(words[i]));
  }
  __device__ void load_where(uint32_t wanted, const uint32_t* from) {
    static_assert(kBytes % 8 == 0);
#pragma unroll
    for (int i = 0; i < kBytes / 2; i += 4) load_words_where(wanted, from + i, reinterpret_cast<uint32_t(&)[4]>(words[i]));
  }
  __device__ uint32_t missing(uint32_t mark) const {
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < kBytes / 2; ++i) bits |= words[i] ^ mark;
    return bits >> 16;
  }
  __device__ uint32_t pair(int i) const { return __byte_perm(words[2 * i], words[2 * i + 1], 0x5410); }
  // As kWidth elements of T.
  template <class T, int kWidth> __device__ void unpack(float (&v)[kWidth]) const {
    static_assert(kWidth * sizeof(T) == kBytes);
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) v[i] = __uint_as_float(pair(i));
    } else if constexpr (kWidth == 1) {
      v[0] = element_of_word<T>(words[0]);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; i += 2) unpack_pair<T>(pair(i / 2), v[i], v[i + 1]);
    }
  }
};

// Words from element `first` on, of a row in T.
template <class T> __device__ inline const uint32_t* words_at(const uint32_t* words, int first) {
  return words + first * static_cast<int>(sizeof(T) / 2);
}

template <class T> __device__ inline int bytes_of_type(DType type) { return type == DType::kF32 ? 4 : static_cast<int>(sizeof(T)); }

__device__ inline uint32_t own_mark() { return own_shared().mark; }

// 32 bits of a row.
__device__ inline void give_bits(uint32_t* words, uint32_t bits) {
  const uint32_t mark = own_mark();
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(words), "r"((bits & 0xffffu) | mark), "r"(bits >> 16 | mark)
               : "memory");
}
// Element i of a row in T, and it with the next.
template <class T> __device__ inline void give(uint32_t* words, float value, int i) {
  if constexpr (sizeof(T) == 4) {
    give_bits(words + 2 * i, __float_as_uint(value));
  } else {
    const uint32_t bits = pack_pair<T>(value, 0.0f) & 0xffffu;
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(words + i), "r"(bits | own_mark()) : "memory");
  }
}
template <class T> __device__ inline void give_pair(uint32_t* words, const float (&v)[2], int i) {
  if constexpr (sizeof(T) == 4) {
    give<T>(words, v[0], i);
    give<T>(words, v[1], i + 1);
  } else {
    give_bits(words + i, pack_pair<T>(v[0], v[1]));
  }
}

// One element of a row in T.
template <class T> __device__ inline float take_element(const uint32_t* words, int i) {
  const uint32_t mark = own_mark();
  RowPart<sizeof(T)> part;
  do part.load(words_at<T>(words, i));
  while (part.missing(mark));
  float v[1];
  part.template unpack<T>(v);
  return v[0];
}

// Some parts of a row, every kStepThreads-th, until all of those that exist are there. What is there is not read again: whoever comes early
// asks often, and would keep the second-level cache from those who are late.
template <int kBytes, int kParts>
__device__ inline void take_parts(const uint32_t* words, int first, int count, RowPart<kBytes> (&parts)[kParts]) {
  const uint32_t mark = own_mark();
  uint32_t missing[kParts], any;
#pragma unroll
  for (int n = 0; n < kParts; ++n) missing[n] = first + n * kStepThreads < count;
  do {
    any = 0;
#pragma unroll
    for (int n = 0; n < kParts; ++n) parts[n].load_where(missing[n], words + (first + n * kStepThreads) * (kBytes / 2));
#pragma unroll
    for (int n = 0; n < kParts; ++n) {
      if (missing[n] != 0) missing[n] = parts[n].missing(mark);
      any |= missing[n];
    }
  } while (any != 0);
}

// A row into shared memory, by all threads that compute.
__device__ inline void take_row(const uint32_t* words, int bytes, unsigned char* to) {
  constexpr int kTogether = 3;  // vectors of 16 bytes of a thread, on their way at once
  const int vectors = bytes / 16;
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first < vectors; first += kTogether * kStepThreads) {
    RowPart<16> parts[kTogether];
    take_parts(words, first, vectors, parts);
#pragma unroll
    for (int n = 0; n < kTogether; ++n) {
      const int v = first + n * kStepThreads;
      if (v < vectors) reinterpret_cast<uint4*>(to)[v] = {parts[n].pair(0), parts[n].pair(1), parts[n].pair(2), parts[n].pair(3)};
    }
  }
}

#endif

}  // namespace linea::cuda::step
