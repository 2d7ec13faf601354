// textenc/gemma2_config.h: text_encoder/config.json of Gemma 2 (arXiv 2408.00118).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/json.h"
#include "kernels/ops.h"

namespace linea {

// Defaults are Gemma-2-2B, which are transformers' defaults too.
struct Gemma2Config {
  int64_t vocabulary_size = 256000;
  int64_t hidden_size = 2304;
  int64_t intermediate_size = 9216;
  int64_t layers = 26;
  int64_t heads = 8;
  int64_t kv_heads = 4;
  int64_t head_dim = 256;
  int64_t max_positions = 8192;
  double query_pre_attn_scalar = 256;  // attention logits are divided by its square root
  float softcap = 50.0f;               // of attention logits; 0 = none
  float rms_norm_eps = 1e-6f;
  float rope_theta = 10000.0f;
  Activation activation = Activation::kGeluTanh;
  std::vector<int64_t> windows = std::vector<int64_t>(26, 0);  // per layer: tokens seen, itself included; 0 = all before it

  // Throws kModel naming file, key, expectation and value. Accepts Gemma2Model and Gemma2ForCausalLM, old configs (rope_theta, alternating
  // layers implied) and new ones (rope_parameters, layer_types). tie_word_embeddings and final_logit_softcapping concern a head that the
  // encoder does not have.
  static Gemma2Config parse(const Json& object, const std::string& source);
  static Gemma2Config read(const std::filesystem::path& file);
};

}  // namespace linea
