// core/quantized.cpp: decoding. Byte offsets are those of ggml-common.h; products and sums follow the order of the reference, and this file
// is compiled without contraction into fused operations, so that bits agree.
#include "core/quantized.h"

#include <algorithm>
#include <cstring>

#include "core/threads.h"

namespace linea {
namespace {

using Bytes = const uint8_t*;

constexpr int kLargest = 256;  // elements of the largest block

float half_at(Bytes bytes) {
  Float16 half;
  std::memcpy(&half.bits, bytes, sizeof(half.bits));
  return static_cast<float>(half);
}

uint32_t word_at(Bytes bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// Blocks of 32 keep element i and i + 16 in one byte.
int nibble(Bytes codes, int i) { return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4; }

void decode_q4_0(Bytes b, float* y) {
  const float scale = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = scale * static_cast<float>(nibble(b + 2, i) - 8);
}

void decode_q4_1(Bytes b, float* y) {
  const float scale = half_at(b), offset = half_at(b + 2);
  for (int i = 0; i < 32; ++i) y[i] = scale * static_cast<float>(nibble(b + 4, i)) + offset;
}

int five_bits(Bytes codes, uint32_t high, int i) { return nibble(codes, i) | static_cast<int>((high >> i & 1) << 4); }

void decode_q5_0(Bytes b, float* y) {
  const float scale = half_at(b);
  const uint32_t high = word_at(b + 2);
  for (int i = 0; i < 32; ++i) y[i] = scale * static_cast<float>(five_bits(b + 6, high, i) - 16);
}

void decode_q5_1(Bytes b, float* y) {
  const float scale = half_at(b), offset = half_at(b + 2);
  const uint32_t high = word_at(b + 4);
  for (int i = 0; i < 32; ++i) y[i] = scale * static_cast<float>(five_bits(b + 8, high, i)) + offset;
}

void decode_q8_0(Bytes b, float* y) {
  const float scale = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = static_cast<float>(static_cast<int8_t>(b[2 + i])) * scale;
}

void decode_iq4_nl(Bytes b, float* y) {
  constexpr float kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  const float scale = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = scale * kLevels[nibble(b + 2, i)];
}

// Two bits of element i: every 128 elements share 32 bytes, 32 elements a pair of bits.
int two_bits(Bytes codes, int i) { return codes[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3; }

void decode_q2_k(Bytes b, float* y) {
  const float scale = half_at(b + 80), offset = half_at(b + 82);
  for (int j = 0; j < 16; ++j) {
    const float group_scale = scale * static_cast<float>(b[j] & 15), group_offset = offset * static_cast<float>(b[j] >> 4);
    for (int i = 16 * j; i < 16 * j + 16; ++i) y[i] = group_scale * static_cast<float>(two_bits(b + 16, i)) - group_offset;
  }
}

void decode_q3_k(Bytes b, float* y) {
  const Bytes packed = b + 96;
  const float scale = half_at(b + 108);
  for (int j = 0; j < 16; ++j) {
    const int low = packed[j % 8] >> 4 * (j / 8) & 15, high = packed[8 + j % 4] >> 2 * (j / 4) & 3;
    const float group_scale = scale * static_cast<float>((low | high << 4) - 32);
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const int third = b[i % 32] >> (i / 32) & 1;
      y[i] = group_scale * static_cast<float>(two_bits(b + 32, i) - 4 * (1 - third));
    }
  }
}

// Q4_K, and Q5_K with a fifth bit in `high`.
void decode_affine(Bytes b, Bytes high, Bytes codes, float* y) {
  const float scale = half_at(b), offset = half_at(b + 2);
  for (int j = 0; j < 8; ++j) {
    const SixBitGroup group = six_bit_group(b + 4, j);
    const float group_scale = scale * static_cast<float>(group.scale), group_offset = offset * static_cast<float>(group.offset);
    for (int i = 0; i < 32; ++i) {
      int code = codes[32 * (j / 2) + i] >> 4 * (j % 2) & 15;
      if (high) code |= (high[i] >> j & 1) << 4;
      y[32 * j + i] = group_scale * static_cast<float>(code) - group_offset;
    }
  }
}

void decode_q4_k(Bytes b, float* y) { decode_affine(b, nullptr, b + 16, y); }
void decode_q5_k(Bytes b, float* y) { decode_affine(b, b + 16, b + 48, y); }

void decode_q6_k(Bytes b, float* y) {
  const Bytes low = b, high = b + 128, scales = b + 192;
  const float scale = half_at(b + 208);
  for (int j = 0; j < 16; ++j) {
    const float group_scale = scale * static_cast<float>(static_cast<int8_t>(scales[j]));
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const int half = i / 128, quarter = i % 128 / 32, lane = i % 32;
      const int code = (low[64 * half + 32 * (quarter % 2) + lane] >> 4 * (quarter / 2) & 15) | (high[32 * half + lane] >> 2 * quarter & 3)
                                                                                                    << 4;
      y[i] = group_scale * static_cast<float>(code - 32);
    }
  }
}

using Decoder = void (*)(Bytes, float*);

Decoder decoder_of(DType type) {
  switch (type) {
    case DType::kQ4_0: return decode_q4_0;
    case DType::kQ4_1: return decode_q4_1;
    case DType::kQ5_0: return decode_q5_0;
    case DType::kQ5_1: return decode_q5_1;
    case DType::kQ8_0: return decode_q8_0;
    case DType::kIQ4_NL: return decode_iq4_nl;
    case DType::kQ2_K: return decode_q2_k;
    case DType::kQ3_K: return decode_q3_k;
    case DType::kQ4_K: return decode_q4_k;
    case DType::kQ5_K: return decode_q5_k;
    case DType::kQ6_K: return decode_q6_k;
    default: throw Error(ErrorKind::kInternal, std::string(name_of(type)) + " is not a quantised type");
  }
}

// Blocks worth a task of their own: about 64 K elements.
int64_t grain_of(DType type) { return (int64_t{1} << 16) / block_elements(type); }

}  // namespace

SixBitGroup six_bit_group(Bytes packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4};
}

