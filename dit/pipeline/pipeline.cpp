#include "dit/pipeline/pipeline.h"

#include <algorithm>
#include <cmath>

#include "core/layout.h"
#include "core/random.h"
#include "dit/pipeline/pixels.h"
#include "dit/pipeline/stage_report.h"
#include "kernels/backend.h"

namespace linea {
namespace {

constexpr int kMaxCount = 100000;
constexpr int64_t kMaxSide = 16384;

Tensor integers_of(const auto& values) {
  Tensor t({1, static_cast<int64_t>(values.size())}, DType::kI64);
  std::copy(values.begin(), values.end(), t.data<int64_t>());
  return t;
}

// In the reference's padded form; padded rows, which nothing reads, are zero.
void trace_prompt(Context& ctx, const std::string& name, const PromptEmbedding& part, const GenerateCallbacks& callbacks) {
  const Tensor rows = download(ctx, part.embeddings).to(DType::kF32);
  Tensor padded({1, static_cast<int64_t>(part.ids.size()), rows.dim(1)}, DType::kF32);
  std::fill_n(padded.data<float>(), padded.elements(), 0.0f);
  std::copy_n(rows.data<float>(), rows.elements(), padded.data<float>());
  trace(callbacks, name + "_ids", integers_of(part.ids));
  trace(callbacks, name + "_mask", integers_of(part.mask));
  trace(callbacks, name + "_embeds", padded);
}

Tensor vector_of(const std::vector<float>& values) {
  Tensor t({static_cast<int64_t>(values.size())}, DType::kF32);
  std::copy(values.begin(), values.end(), t.data<float>());
  return t;
}

}  // namespace

// Both prompts' real rows, [negative, positive] under guidance, and where each begins.
struct SanaPipeline::Prompts {
  Tensor rows;  // [L, caption_channels] on the device
  std::vector<int64_t> offsets{0};
};

SanaPipeline::Sizes SanaPipeline::resolve_size(const PictureRequest& request) const {
  const int64_t unit = vae_config_.compression() * transformer_config_.patch_size;
  const int64_t native = transformer_config_.sample_size * vae_config_.compression();
  Sizes sizes;
  sizes.asked = request.size == PictureSize{} ? PictureSize{native, native} : request.size;
  for (const int64_t side : {sizes.asked.width, sizes.asked.height}) {
    if (side < unit || side > kMaxSide || side % unit != 0) {
      throw Error(
          ErrorKind::kUsage, "--size: " + to_text(sizes.asked) + " cannot be rendered",
          "both sides must be multiples of " + std::to_string(unit) + " from " + std::to_string(unit) + " to " + std::to_string(kMaxSide));
    }
  }
  sizes.rendered = sizes.asked;
  if (request.use_bins) sizes.rendered = nearest_trained_size(transformer_config_.sample_size, sizes.asked).value_or(sizes.asked);
  return sizes;
}

SanaPipeline::Prompts SanaPipeline::encode_prompts(const PictureRequest& request, bool guided, const GenerateCallbacks& callbacks) {
  const StageReport stage(callbacks, "text");
  stage.report(0, 1);
  TextEncoder& encoder = text_encoder();
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(wide_dtype_, planning, callbacks.cancel);
  encoder.plan(plan);
  Context ctx = make_context(wide_dtype_, arena_for(planning.peak()), callbacks.cancel);
  std::vector<PromptEmbedding> parts;
  if (guided) parts.push_back(encoder.encode(ctx, request.negative, /*is_negative=*/true));
  parts.push_back(encoder.encode(ctx, request.prompt));

  Prompts prompts;
  for (const PromptEmbedding& part : parts) {
    prompts.offsets.push_back(prompts.offsets.back() + part.embeddings.rows());
    if (part.embeddings.dim(1) != transformer_config_.caption_channels) {
      throw Error(ErrorKind::kModel, folder_.string() + ": the text encoder gives " + std::to_string(part.embeddings.dim(1)) +
                                         " channels, the transformer expects " + std::to_string(transformer_config_.caption_channels));
    }
    if (part.cut > 0 && callbacks.warning) {
      callbacks.warning("the prompt is longer than " + std::to_string(part.ids.size()) + " tokens: its last " + std::to_string(part.cut) +
                        " were left out");
    }
  }
  prompts.rows = Tensor({prompts.offsets.back(), transformer_config_.caption_channels}, wide_dtype_, options_.device);
  for (size_t i = 0; i < parts.size(); ++i) {
    cast(ctx, parts[i].embeddings, prompts.rows.slice(0, prompts.offsets[i], parts[i].embeddings.rows()));
  }
  if (callbacks.trace) {
    trace_prompt(ctx, "prompt", parts.back(), callbacks);
    if (guided) trace_prompt(ctx, "negative", parts.front(), callbacks);
  }
  stage.report(1, 1);
  return prompts;
}

// [1, C, h, w], or one picture's part of a joint draw.
Tensor SanaPipeline::draw_noise(const PictureRequest& request, int index, PictureSize latent) const {
  const int64_t one = vae_config_.latent_channels * latent.height * latent.width;
  const int64_t drawn = request.joint_noise ? request.count : 1;
  std::vector<float> values(static_cast<size_t>(drawn * one));
  const uint64_t seed = request.joint_noise ? request.seed : request.seed + static_cast<uint64_t>(index);
  if (request.noise == NoiseSource::kTorchCpu) {
    TorchCpuGenerator(seed).normal(values);
  } else {
    TorchCudaGenerator(seed).normal(values);
  }
  Tensor noise({1, vae_config_.latent_channels, latent.height, latent.width}, DType::kF32);
  std::copy_n(values.begin() + (request.joint_noise ? index * one : 0), one, noise.data<float>());
  return noise;
}

// Integrates one picture's latents from `noise` [1, h, w, C] to sigma 0; the result lives in the arena. Planning runs a single step.
Tensor SanaPipeline::denoise(Context& ctx, const PictureRequest& request, const SanaTransformer::Text& text, const Tensor& positions,
                             const Tensor& noise, int index, const GenerateCallbacks& callbacks) {
  const SanaTransformer& model = transformer();
  const std::unique_ptr<Scheduler> scheduler =
      make_scheduler(*scheduler_config_, {.steps = request.steps, .name = request.scheduler, .flow_shift = request.flow_shift});
  const int64_t B = static_cast<int64_t>(text.offsets.size()) - 1, h = noise.dim(1), w = noise.dim(2), C = noise.dim(3);
  const Tensor x = ctx.allocate({1, h, w, C}, DType::kF32);
  upload(ctx, {noise.data<float>(), static_cast<size_t>(noise.elements())}, x);
  const Arena::Scope scope(*ctx.arena);
  scheduler->allocate_history(ctx, x.shape());
  const Tensor input = ctx.allocate({B, h, w, C}), output = ctx.allocate({B, h, w, C});
  const Tensor velocities = ctx.allocate({B, h, w, C}, DType::kF32), velocity = velocities.slice(0, 0, 1);
  if (index == 0 && !ctx.planning()) {
    trace(callbacks, "timesteps", vector_of(scheduler->timesteps()));
    trace(callbacks, "sigmas", vector_of(scheduler->sigmas()));
    trace(callbacks, "latents_init", to_channel_major(noise));
  }

  const StageReport stage(callbacks, "denoise");
  const int steps = ctx.planning() ? 1 : scheduler->steps();
  if (!ctx.planning()) stage.report(0, steps);
  for (int i = 0; i < steps; ++i) {
    ctx.cancel.throw_if_cancelled();
    for (int64_t b = 0; b < B; ++b) cast(ctx, x, input.slice(0, b, 1));
    const float t = scheduler->timesteps()[static_cast<size_t>(i)] * static_cast<float>(transformer_config_.timestep_scale);
    const std::vector<float> timesteps(static_cast<size_t>(B), t);
    model.forward(ctx, {.latents = input, .timesteps = timesteps, .text = &text, .positions = positions}, output);
    cast(ctx, output, velocities);
    if (B == 2) {  // v = v_u + g (v_t - v_u)
      const float g = static_cast<float>(request.guidance);
      const Term terms[] = {{1.0f - g, velocities.slice(0, 0, 1)}, {g, velocities.slice(0, 1, 1)}};
      linear_combination(ctx, terms, velocity);
    }
    scheduler->step(ctx, i, velocity, x);
    if (ctx.planning()) continue;
    if (callbacks.trace && index == 0) {
      char name[24];
      std::snprintf(name, sizeof name, "latents_%03d", i + 1);
      trace(callbacks, name, to_channel_major(download(ctx, x)));
    }
    stage.report(i + 1, steps);
  }
  return x;
}

void SanaPipeline::generate(const PictureRequest& request, const GenerateCallbacks& callbacks) {
  if (request.count < 1 || request.count > kMaxCount) {
    throw Error(ErrorKind::kUsage, "--count: " + std::to_string(request.count) + " is not between 1 and " + std::to_string(kMaxCount));
  }
  if (!(request.guidance >= 0 && request.guidance <= 100)) throw Error(ErrorKind::kUsage, "--guidance: must be from 0 to 100");
  const Sizes sizes = resolve_size(request);
  make_scheduler(*scheduler_config_, {.steps = request.steps, .name = request.scheduler, .flow_shift = request.flow_shift});
  const bool guided = request.guidance > 1;
  const PictureSize latent{sizes.rendered.height / vae_config_.compression(), sizes.rendered.width / vae_config_.compression()};

  const Prompts prompts = encode_prompts(request, guided, callbacks);
  const SanaTransformer& model = transformer();
  const auto denoise_with = [&](Context& ctx, const Tensor& noise, int index) {
    const SanaTransformer::Text text = model.encode_text(ctx, prompts.rows, prompts.offsets);
    const int64_t p = transformer_config_.patch_size;
    const Tensor positions = model.positional_table(ctx, latent.height / p, latent.width / p);
    const Tensor x = denoise(ctx, request, text, positions, noise, index, callbacks);
    return ctx.planning() ? Tensor() : download(ctx, x);
  };
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(dtype_, planning, callbacks.cancel);
  denoise_with(plan, Tensor({1, latent.height, latent.width, vae_config_.latent_channels}, DType::kF32), 0);

  for (int index = 0; index < request.count; ++index) {
    callbacks.cancel.throw_if_cancelled();
    const Tensor noise = to_token_major(draw_noise(request, index, latent));
    Tensor latents;
    {
      Context ctx = make_context(dtype_, arena_for(planning.peak()), callbacks.cancel);
      const Arena::Scope scope(*ctx.arena);
      latents = denoise_with(ctx, noise, index);
    }
    Tensor image = decode(latents, callbacks);
    if (sizes.rendered != sizes.asked) image = resize_and_crop(image, sizes.asked);
    if (index == 0) trace(callbacks, "image", to_channel_major(image));
    callbacks.cancel.throw_if_cancelled();
    if (callbacks.picture) {
      callbacks.picture({to_image(image), index, request.seed + static_cast<uint64_t>(index), sizes.rendered});
    }
  }
}

}  // namespace linea
