// dit/pipeline/model_source.h: where the parts of a picture model come from: a folder in the diffusers layout, or random weights of a
// published configuration, for benchmarks and memory plans without any file.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/checkpoint.h"
#include "dit/config.h"
#include "textenc/gemma2_config.h"
#include "tokenizers/tokenizer.h"
#include "vae/config.h"

namespace linea {

enum class ModelPart { kTextEncoder, kTransformer, kAutoencoder };

struct PictureModelSource {
  std::filesystem::path folder;  // of a random model: its name
  SanaConfig transformer;
  DcAeConfig autoencoder;
  std::shared_ptr<const Config> scheduler;
  std::function<Gemma2Config()> text_config;
  std::function<Checkpoint(ModelPart)> checkpoint;
  std::function<std::unique_ptr<Tokenizer>()> tokenizer;
  std::function<std::string()> instruction;  // before prompts; empty = none

  // A folder, or "random:NAME" with NAME as random_models() has it and a native size: "random:sana-1.6b" (1024), "random:sana-1.6b-4k",
  // "-2k". Throws kModel for a folder that is incomplete, corrupt or of another architecture, and kUsage for an unknown name.
  static PictureModelSource open(const std::filesystem::path& folder_or_name);
};

bool is_random_model(const std::string& name);
SanaConfig random_transformer_config(const std::string& name, int64_t native_size);  // "sana-0.6b", "sana-1.6b", "sana-4.8b"
DcAeConfig random_autoencoder_config();                                              // DC-AE f32c32, as all SANA models have it
Gemma2Config random_text_config();                                                   // Gemma-2-2B

}  // namespace linea
