// dit/pipeline/parts.h: the weights that sibling pipelines share. Private to dit/pipeline.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/planning_memory.h"
#include "dit/pipeline/model_source.h"
#include "dit/pipeline/pipeline.h"

namespace linea {

// Loaded by whichever sibling needs them first. The lock of the text encoder is held while it computes: its cache serves all.
struct SanaPipeline::Parts {
  PictureModelSource source;
  std::mutex text_mutex, weights_mutex, planning_mutex, tokenizer_mutex;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<TextEncoder> text_encoder;
  bool text_layer_by_layer = false;
  std::shared_ptr<const SanaTransformer> transformer;
  int64_t resident_layers = SanaTransformer::kAllLayers;  // of the transformer that is loaded
  std::shared_ptr<const DcAutoencoder> autoencoder;
  DcAutoencoder::Parts autoencoder_parts = DcAutoencoder::kDecoderOnly;
  std::unique_ptr<Planning> planning;  // made by the first plan
};

// The model loaded into planning memory: shapes without data.
struct SanaPipeline::Planning {
  explicit Planning(Device device) : memory(device) {}
  PlanningMemory memory;  // first: it outlives the models

  template <class Model> struct Part {
    std::optional<Model> model;
    PartNeeds needs;
  };
  Part<TextEncoder> text, text_by_layer;
  Part<SanaTransformer> transformer, streamed_transformer;
  Part<DcAutoencoder> decoder;
  std::map<std::string, MemoryNeeds> needs;  // by size, guidance and scheduler
};

// What the steps of one picture need.
struct SanaPipeline::Denoising {
  const PictureRequest& request;
  const SanaTransformer& model;
  const Text& text;
  PictureSize latent;
  int index = 0;
  Tensor start{};  // [1, h, w, C] f32: noise, or the latents of `from`
  const DenoiseState* from = nullptr;
};

}  // namespace linea
