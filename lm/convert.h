// lm/convert.h: language models into another format or type.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/cancel.h"
#include "core/deferred_tensor.h"
#include "core/progress.h"
#include "lm/model_source.h"

namespace linea {

struct ConvertOptions {
  // Of matrices: f32, f16, bf16, or for GGUF q8_0, q6_k, q5_k, q4_k, q4_0. Nothing = as they are, or f16 where the format cannot hold that.
  // Vectors become f32, low-rank matrices f16 where others are quantised.
  std::optional<DType> type;
  bool tokenizer = true;  // into GGUF, with the chat template
  ProgressCallback progress;
  CancelToken cancel;
};

// `in` as in open_language_model (lm/model_folder.h), `out` a .safetensors or .gguf file. Tensors are read, converted and written one by
// one: the memory is that of the largest. safetensors get the authors' names and, for Mamba, the configuration in their metadata; GGUF gets
// llama.cpp's names, layouts and keys (RWKV-4 and 5, which it does not know, keep the authors'). Throws kUsage for types that the format
// cannot hold, kModel, kIo.
void convert_language_model(const std::filesystem::path& in, const std::filesystem::path& out, const ConvertOptions& options);

DType parse_weight_type(const std::string& option, const std::string& name);  // "q4_k", "Q4_K" …; throws kUsage

// The type that a matrix gets where `wanted` is asked for: quantised types need rows of whole blocks, and the embedding and the head bear
// less than the others. `name` is the authors'.
DType type_of_matrix(const std::string& name, const Shape& shape, DType wanted);
// Whether a tensor of the authors' name is a matrix that products or look-ups read: the only tensors that are quantised.
bool is_matrix(const std::string& name, const Shape& shape);

// Matrices of a source quantised in memory, the rest as it was.
ModelSource quantized_source(const ModelSource& source, DType wanted);

}  // namespace linea
