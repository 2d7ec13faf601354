// dit/pipeline/pipeline.h: text → latents → picture, with a model folder of the diffusers layout (SanaPipeline).
//
// Pictures of a call are computed one after the other, each with its guidance pair as one batch, so a picture does not depend on its
// neighbours. Thread rule: one SanaPipeline belongs to one thread; siblings share the weights, so that several threads make pictures.
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
#include "dit/pipeline/denoise_state.h"
#include "dit/pipeline/memory_plan.h"
#include "dit/pipeline/model_source.h"
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
  std::optional<DType> dtype{};              // none = the best for the device; kF8E4M3 = bf16 with FP8 matrices
  bool softcap = true;                       // of the text encoder's attention logits
  std::optional<std::string> instruction{};  // none = the model folder's; empty = no instruction
  bool plans_only = false;                   // nothing is computed, and the device need not be there
};

// "fp32", "bf16", "fp16" and "fp8"; throws kUsage.
DType parse_picture_dtype(const std::string& name);

// The text of an instruction file, without its last line break. Throws kUsage.
std::string read_instruction_file(const std::filesystem::path& path);

// A finished step, told before the next one begins. What the functions return is a copy on the host; they may be called during the
// callback only.
struct DenoiseStep {
  int index = 0;  // of the picture in its call
  int step = 0, steps = 0;
  std::function<DenoiseState()> state;  // from which SanaPipeline::denoise goes on with the same bits
  std::function<Tensor()> data;         // [1, h, w, C] f32: the clean latents as this step saw them coming, for previews
};

struct GenerateCallbacks {
  ProgressCallback progress;
  // Waits for a picture's turn to compute its steps, with all else of it ready; the turn ends with what it gives. May throw.
  std::function<std::shared_ptr<void>()> begin_steps;
  std::function<void(const DenoiseStep&)> step;  // may throw, which ends the call
  std::function<void(Picture&&)> picture;        // called as soon as each picture is done
  std::function<void(const std::string& message)> warning;
  // Named f32 (or i64) tensors in the reference's layouts (NCHW), for comparing implementations; empty = none kept.
  std::function<void(const std::string& name, const Tensor& value)> trace;
  CancelToken cancel;
};

class SanaPipeline {
 public:
  // Throws kModel for a folder that is incomplete, corrupt or of another architecture. Reads configs; weights are loaded when first used.
  // `folder` may be the name of a random model (dit/pipeline/model_source.h).
  SanaPipeline(const std::filesystem::path& folder, const PipelineOptions& options);
  ~SanaPipeline();

  // Throws kUsage for requests that cannot be rendered (checked before any work), kCancelled when stopped.
  void generate(const PictureRequest& request, const GenerateCallbacks& callbacks);

  // Autoencoder round trip of an image whose sides are multiples of the compression (others are cropped at the right and bottom).
  Image reconstruct(const Image& image, const GenerateCallbacks& callbacks);

  // Another pipeline for another thread, with activations of its own. Weights are loaded once, by whoever needs them first; prompts are
  // encoded one at a time, with one cache for all siblings.
  std::unique_ptr<SanaPipeline> sibling() const;

  // What the request means for this model: the size asked for and the size rendered. Throws kUsage.
  struct Sizes {
    PictureSize asked, rendered;
  };
  Sizes resolve_size(const PictureRequest& request) const;
  void check(const PictureRequest& request) const;  // all that can be told without computing; throws kUsage

  // The stages of generate(), for callers that interleave the stages of several pictures. `index` is the picture's place in its call.
  // Both prompts' real rows, [negative, positive] under guidance, and where each begins.
  struct Text {
    Tensor rows;  // [L, caption_channels] on the device
    std::vector<int64_t> offsets{0};
  };
  Text encode(const PictureRequest& request, const GenerateCallbacks& callbacks);
  // Clean latents [1, h, w, C] f32 on the host. `from`: a state of the same picture. Throws kBadFile when it is of another form.
  Tensor denoise(const PictureRequest& request, const Text& text, int index, const GenerateCallbacks& callbacks,
                 const DenoiseState* from = nullptr);
  Picture decode(const PictureRequest& request, const Tensor& latents, int index, const GenerateCallbacks& callbacks);
  // The decoder's own picture of latents as denoise gives them, [1, H, W, 3] f32 in [-1, 1] on the host, not clamped.
  Tensor decode_latents(const Tensor& latents, const GenerateCallbacks& callbacks);

