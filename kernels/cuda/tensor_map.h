// kernels/cuda/tensor_map.h: descriptions of tensors for Hopper's copy engine.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>

#include "core/dtype.h"

namespace linea::cuda {

bool has_tensor_maps();  // whether the driver makes them

// A tensor of up to five dimensions, the innermost first and of stride 1, that is copied in boxes whose rows have 128 bytes at most and
// come swizzled by the address. `pitches`: bytes from one to the next in all dimensions but the first, multiples of 16, as is the address.
CUtensorMap tensor_map(const char* op, DType type, const void* data, std::span<const int64_t> dims, std::span<const int64_t> pitches,
                       std::span<const int> box);

}  // namespace linea::cuda
