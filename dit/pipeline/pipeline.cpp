#include "dit/pipeline/pipeline.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/layout.h"
#include "core/planning_memory.h"
#include "core/random.h"
#include "dit/pipeline/parts.h"
#include "dit/pipeline/pixels.h"
#include "dit/pipeline/stage_report.h"
#include "kernels/backend.h"
#include "kernels/replay.h"

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

void SanaPipeline::check(const PictureRequest& request) const {
  if (request.count < 1 || request.count > kMaxCount) {
    throw Error(ErrorKind::kUsage, "--count: " + std::to_string(request.count) + " is not between 1 and " + std::to_string(kMaxCount));
  }
  if (!(request.guidance >= 0 && request.guidance <= 100)) throw Error(ErrorKind::kUsage, "--guidance: must be from 0 to 100");
  resolve_size(request);
  make_scheduler(*scheduler_config_, {.steps = request.steps, .name = request.scheduler, .flow_shift = request.flow_shift});
}

PictureSize SanaPipeline::latent_size(const PictureRequest& request) const {
  const PictureSize rendered = resolve_size(request).rendered;
  return {rendered.height / vae_config_.compression(), rendered.width / vae_config_.compression()};
}

SanaPipeline::Text SanaPipeline::encode(const PictureRequest& request, const GenerateCallbacks& callbacks) {
  const StageReport stage(callbacks, "text");
  stage.report(0, 1);
  const bool guided = request.guidance > 1;
  const std::lock_guard lock(parts_->text_mutex);
  TextEncoder& encoder = text_encoder();
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(wide_dtype_, planning, callbacks.cancel);
  std::vector<TextEncoder::Prompt> prompts;
  if (guided) prompts.push_back({request.negative, /*is_negative=*/true});
  prompts.push_back({request.prompt});
  const bool known = std::all_of(prompts.begin(), prompts.end(), [&](const auto& prompt) { return encoder.knows(plan, prompt); });
  if (!known) {
    encoder.load_weights();
    PlanningMemory uncounted(options_.device);  // layers that come one by one are not to be loaded for this
    const PlanningMemory::Scope scope(uncounted);
    encoder.plan(plan);
  }
  Context ctx = make_context(wide_dtype_, arena_for(planning.peak()), callbacks.cancel);
  const std::vector<PromptEmbedding> parts = encoder.encode(ctx, prompts);

  Text text;
  for (const PromptEmbedding& part : parts) {
    text.offsets.push_back(text.offsets.back() + part.embeddings.rows());
    if (part.embeddings.dim(1) != transformer_config_.caption_channels) {
      throw Error(ErrorKind::kModel, folder_.string() + ": the text encoder gives " + std::to_string(part.embeddings.dim(1)) +
                                         " channels, the transformer expects " + std::to_string(transformer_config_.caption_channels));
    }
    if (part.cut > 0 && callbacks.warning) {
      callbacks.warning("the prompt is longer than " + std::to_string(part.ids.size()) + " tokens: its last " + std::to_string(part.cut) +
                        " were left out");
    }
  }
  text.rows = Tensor({text.offsets.back(), transformer_config_.caption_channels}, wide_dtype_, options_.device);
  for (size_t i = 0; i < parts.size(); ++i) {
    cast(ctx, parts[i].embeddings, text.rows.slice(0, text.offsets[i], parts[i].embeddings.rows()));
  }
  if (callbacks.trace) {
    trace_prompt(ctx, "prompt", parts.back(), callbacks);
    if (guided) trace_prompt(ctx, "negative", parts.front(), callbacks);
  }
  end_stage(ModelPart::kTextEncoder);
  stage.report(1, 1);
  return text;
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

// Integrates one picture's latents to sigma 0; gives them back on the host (nothing when planning, which runs a single step).
Tensor SanaPipeline::denoise_on(Context& ctx, const Denoising& job, const GenerateCallbacks& callbacks) {
  const PictureRequest& request = job.request;
  const Arena::Scope scope(*ctx.arena);
  const SanaTransformer::Text text = job.model.encode_text(ctx, job.text.rows, job.text.offsets);
  const int64_t p = transformer_config_.patch_size;
  const Tensor positions = job.model.positional_table(ctx, job.latent.height / p, job.latent.width / p);
  const std::unique_ptr<Scheduler> scheduler =
      make_scheduler(*scheduler_config_, {.steps = request.steps, .name = request.scheduler, .flow_shift = request.flow_shift});
  const int64_t B = static_cast<int64_t>(text.offsets.size()) - 1, h = job.latent.height, w = job.latent.width;
  const int64_t C = vae_config_.latent_channels;
  const Tensor x = ctx.allocate({1, h, w, C}, DType::kF32), before = ctx.allocate(x.shape(), DType::kF32);
  scheduler->allocate_history(ctx, x.shape());
  const Tensor input = ctx.allocate({1, h, w, C}), output = ctx.allocate({B, h, w, C});
  const Tensor velocities = ctx.allocate({B, h, w, C}, DType::kF32), velocity = velocities.slice(0, 0, 1);
  const auto put = [&](const Tensor& host, const Tensor& device) {
    upload(ctx, {host.data<float>(), static_cast<size_t>(host.elements())}, device);
  };
  std::vector<float> timesteps(scheduler->timesteps().begin(), scheduler->timesteps().end());
  for (float& t : timesteps) t *= static_cast<float>(transformer_config_.timestep_scale);
  const Tensor all_times = ctx.allocate(job.model.times_shape(static_cast<int64_t>(timesteps.size())), DType::kF32);
  const Tensor times = ctx.allocate(job.model.times_shape(1), DType::kF32);
  job.model.embed_times(ctx, timesteps, 0, all_times);
  SanaTransformer::Blocks::Pass blocks = job.model.open_blocks(ctx);
  const auto find_velocity = [&] {
    job.model.forward(ctx, {.latents = input, .text = &text, .positions = positions, .times = times, .blocks = &blocks}, output);
    cast(ctx, output, velocities);
    if (B == 2) {  // v = v_u + g (v_t - v_u)
      const float g = static_cast<float>(request.guidance);
      const Term terms[] = {{1.0f - g, velocities.slice(0, 0, 1)}, {g, velocities.slice(0, 1, 1)}};
      linear_combination(ctx, terms, velocity);
    }
  };
  ReplayCache replays;
  std::array<std::unique_ptr<Backend::TimeMark>, 2> ends;  // of the last two steps
  int first = 0;
  if (!ctx.planning()) {
    put(job.start, x);
    if (job.from) {
      const std::span<const Tensor> history = scheduler->history(job.from->step);
      if (history.size() != job.from->history.size() || job.from->step >= scheduler->steps()) {
        throw Error(ErrorKind::kBadFile, "the checkpoint is of another scheduler or number of steps");
      }
      for (size_t i = 0; i < history.size(); ++i) put(job.from->history[i], history[i]);
      first = job.from->step;
    }
    if (job.index == 0 && callbacks.trace) {
      trace(callbacks, "timesteps", vector_of(scheduler->timesteps()));
      trace(callbacks, "sigmas", vector_of(scheduler->sigmas()));
      trace(callbacks, "latents_init", to_channel_major(job.start));
    }
  }

  const std::shared_ptr<void> turn = !ctx.planning() && callbacks.begin_steps ? callbacks.begin_steps() : nullptr;
  const int steps = ctx.planning() ? 1 : scheduler->steps();
  StageReport stage(callbacks, "denoise", first);
  if (!ctx.planning()) stage.report(first, steps);
  for (int i = first; i < steps; ++i) {
    ctx.cancel.throw_if_cancelled();
    cast(ctx, x, input);
    cast(ctx, all_times.slice(0, i, 1), times);
    if (job.model.is_streamed()) {
      find_velocity();  // its copies run beside it, which a captured step could not wait for
    } else {
      replays.run(ctx, {}, find_velocity);
    }
    if (callbacks.step) cast(ctx, x, before);
    scheduler->step(ctx, i, velocity, x);
    if (ctx.planning()) return {};
    if (callbacks.trace && job.index == 0) {
      char name[24];
      std::snprintf(name, sizeof name, "latents_%03d", i + 1);
      trace(callbacks, name, to_channel_major(download(ctx, x)));
    }
    // A device works behind the host: not further than a step, or progress and a wish to stop would mean little.
    ends[static_cast<size_t>(i) % 2] = ctx.backend->mark_time();
    const auto& previous = ends[static_cast<size_t>(i + 1) % 2];
    if (previous) previous->seconds_until(*previous);
    stage.report(i + 1, steps);
    if (!callbacks.step) continue;
    const auto state = [&] {
      DenoiseState s{.step = i + 1, .latents = download(ctx, x), .history = {}};
      for (const Tensor& past : scheduler->history(i + 1)) s.history.push_back(download(ctx, past));
      return s;
    };
    const auto data = [&] {  // x = (1 - sigma) data + sigma noise and v = noise - data
      const Term terms[] = {{1.0f, before}, {-scheduler->sigmas()[static_cast<size_t>(i)], velocity}};
      linear_combination(ctx, terms, velocity);
      return download(ctx, velocity);
    };
    callbacks.step({job.index, i + 1, steps, state, data});
  }
  return download(ctx, x);
}

int64_t SanaPipeline::plan_denoise(const Denoising& job) {
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(dtype_, planning, {});
  denoise_on(plan, job, {});
  return planning.peak();
}

Tensor SanaPipeline::denoise(const PictureRequest& request, const Text& text, int index, const GenerateCallbacks& callbacks,
                             const DenoiseState* from) {
  std::shared_ptr<const SanaTransformer> model = transformer();
  Denoising job{.request = request, .model = *model, .text = text, .latent = latent_size(request), .index = index, .from = from};
  const Shape shape{1, job.latent.height, job.latent.width, vae_config_.latent_channels};
  if (from && from->latents.shape() != shape) {
    throw Error(ErrorKind::kBadFile, "the checkpoint's latents are " + from->latents.shape().to_string() + ", not " + shape.to_string());
  }
  Context ctx = make_context(dtype_, arena_for(plan_denoise(job)), callbacks.cancel);
  job.start = from ? from->latents : to_token_major(draw_noise(request, index, job.latent));
  const Tensor latents = denoise_on(ctx, job, callbacks);
  model.reset();
  end_stage(ModelPart::kTransformer);
  return latents;
}

Picture SanaPipeline::decode(const PictureRequest& request, const Tensor& latents, int index, const GenerateCallbacks& callbacks) {
  const Sizes sizes = resolve_size(request);
  const bool is_traced = index == 0 && callbacks.trace;
  Picture picture{.image = {}, .index = index, .seed = request.seed + static_cast<uint64_t>(index), .rendered = sizes.rendered};
  if (sizes.rendered == sizes.asked && !is_traced) {
    picture.image = decode_pixels(latents, callbacks);
  } else {
    Tensor values = decode_latents(latents, callbacks);
    if (sizes.rendered != sizes.asked) values = resize_and_crop(values, sizes.asked);
    if (is_traced) trace(callbacks, "image", to_channel_major(values));
    picture.image = to_image(values);
  }
  callbacks.cancel.throw_if_cancelled();
  return picture;
}

void SanaPipeline::generate(const PictureRequest& request, const GenerateCallbacks& callbacks) {
  check(request);
  const Text text = encode(request, callbacks);
  for (int index = 0; index < request.count; ++index) {
    callbacks.cancel.throw_if_cancelled();
    Picture picture = decode(request, denoise(request, text, index, callbacks), index, callbacks);
    if (callbacks.picture) callbacks.picture(std::move(picture));
  }
}

}  // namespace linea
