// core/gguf_format.h: numbers of the GGUF format that its reader and its writer share.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace linea::gguf {

constexpr char kMagic[] = {'G', 'G', 'U', 'F'};
constexpr uint32_t kVersion = 3;
constexpr uint32_t kDefaultAlignment = 32;
constexpr char kAlignmentKey[] = "general.alignment";
constexpr uint64_t kMaxDimensions = 4;
constexpr uint64_t kMaxKey = 65535;
constexpr uint64_t kMaxName = 255;  // ggml itself ends at 63 or 127 bytes, depending on how it was built

// Value types. Those of scalars have the order of GgufValue's alternatives, except that an array stands at 9.
constexpr uint32_t kArray = 9;

struct NamedType {
  uint32_t id;
  DType type;
};
constexpr NamedType kTypes[] = {{0, DType::kF32},   {1, DType::kF16},   {2, DType::kQ4_0},    {3, DType::kQ4_1},  {6, DType::kQ5_0},
                                {7, DType::kQ5_1},  {8, DType::kQ8_0},  {10, DType::kQ2_K},   {11, DType::kQ3_K}, {12, DType::kQ4_K},
                                {13, DType::kQ5_K}, {14, DType::kQ6_K}, {20, DType::kIQ4_NL}, {24, DType::kI8},   {25, DType::kI16},
                                {26, DType::kI32},  {27, DType::kI64},  {28, DType::kF64},    {30, DType::kBF16}};

}  // namespace linea::gguf