void dequantize(DType type, const void* blocks, float* values, int64_t count) {
  const Decoder decode = decoder_of(type);
  const int64_t unit = block_elements(type), bytes = block_bytes(type);
  LINEA_ASSERT(count % unit == 0);
  for (int64_t i = 0; i < count / unit; ++i) decode(static_cast<Bytes>(blocks) + i * bytes, values + i * unit);
}

Tensor dequantized(const Tensor& tensor, DType dtype) {
  LINEA_ASSERT(tensor.device().is_cpu() && tensor.is_contiguous());
  const DType type = tensor.dtype();
  const Decoder decode = decoder_of(type);
  const int64_t unit = block_elements(type);
  Tensor result(tensor.shape(), dtype);
  parallel_for(tensor.elements() / unit, grain_of(type), [&](int64_t begin, int64_t end) {
    float values[kLargest];
    for (int64_t i = begin; i < end; ++i) {
      decode(static_cast<Bytes>(tensor.raw()) + i * block_bytes(type), values);
      convert_elements(values, DType::kF32, static_cast<char*>(result.raw()) + i * unit * bytes_of(dtype), dtype, unit);
    }
  });
  return result;
}

Tensor quantized(const Tensor& tensor, DType dtype) {
  LINEA_ASSERT(tensor.device().is_cpu() && tensor.is_contiguous() && can_quantize(dtype));
  const int64_t unit = block_elements(dtype);
  if (tensor.rank() == 0 || tensor.dim(-1) % unit != 0) {
    throw Error(ErrorKind::kModel, tensor.shape().to_string() + " cannot become " + std::string(name_of(dtype)) +
                                       ": its rows are not blocks of " + std::to_string(unit));
  }
  Tensor result(tensor.shape(), dtype);
  parallel_for(tensor.elements() / unit, grain_of(dtype) / 16, [&](int64_t begin, int64_t end) {
    float values[kLargest];
    for (int64_t i = begin; i < end; ++i) {
      const char* source = static_cast<const char*>(tensor.raw()) + i * unit * bytes_of(tensor.dtype());
      convert_elements(source, tensor.dtype(), values, DType::kF32, unit);
      quantize(dtype, values, static_cast<char*>(result.raw()) + i * block_bytes(dtype), unit);
    }
  });
  return result;
}

}  // namespace linea
