// app/engine/preview.h: a small picture straight from latents, at every step.
//
// Each latent position of 32 channels becomes one pixel through a fitted affine map, so a preview costs microseconds and no decoder. The
// map is a least-squares fit of decoded latents against their own pictures, averaged over each position's 32 × 32 pixels.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <vector>

#include "core/image.h"
#include "core/tensor.h"
#include "dit/pipeline/pipeline.h"

namespace linea {

// rgb = bias + weights · latent, in [-1, 1].
struct PreviewMap {
  std::vector<std::array<float, 3>> rows;  // row 0 is the bias, row c + 1 the weight of channel c
  int64_t channels() const { return static_cast<int64_t>(rows.size()) - 1; }
};

// latents [1, h, w, C] f32 on the host to h × w pixels.
Image preview_picture(const PreviewMap& map, const Tensor& latents);

// Sums for the fit; pairs may be added at any time, so the map follows the pictures that a model really makes.
class PreviewFit {
 public:
  explicit PreviewFit(int64_t channels);
  // latents [1, h, w, C] f32 and their decoded picture of h·f × w·f pixels, f whole; other sizes are passed over.
  void add(const Tensor& latents, const Image& picture);
  PreviewMap solve() const;  // ridge-regularised: defined from the first pair on
  int64_t samples() const { return samples_; }

  void save(const std::filesystem::path& path) const;                                          // throws kIo
  static std::optional<PreviewFit> load(const std::filesystem::path& path, int64_t channels);  // nothing when absent or of another form

 private:
  int64_t channels_, samples_ = 0;
  std::vector<double> gram_;    // [C + 1, C + 1]
  std::vector<double> target_;  // [C + 1, 3]
};

// Where the fit of a model folder is kept: its name tells the autoencoder's files apart.
std::filesystem::path preview_fit_path(const std::filesystem::path& model_folder);

// A first fit from smooth random latents and their decoded pictures: some small decodes.
PreviewFit fit_preview(SanaPipeline& pipeline, const CancelToken& cancel = {});

}  // namespace linea
