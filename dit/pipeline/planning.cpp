// How a picture's memory is measured: the code that loads and computes, run on planning memory.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "dit/pipeline/parts.h"
#include "dit/pipeline/stage_report.h"
#include "kernels/backend.h"
#include "kernels/pixels.h"

namespace linea {
namespace {

// Of a CUDA device beside what is allocated: its context with the kernels of this program and of cuBLASLt, and the products' workspace.
constexpr int64_t kCudaContextBytes = int64_t{640} << 20, kCudaWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kStripRows[] = {8192, 4096, 2048, 1024, 512, 256, 128, 64, 32};
constexpr int64_t kArenaAlignment = 256;
// Of weights that are quantised as they are loaded, in bytes of the result.
constexpr double kQuantizeBytesPerSecond = 4e9;

std::string gigabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes < 1000000000 ? "%.0f MB" : "%.2f GB",
                static_cast<double>(bytes) * (bytes < 1000000000 ? 1e-6 : 1e-9));
  return text;
}

// What `load` leaves in the planning memory and takes of it meanwhile.
template <class Model, class Load> void load_part(PlanningMemory& memory, Model& model, PartNeeds& needs, const Load& load) {
  memory.reset_peak();
  const int64_t before = memory.use().now;
  model.emplace(load());
  needs = {.weights = memory.use().now - before, .while_loading = memory.use().peak - before};
}

// What `run` takes: the arena's peak that it returns, as one allocation, and what it allocates besides.
template <class Run> int64_t work_of(PlanningMemory& memory, const Run& run) {
  memory.reset_peak();
  const int64_t before = memory.use().now;
  const int64_t arena = run();
  return occupied_bytes(memory.device().kind, arena + kArenaAlignment) + memory.use().peak - before;
}

}  // namespace

int64_t SanaPipeline::library_bytes() const {
  if (!options_.device.is_cpu()) return kCudaContextBytes + kCudaWorkspaceBytes;
  // oneDNN keeps the decoder's filters in a form of its own.
  return backend_of(options_.device).library_keeps_filters(wide_dtype_) ? parts_->planning->decoder.needs.weights : 0;
}

int64_t SanaPipeline::measure_text(TextEncoder& encoder) const {
  return work_of(parts_->planning->memory, [&] {
    Arena planning = Arena::planning(options_.device);
    Context plan = make_context(wide_dtype_, planning, {});
    encoder.plan(plan);
    return planning.peak();
  });
}

// The longest prompts that the model takes, so that the plan holds for any text.
int64_t SanaPipeline::measure_denoise(const SanaTransformer& model, const PictureRequest& request) {
  Text text;
  for (int64_t b = request.guidance > 1 ? 2 : 1; b > 0; --b) text.offsets.push_back(text.offsets.back() + kPromptPositions);
  text.rows = Tensor({text.offsets.back(), transformer_config_.caption_channels}, wide_dtype_, options_.device);
  return work_of(parts_->planning->memory,
                 [&] { return plan_denoise({.request = request, .model = model, .text = text, .latent = latent_size(request)}); });
}

MemoryNeeds SanaPipeline::measure(const PictureRequest& request) {
  Planning& p = *parts_->planning;
  if (!p.decoder.model) {
    const auto load_text = [&] {
      TextEncoder encoder = make_text_encoder(false);
      encoder.load_weights();
      return encoder;
    };
    load_part(p.memory, p.text.model, p.text.needs, load_text);
    load_part(p.memory, p.transformer.model, p.transformer.needs, [&] { return make_transformer(SanaTransformer::kAllLayers); });
    load_part(p.memory, p.decoder.model, p.decoder.needs, [&] { return make_autoencoder(DcAutoencoder::kDecoderOnly); });
    if (fp8()) p.text.needs.load_rate = p.transformer.needs.load_rate = kQuantizeBytesPerSecond;
    p.decoder.needs.weights += p.decoder.model->transformed_bytes(backend_of(options_.device));
  }
  const PictureSize latent = latent_size(request);
  const int64_t height = latent.height * vae_config_.compression(), members = request.guidance > 1 ? 2 : 1;
  MemoryNeeds needs;
  needs.library_bytes = library_bytes();
  needs.kept_bytes = members * kPromptPositions * transformer_config_.caption_channels * bytes_of(wide_dtype_);
  needs.steps = request.steps;
  needs.prompts = static_cast<int>(members);
  needs.picture_rows = height;
  needs.text = p.text.needs;
  needs.transformer = p.transformer.needs;
  needs.decoder = p.decoder.needs;
  needs.text_activations = measure_text(*p.text.model);
  needs.step_activations = measure_denoise(*p.transformer.model, request);
  // What is handed to the host lies in the CPU's own memory: a picture that is resized, and the encoder's copy of embeddings.
  const Sizes sizes = resolve_size(request);
  const bool is_resized = sizes.rendered != sizes.asked;
  int64_t handed_out = 0;
  if (options_.device.is_cpu()) {
    const auto bytes = [](const PictureSize& s) { return s.height * s.width * 3 * bytes_of(DType::kF32); };
    if (is_resized) handed_out = bytes(sizes.rendered) + 2 * bytes(sizes.asked);
    needs.kept_bytes *= 2;
  }
  const TakeImage take = [is_resized](Context& ctx, const Tensor& image) {
    is_resized ? static_cast<void>(download(ctx, image)) : static_cast<void>(download_pixels(ctx, image, {}));
  };
  const auto add_strips = [&](int64_t rows) {
    const int64_t work = handed_out + work_of(p.memory, [&] { return plan_decode(*p.decoder.model, latent, rows, take); });
    needs.strips.push_back({rows, work, p.decoder.model->strip_work(latent.height, rows)});
  };
  add_strips(0);
  for (const int64_t rows : kStripRows) {
    if (rows < height) add_strips(rows);
  }
  return needs;
}