  // The fastest way to make such pictures within `limit` bytes of the device (0 = no limit), for prompts of any length. Loads no weights.
  // Throws kUsage for requests that cannot be rendered, and kMemory, naming the least that works and the nearest size that fits.
  MemoryPlan plan(const PictureRequest& request, int64_t limit);
  int64_t least_memory(const PictureRequest& request);  // the smallest limit for which there is a plan
  // Pictures are made so from now on, by this pipeline; weights that the plan does not keep are given back.
  void follow(const MemoryPlan& plan);
  void load_weights();  // those that the plan keeps, now

  DType dtype() const { return dtype_; }
  Gemma2Config text_config() const;  // throws kModel
  const SanaConfig& transformer_config() const { return transformer_config_; }
  const DcAeConfig& vae_config() const { return vae_config_; }
  const std::filesystem::path& folder() const { return folder_; }
  Device device() const { return options_.device; }

 private:
  struct Parts;
  struct Planning;
  SanaPipeline(const SanaPipeline& other, std::nullptr_t);       // a sibling
  bool fp8() const { return options_.dtype == DType::kF8E4M3; }  // for the matrices of text encoder and transformer
  Context make_context(DType dtype, Arena& arena, const CancelToken& cancel) const;
  Arena& arena_for(int64_t bytes);
  PictureSize latent_size(const PictureRequest& request) const;
  Tensor draw_noise(const PictureRequest& request, int index, PictureSize latent) const;
  struct Denoising;
  Tensor denoise_on(Context& ctx, const Denoising& job, const GenerateCallbacks& callbacks);
  // Takes what the decoder gave, [1, H, W, 3] f32 in ctx.arena, before that is used again.
  using TakeImage = std::function<void(Context& ctx, const Tensor& image)>;
  void decode_on(Context& ctx, const DcAutoencoder& vae, const Tensor& latents, int64_t strip_rows, const TakeImage& take) const;
  void decode_into(const Tensor& latents, const GenerateCallbacks& callbacks, const TakeImage& take);
  Image decode_pixels(const Tensor& latents, const GenerateCallbacks& callbacks);
  [[noreturn]] void fail_decoded() const;
  int64_t strip_rows(int64_t width) const;  // of the plan, or what suits a picture of that width
  int64_t plan_denoise(const Denoising& job);
  int64_t plan_decode(const DcAutoencoder& vae, PictureSize latent, int64_t strip_rows, const TakeImage& take) const;

  // Measuring (planning.cpp), with parts_->planning_mutex held and planning memory active.
  MemoryNeeds& needs_of(const PictureRequest& request);
  MemoryNeeds& all_needs_of(const PictureRequest& request);  // streaming included
  MemoryNeeds measure(const PictureRequest& request);
  void measure_streamed(const PictureRequest& request, MemoryNeeds& needs);
  int64_t measure_text(TextEncoder& encoder) const;
  int64_t measure_denoise(const SanaTransformer& model, const PictureRequest& request);
  int64_t library_bytes() const;
  [[noreturn]] void fail_plan(const PictureRequest& request, int64_t limit);

  TextEncoder::LoadModel text_loader(bool layer_by_layer) const;
  TextEncoder make_text_encoder(bool layer_by_layer) const;
  SanaTransformer make_transformer(int64_t resident_layers) const;
  DcAutoencoder make_autoencoder(DcAutoencoder::Parts parts) const;
  TextEncoder& text_encoder();  // with parts_->text_mutex held
  std::shared_ptr<const SanaTransformer> transformer();
  std::shared_ptr<const DcAutoencoder> autoencoder(DcAutoencoder::Parts parts);

  std::filesystem::path folder_;
  PipelineOptions options_;
  DType dtype_, wide_dtype_;  // wide: of the text encoder and autoencoder, which do not bear fp16
  SanaConfig transformer_config_;
  DcAeConfig vae_config_;
  std::shared_ptr<const Config> scheduler_config_;
  void end_stage(ModelPart part);  // gives back what the plan does not keep
  bool is_tight() const { return plan_ && !plan_->all_resident(); }

  std::shared_ptr<Parts> parts_;
  std::unique_ptr<Arena> arena_;
  std::optional<MemoryPlan> plan_;  // none = everything stays
};

}  // namespace linea
