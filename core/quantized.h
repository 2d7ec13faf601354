// core/quantized.h: the block-quantised types of GGUF, to floats and back.
//
// A block holds 32 or 256 consecutive elements of one row: small integers and the scales that turn them into values. Decoding gives the
// same bits as the gguf reference library on every processor. Blocks need no alignment.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace linea {

// `count` elements in whole blocks.
void dequantize(DType type, const void* blocks, float* values, int64_t count);

// Six-bit scale and offset of group `group` of 8, as the twelve bytes `packed` of a block of Q4_K or Q5_K have them.
struct SixBitGroup {
  int scale, offset;
};
SixBitGroup six_bit_group(const uint8_t* packed, int group);

// The types that quantize() writes: Q8_0 and Q4_0 (the reference's bits), Q4_K, Q5_K and Q6_K (least squares a block, see quantize.cpp).
bool can_quantize(DType type);
// `count` finite elements in whole blocks; throws kModel at one that is not finite.
void quantize(DType type, const float* values, void* blocks, int64_t count);

// The same for contiguous CPU tensors, on all threads. Results do not depend on the number of threads.
Tensor dequantized(const Tensor& tensor, DType dtype);  // to f64, f32, bf16 or f16
Tensor quantized(const Tensor& tensor, DType dtype);    // from f64, f32, bf16 or f16; the last dimension must hold whole blocks

}  // namespace linea