void SanaPipeline::measure_streamed(const PictureRequest& request, MemoryNeeds& needs) {
  Planning& p = *parts_->planning;
  if (!p.streamed_transformer.model) {
    const auto load_text = [&] {
      TextEncoder encoder = make_text_encoder(true);
      encoder.load_weights();
      return encoder;
    };
    load_part(p.memory, p.text_by_layer.model, p.text_by_layer.needs, load_text);
    load_part(p.memory, p.streamed_transformer.model, p.streamed_transformer.needs, [&] { return make_transformer(0); });
  }
  MemoryNeeds::Streamed streamed;
  streamed.text_is_prepared = homes_lie_elsewhere(options_.device);
  streamed.text = p.text_by_layer.needs;
  streamed.transformer = p.streamed_transformer.needs;
  streamed.text_activations = measure_text(*p.text_by_layer.model);
  streamed.step_activations = measure_denoise(*p.streamed_transformer.model, request);
  streamed.text_bytes =
      streamed.text_is_prepared ? p.text_by_layer.model->model().streamed_bytes() : needs.text.weights - streamed.text.weights;
  streamed.step_bytes = p.streamed_transformer.model->streamed_bytes();
  const PictureSize latent = latent_size(request);
  const int64_t patch = transformer_config_.patch_size;
  streamed.step_rows = needs.prompts * (latent.height / patch) * (latent.width / patch);
  streamed.layers = transformer_config_.num_layers;
  needs.streamed = streamed;
}

MemoryNeeds& SanaPipeline::needs_of(const PictureRequest& request) {
  if (!parts_->planning) parts_->planning = std::make_unique<Planning>(options_.device);
  const PlanningMemory::Scope scope(parts_->planning->memory);
  const Sizes size = resolve_size(request);
  const std::string key =
      to_text(size.rendered) + " for " + to_text(size.asked) + (request.guidance > 1 ? " guided " : " ") + request.scheduler;
  const auto found = parts_->planning->needs.find(key);
  MemoryNeeds& needs =
      found != parts_->planning->needs.end() ? found->second : parts_->planning->needs.emplace(key, measure(request)).first->second;
  needs.steps = request.steps;
  return needs;
}

MemoryNeeds& SanaPipeline::all_needs_of(const PictureRequest& request) {
  MemoryNeeds& needs = needs_of(request);
  if (!needs.streamed) {
    const PlanningMemory::Scope scope(parts_->planning->memory);
    measure_streamed(request, needs);
  }
  return needs;
}

MemoryPlan SanaPipeline::plan(const PictureRequest& request, int64_t limit) {
  check(request);
  const std::lock_guard lock(parts_->planning_mutex);
  std::optional<MemoryPlan> plan = choose_plan(needs_of(request), limit);
  // Streaming from a home may be faster than loading for the stage; loading in every pass is not.
  if (!plan || (!plan->all_resident() && homes_lie_elsewhere(options_.device))) plan = choose_plan(all_needs_of(request), limit);
  if (!plan) fail_plan(request, limit);
  plan->device = options_.device;
  plan->rendered = resolve_size(request).rendered;
  return *plan;
}

int64_t SanaPipeline::least_memory(const PictureRequest& request) {
  check(request);
  const std::lock_guard lock(parts_->planning_mutex);
  return linea::least_memory(all_needs_of(request));
}

void SanaPipeline::fail_plan(const PictureRequest& request, int64_t limit) {
  const PictureSize asked = resolve_size(request).asked;
  const std::string what = folder_.filename().string() + " at " + to_text(asked) + " in " + (fp8() ? "fp8" : std::string(name_of(dtype_))) +
                           " needs at least " + gigabytes(linea::least_memory(all_needs_of(request))) + " on " + options_.device.name() +
                           ", " + gigabytes(limit) + " may be used";
  const int64_t unit = vae_config_.compression() * transformer_config_.patch_size;
  std::string hint = "no size fits";
  for (double scale = 0.875; scale > 0.03; scale *= 0.875) {
    const auto scaled = [&](int64_t side) {
      return std::max<int64_t>(std::llround(static_cast<double>(side) * scale / static_cast<double>(unit)) * unit, unit);
    };
    PictureRequest smaller = request;
    smaller.size = {scaled(asked.height), scaled(asked.width)};
    smaller.use_bins = false;  // or it would be rendered as large as before
    if (linea::least_memory(all_needs_of(smaller)) > limit) continue;
    hint = to_text(smaller.size) + (request.use_bins ? " with --bins off fits" : " fits");
    break;
  }
  throw Error(ErrorKind::kMemory, what, hint);
}

}  // namespace linea
