// dit/pipeline/pipeline.h: text → latents → picture, with a model folder of the diffusers layout (SanaPipeline).
//
// Pictures of a call are computed one after the other, each with its guidance pair as one batch, so a picture does not depend on its
// neighbours. Thread rule: one SanaPipeline belongs to one thread.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/cancel.h"
#include "core/image.h"
#include "core/progress.h"
#include "dit/pipeline/aspect_ratio.h"
#include "dit/schedulers/scheduler.h"
#include "dit/transformer.h"
#include "textenc/text_encoder.h"
#include "vae/autoencoder.h"

namespace linea {

enum class NoiseSource { kTorchCpu, kTorchCuda };

struct PictureRequest {
  std::string prompt, negative;
  PictureSize size;      // 0 = the model's native size
  bool use_bins = true;  // render at the nearest trained size, then resize and crop
  int steps = 20;
  double guidance = 4.5;  // 1 or less = off: one pass a step
  uint64_t seed = 0;      // picture k of a call has seed + k
  int count = 1;
  std::string scheduler;  // empty = the model's; "dpm++", "euler"
  std::optional<double> flow_shift;
  NoiseSource noise = NoiseSource::kTorchCpu;
  bool joint_noise = false;  // all pictures' noise is one draw of the first seed's generator
};

struct Picture {
  Image image;
  int index = 0;
  uint64_t seed = 0;
  PictureSize rendered;  // before resizing and cropping
};

struct PipelineOptions {
  Device device;
  std::optional<DType> dtype;              // none = the best for the device
  bool softcap = true;                     // of the text encoder's attention logits
  std::optional<std::string> instruction;  // none = the model folder's; empty = no instruction
};

// The text of an instruction file, without its last line break. Throws kUsage.
std::string read_instruction_file(const std::filesystem::path& path);

struct GenerateCallbacks {
  ProgressCallback progress;
  std::function<void(Picture&&)> picture;  // called as soon as each picture is done
  std::function<void(const std::string& message)> warning;
  // Named f32 (or i64) tensors in the reference's layouts (NCHW), for comparing implementations; empty = none kept.
  std::function<void(const std::string& name, const Tensor& value)> trace;
  CancelToken cancel;
};

class SanaPipeline {
 public:
  // Throws kModel for a folder that is incomplete, corrupt or of another architecture. Reads configs and maps weights; autoencoder and
  // transformer are prepared when first used.
  SanaPipeline(const std::filesystem::path& folder, const PipelineOptions& options);
  ~SanaPipeline();

  // Throws kUsage for requests that cannot be rendered (checked before any work), kCancelled when stopped.
  void generate(const PictureRequest& request, const GenerateCallbacks& callbacks);

  // Autoencoder round trip of an image whose sides are multiples of the compression (others are cropped at the right and bottom).
  Image reconstruct(const Image& image, const GenerateCallbacks& callbacks);

  // What the request means for this model: the size asked for and the size rendered. Throws kUsage.
  struct Sizes {
    PictureSize asked, rendered;
  };
  Sizes resolve_size(const PictureRequest& request) const;

  DType dtype() const { return dtype_; }
  const SanaConfig& transformer_config() const { return transformer_config_; }
  const DcAeConfig& vae_config() const { return vae_config_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  struct Prompts;
  Context make_context(DType dtype, Arena& arena, const CancelToken& cancel) const;
  Arena& arena_for(int64_t bytes);
  Prompts encode_prompts(const PictureRequest& request, bool guided, const GenerateCallbacks& callbacks);
  Tensor draw_noise(const PictureRequest& request, int index, PictureSize latent) const;
  Tensor denoise(Context& ctx, const PictureRequest& request, const SanaTransformer::Text& text, const Tensor& positions,
                 const Tensor& noise, int index, const GenerateCallbacks& callbacks);
  Tensor decode(const Tensor& latents, const GenerateCallbacks& callbacks);
  TextEncoder& text_encoder();
  const SanaTransformer& transformer();
  const DcAutoencoder& autoencoder(DcAutoencoder::Parts parts);

  std::filesystem::path folder_;
  PipelineOptions options_;
  DType dtype_, wide_dtype_;  // wide: of the text encoder and autoencoder, which do not bear fp16
  SanaConfig transformer_config_;
  DcAeConfig vae_config_;
  std::unique_ptr<Config> scheduler_config_;
  std::optional<TextEncoder> text_encoder_;
  std::optional<SanaTransformer> transformer_;
  std::optional<DcAutoencoder> autoencoder_;
  DcAutoencoder::Parts autoencoder_parts_ = DcAutoencoder::kDecoderOnly;
  std::unique_ptr<Arena> arena_;
};

}  // namespace linea
