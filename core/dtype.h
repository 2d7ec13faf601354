// core/dtype.h: element types and the 16-bit floats.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace linea {

// Plain element types, then block-quantised ones, whose unit is a block of elements. The blocks are GGUF's; what their bits mean is in
// core/quantized.cpp. A block never crosses the end of a row.
enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
  kQ4_0,  // the first of the quantised: is_quantized relies on it
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIQ4_NL,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

inline bool is_quantized(DType type) { return type >= DType::kQ4_0; }
int64_t block_elements(DType type);                // elements of one block: 32 or 256, 1 for plain types
int64_t block_bytes(DType type);                   // bytes of one block, of one element for plain types
int64_t bytes_for(DType type, int64_t elements);   // asserts that they are whole blocks
int64_t bytes_of(DType type);                      // bytes of one element: asserts a plain type
std::string_view name_of(DType type);              // "f32", "bf16", …
DType parse_float_dtype(const std::string& name);  // "f32"/"fp32", "bf16", "f16"/"fp16"; throws kUsage
bool is_float(DType type);

// bfloat16: the upper half of a float, rounded to nearest even.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) {
    uint32_t u = std::bit_cast<uint32_t>(value);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = nan ? static_cast<uint16_t>((u >> 16) | 0x40u) : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

// IEEE half precision, converted in software so that every x86-64 and arm64 gives the same bits.
struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float value);
  explicit operator float() const;
};

template <class T> constexpr DType dtype_of();
template <> constexpr DType dtype_of<double>() { return DType::kF64; }
template <> constexpr DType dtype_of<float>() { return DType::kF32; }
template <> constexpr DType dtype_of<Float16>() { return DType::kF16; }
template <> constexpr DType dtype_of<BFloat16>() { return DType::kBF16; }
template <> constexpr DType dtype_of<int64_t>() { return DType::kI64; }
template <> constexpr DType dtype_of<int32_t>() { return DType::kI32; }
template <> constexpr DType dtype_of<int16_t>() { return DType::kI16; }
template <> constexpr DType dtype_of<int8_t>() { return DType::kI8; }
template <> constexpr DType dtype_of<uint8_t>() { return DType::kU8; }
template <> constexpr DType dtype_of<bool>() { return DType::kBool; }

}  // namespace linea
