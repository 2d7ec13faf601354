// dit/pipeline/aspect_ratio.h: the sizes that SANA models were trained at ("resolution binning" of the reference pipeline).
#pragma once

#include <cstdint>
#include <optional>

namespace linea {

struct PictureSize {
  int64_t height = 0, width = 0;
  bool operator==(const PictureSize&) const = default;
};

// The trained size whose height / width is nearest to that of `wanted`, for a model whose native latent side is `sample_size`
// (16, 32, 64 or 128 = 512, 1024, 2048 or 4096 pixels); nothing for other models.
std::optional<PictureSize> nearest_trained_size(int64_t sample_size, PictureSize wanted);

}  // namespace linea
