// dit/pipeline/parts.h: the weights that sibling pipelines share. Private to dit/pipeline.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "dit/pipeline/pipeline.h"

namespace linea {

// Loaded by whichever sibling needs them first. The lock of the text encoder is held while it computes: its cache serves all.
struct SanaPipeline::Parts {
  std::mutex text_mutex, weights_mutex;
  std::optional<TextEncoder> text_encoder;
  std::shared_ptr<const SanaTransformer> transformer;
  std::shared_ptr<const DcAutoencoder> autoencoder;
  DcAutoencoder::Parts autoencoder_parts = DcAutoencoder::kDecoderOnly;
};

}  // namespace linea
