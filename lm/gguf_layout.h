// lm/gguf_layout.h: a language model as GGUF stores it, the way back from lm/checkpoint_names.h. Private to lm/.
#pragma once

#include <utility>
#include <vector>

#include "core/deferred_tensor.h"
#include "lm/model_source.h"

namespace linea {

// What becomes of a tensor's type: matrices get the type that was asked for, low-rank matrices 16 bits, vectors f32.
enum class TensorRole { kMatrix, kLowRank, kVector };

struct GgufPiece {
  DeferredTensor tensor;  // under llama.cpp's name and in its shape, of the type that it has by itself
  TensorRole role;
  std::string source_name;  // the authors'
};

// Throws kModel for tensors that GGUF has no place for.
std::vector<GgufPiece> gguf_pieces(const ModelSource& source);
// The keys of the architecture.
std::vector<std::pair<std::string, GgufValue>> gguf_keys(const ModelSource& source);

// f32, with the last two axes exchanged; `shape` is that of the result.
Tensor with_last_axes_swapped(const Tensor& stored, const Shape& shape);

// "blocks.3.att.w1" → a low-rank matrix.
bool is_low_rank(const std::string& name);

}  // namespace linea
