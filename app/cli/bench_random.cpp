#include "app/cli/bench_random.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "app/cli/options.h"
#include "app/engine/cost.h"
#include "dit/pipeline/model_source.h"
#include "dit/transformer.h"
#include "kernels/replay.h"
#include "textenc/gemma2.h"
#include "vae/autoencoder.h"

namespace linea::cli {
namespace {

constexpr int64_t kTextTokens = 300;
constexpr int kWarmUps = 3, kRuns = 11, kProfiled = 3;

Tensor random_activations(Context& ctx, Shape shape) {
  return Checkpoint::random().load("activations", shape, DType::kF32).to(ctx.dtype).to(ctx.backend->device());
}

// Runs `work` on exactly the memory that it plans: warm, then timed, then once more with every op timed. `captured`: as one submission,
// which work that reads the host's memory cannot be.
StageTimes time_stage(Context& ctx, const std::string& name, double flops, const bench::Rates& rates, bool captured,
                      const std::function<void(Context&)>& work) {
  StageTimes stage;
  stage.name = name;
  stage.flops = flops;
  stage.floor_seconds = flops / rates.gemm_flops;
  Arena plan = Arena::planning(ctx.backend->device());
  Context planning = ctx;
  planning.arena = &plan;
  work(planning);
  stage.activation_bytes = plan.peak();
  Arena arena(ctx.backend->device(), plan.peak());
  Context run = ctx;
  run.arena = &arena;
  ReplayCache replays;
  const auto once = [&] { replays.run(run, {}, [&] { work(run); }); };
  for (int i = 0; i < kWarmUps; ++i) captured ? once() : work(run);
  std::vector<std::unique_ptr<Backend::TimeMark>> marks;
  marks.push_back(run.backend->mark_time());
  for (int i = 0; i < kRuns; ++i) {
    captured ? once() : work(run);
    marks.push_back(run.backend->mark_time());
  }
  std::vector<double> seconds;
  for (int i = 0; i < kRuns; ++i) seconds.push_back(marks[static_cast<size_t>(i)]->seconds_until(*marks[static_cast<size_t>(i) + 1]));
  std::sort(seconds.begin(), seconds.end());
  stage.best_seconds = seconds.front();
  stage.median_seconds = seconds[kRuns / 2];

  bench::ProfilingBackend profiler(*ctx.backend);
  run.backend = &profiler;
  for (int i = 0; i < kProfiled; ++i) work(run);
  stage.ops = profiler.take();
  for (bench::OpTotal& op : stage.ops) {
    op.calls /= kProfiled;
    op.seconds /= kProfiled;
    op.flops /= kProfiled;
    op.bytes /= kProfiled;
  }
  return stage;
}

StageTimes time_text(Context& ctx, const bench::Rates& rates) {
  const Gemma2Config config = random_text_config();
  const Gemma2 model = Gemma2::load(ctx, Checkpoint::random(), config);
  std::vector<int32_t> ids(kTextTokens);
  std::iota(ids.begin(), ids.end(), 2);
  return time_stage(ctx, "text, 300 tokens", text_flops(config, kTextTokens), rates, false, [&](Context& c) {
    const Arena::Scope scope(*c.arena);
    model.forward(c, ids, c.allocate({kTextTokens, config.hidden_size}));
  });
}

StageTimes time_step(Context& ctx, const std::string& name, PictureSize size, const bench::Rates& rates) {
  const SanaConfig config = random_transformer_config(name, std::max(size.width, size.height));
  const SanaTransformer model = SanaTransformer::load(ctx, Checkpoint::random(), config);
  const int64_t h = size.height / 32, w = size.width / 32, C = config.in_channels;
  const Tensor embeddings = random_activations(ctx, {2 * kTextTokens, config.caption_channels}),
               latents = random_activations(ctx, {1, h, w, C});
  Arena kept(ctx.backend->device(), (int64_t{1} << 30) + h * w * config.dim() * 4);
  Context keep = ctx;
  keep.arena = &kept;
  const SanaTransformer::Text text = model.encode_text(keep, embeddings, {0, kTextTokens, 2 * kTextTokens});
  const Tensor positions = model.positional_table(keep, h, w);
  const Tensor times = keep.allocate(model.times_shape(1), DType::kF32);
  model.embed_times(keep, std::vector<float>{500.0f}, 4.5f, times);
  return time_stage(ctx, "denoising step, guidance pair", transformer_step_flops(config, h, w, kTextTokens, 2), rates, true,
                    [&](Context& c) {
                      const Arena::Scope scope(*c.arena);
                      const Tensor output = c.allocate({2, h, w, C}), velocities = c.allocate({2, h, w, C}, DType::kF32),
                                   velocity = velocities.slice(0, 0, 1);
                      model.forward(c, {.latents = latents, .text = &text, .positions = positions, .times = times}, output);
                      cast(c, output, velocities);
                      const Term terms[] = {{-3.5f, velocity}, {4.5f, velocities.slice(0, 1, 1)}};
                      linear_combination(c, terms, velocity);
                    });
}

StageTimes time_decode(Context& ctx, PictureSize size, int64_t strip_rows, const bench::Rates& rates) {
  const DcAeConfig config = random_autoencoder_config();
  const DcAutoencoder model = DcAutoencoder::load(ctx, Checkpoint::random(), config, DcAutoencoder::kDecoderOnly);
  const Tensor latents = random_activations(ctx, {1, size.height / 32, size.width / 32, config.latent_channels});
  return time_stage(ctx, "decode", decoder_flops(config, size.height, size.width), rates, true, [&](Context& c) {
    const Arena::Scope scope(*c.arena);
    model.decode(c, latents, c.allocate({1, size.height, size.width, 3}, DType::kF32), strip_rows);
  });
}

}  // namespace

std::optional<std::string> random_model_name(const std::string& model) {
  constexpr std::string_view kPrefix = "random:";
  if (!model.starts_with(kPrefix)) return std::nullopt;
  const std::vector<std::string> names = {"sana-0.6b", "sana-1.6b", "sana-4.8b"};
  return names[parse_choice("--model random", model.substr(kPrefix.size()), names)];
}

std::vector<StageTimes> time_random_model(Context& ctx, const std::string& name, PictureSize size, int64_t strip_rows,
                                          const std::vector<std::string>& stages, const bench::Rates& rates) {
  const auto wanted = [&](const char* stage) { return stages.empty() || std::find(stages.begin(), stages.end(), stage) != stages.end(); };
  std::vector<StageTimes> times;
  if (wanted("text")) times.push_back(time_text(ctx, rates));
  if (wanted("step")) times.push_back(time_step(ctx, name, size, rates));
  if (wanted("decode")) times.push_back(time_decode(ctx, size, strip_rows, rates));
  return times;
}

}  // namespace linea::cli
