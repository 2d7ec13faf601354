// lm/checkpoint_names.h: namings of recurrent language models' tensors other than the authors', turned into them. Private to lm/.
#pragma once

#include <map>
#include <string>

#include "core/gguf.h"
#include "core/json.h"

namespace linea {

using NamedTensors = std::map<std::string, Tensor>;

// llama.cpp's names for the architectures rwkv6, rwkv7, mamba and mamba2, whose layouts differ (see model_source.h), and what their
// metadata say in the keys of transformers' config.json. `tensors` are those of all parts. Throws kModel for other architectures.
NamedTensors names_from_gguf(const GgufFile& file, const NamedTensors& tensors);
Json config_from_gguf(const GgufFile& file);

// transformers' names (rwkv.blocks.0.attention.…, RWKV-4 to 6) and flash-linear-attention's (model.layers.0.attn.…, RWKV-7); tensors of the
// authors' names are returned as they are.
NamedTensors names_from_transformers(const NamedTensors& tensors, const std::string& source);

// The way to GGUF: the authors' names → llama.cpp's.
struct GgufNames {
  std::map<std::string, std::string> shell, block;    // whole names; names within a block, without "blk.I."
  std::string blocks;                                 // what the authors' names of block I begin with, before I
  std::string fused_name, fused_prefix, fused_parts;  // a tensor that holds several vectors, and the authors' names of these
};
const GgufNames* gguf_names(const std::string& family);  // null for families that llama.cpp does not know

}  // namespace linea
