#include "dit/pipeline/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>

#include "core/layout.h"
#include "core/random.h"
#include "core/resize.h"
#include "kernels/backend.h"

namespace linea {
namespace {

constexpr const char* kInstructionFile = "complex_human_instruction.txt";
constexpr uintmax_t kMaxInstructionBytes = 64 << 10;
constexpr int kMaxCount = 100000;
constexpr int64_t kMaxSide = 16384;

// The high-resolution stages of the autoencoder run in strips of about this much memory a map: small enough for a modest machine at 4096²,
// large enough that the halo's repeated work stays small.
constexpr int64_t kStripMapBytes = int64_t{96} << 20;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string to_text(PictureSize size) { return std::to_string(size.width) + "x" + std::to_string(size.height); }

void report(const GenerateCallbacks& callbacks, const char* stage, int step, int steps, Clock::time_point start) {
  if (!callbacks.progress) return;
  const double elapsed = seconds_since(start);
  const double left = step > 0 && steps > 0 ? elapsed / step * (steps - step) : -1;
  callbacks.progress({stage, step, steps, elapsed, left});
}

Config read_part_config(const std::filesystem::path& folder, const char* part, const char* file) {
  const std::filesystem::path path = folder / part / file;
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorKind::kModel, path.string() + ": not found",
                "a model is a folder with transformer/, vae/, text_encoder/, tokenizer/ and scheduler/, as diffusers saves it");
  }
  return Config::read(path);
}

// The text that a model was trained to see before prompts; a folder without the file has none.
std::string read_instruction(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kInstructionFile;
  std::error_code error;
  return std::filesystem::exists(path, error) ? read_instruction_file(path) : "";
}

DType default_dtype(const PipelineOptions& options) {
  if (options.dtype) return *options.dtype;
  return backend_of(options.device).preferred_dtype();
}

int64_t strip_rows_for(int64_t width, int64_t channels, DType dtype) {
  return std::max<int64_t>(kStripMapBytes / (width * channels * bytes_of(dtype)), 32);
}

// The smallest enlargement or reduction that covers the wanted size, then its middle. Sizes are cut to whole pixels as the reference does,
// save where its floating-point product falls just short of a whole number.
Tensor resize_and_crop(const Tensor& image, PictureSize wanted) {
  const double h = static_cast<double>(image.dim(1)), w = static_cast<double>(image.dim(2));
  const double ratio = std::max(static_cast<double>(wanted.height) / h, static_cast<double>(wanted.width) / w);
  const auto resized = [&](double side) { return static_cast<int64_t>(side * ratio + 1e-6); };
  const Tensor middle = centre_crop(resize_bilinear(image, resized(h), resized(w)), wanted.height, wanted.width);
  Tensor result(middle.shape(), DType::kF32);
  for (int64_t y = 0; y < wanted.height; ++y) {
    std::copy_n(middle.data<float>() + y * middle.stride(1), wanted.width * 3, result.data<float>() + y * wanted.width * 3);
  }
  return result;
}

Image quantise(const Tensor& nhwc) {
  Image image{nhwc.dim(2), nhwc.dim(1), 3, std::vector<uint8_t>(static_cast<size_t>(nhwc.elements()))};
  const float* values = nhwc.data<float>();
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    const float unit = std::clamp(values[i] * 0.5f + 0.5f, 0.0f, 1.0f);
    image.pixels[i] = static_cast<uint8_t>(std::nearbyint(unit * 255.0f));  // half to even, as numpy's round
  }
  return image;
}

void trace(const GenerateCallbacks& callbacks, const std::string& name, const Tensor& value) {
  if (callbacks.trace) callbacks.trace(name, value);
}

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

std::string read_instruction_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) throw Error(ErrorKind::kUsage, path.string() + ": the instruction cannot be read");
  if (text.size() > kMaxInstructionBytes) throw Error(ErrorKind::kUsage, path.string() + ": an instruction has at most 64 KiB");
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Both prompts' real rows, [negative, positive] under guidance, and where each begins.
struct SanaPipeline::Prompts {
  Tensor rows;  // [L, caption_channels] on the device
  std::vector<int64_t> offsets{0};
};

SanaPipeline::SanaPipeline(const std::filesystem::path& folder, const PipelineOptions& options)
    : folder_(folder), options_(options), dtype_(default_dtype(options)) {
  wide_dtype_ = dtype_ == DType::kF16 ? DType::kF32 : dtype_;
  const Config transformer = read_part_config(folder, "transformer", "config.json");
  transformer_config_ = SanaConfig::from(transformer);
  if (transformer_config_.guidance_embeds) transformer.fail("guidance_embeds", "distilled (Sprint) models are not supported by this pipeline");
  const Config vae = read_part_config(folder, "vae", "config.json");
  vae_config_ = DcAeConfig::from(vae);
  scheduler_config_ = std::make_unique<Config>(read_part_config(folder, "scheduler", "scheduler_config.json"));
  make_scheduler(*scheduler_config_, {});  // an unsupported configuration is told before anything else is read
  if (transformer_config_.in_channels != vae_config_.latent_channels || transformer_config_.out_channels != vae_config_.latent_channels) {
    transformer.fail("in_channels", "the transformer's channels differ from the autoencoder's " + std::to_string(vae_config_.latent_channels));
  }
  if (vae_config_.in_channels != 3) vae.fail("in_channels", "pictures have 3 channels");
}

SanaPipeline::~SanaPipeline() = default;

Context SanaPipeline::make_context(DType dtype, Arena& arena, const CancelToken& cancel) const {
  Context ctx;
  ctx.backend = &backend_of(options_.device);
  ctx.arena = &arena;
  ctx.dtype = dtype;
  ctx.cancel = cancel;
  return ctx;
}

Arena& SanaPipeline::arena_for(int64_t bytes) {
  if (!arena_ || arena_->capacity() < bytes) {
    arena_.reset();
    arena_ = std::make_unique<Arena>(options_.device, bytes);
  }
  return *arena_;
}

TextEncoder& SanaPipeline::text_encoder() {
  if (!text_encoder_) {
    Arena none = Arena::planning(options_.device);
    Context ctx = make_context(wide_dtype_, none, {});
    const std::string instruction = options_.instruction ? *options_.instruction : read_instruction(folder_);
    text_encoder_.emplace(TextEncoder::load(ctx, folder_, {.instruction = instruction, .softcap = options_.softcap}));
  }
  return *text_encoder_;
}

const SanaTransformer& SanaPipeline::transformer() {
  if (!transformer_) {
    Arena none = Arena::planning(options_.device);
    Context ctx = make_context(dtype_, none, {});
    transformer_ = SanaTransformer::load(ctx, Checkpoint::open_folder(folder_ / "transformer", "diffusion_pytorch_model"), transformer_config_);
  }
  return *transformer_;
}

const DcAutoencoder& SanaPipeline::autoencoder(DcAutoencoder::Parts parts) {
  if (!autoencoder_ || parts > autoencoder_parts_) {
    Arena none = Arena::planning(options_.device);
    Context ctx = make_context(wide_dtype_, none, {});
    autoencoder_ = DcAutoencoder::load(ctx, Checkpoint::open_folder(folder_ / "vae", "diffusion_pytorch_model"), vae_config_, parts);
    autoencoder_parts_ = parts;
  }
  return *autoencoder_;
}

SanaPipeline::Sizes SanaPipeline::resolve_size(const PictureRequest& request) const {
  const int64_t unit = vae_config_.compression() * transformer_config_.patch_size;
  const int64_t native = transformer_config_.sample_size * vae_config_.compression();
  Sizes sizes;
  sizes.asked = request.size == PictureSize{} ? PictureSize{native, native} : request.size;
  for (const int64_t side : {sizes.asked.width, sizes.asked.height}) {
    if (side < unit || side > kMaxSide || side % unit != 0) {
      throw Error(ErrorKind::kUsage, "--size: " + to_text(sizes.asked) + " cannot be rendered",
                  "both sides must be multiples of " + std::to_string(unit) + " from " + std::to_string(unit) + " to " +
                      std::to_string(kMaxSide));
    }
  }
  sizes.rendered = sizes.asked;
  if (request.use_bins) sizes.rendered = nearest_trained_size(transformer_config_.sample_size, sizes.asked).value_or(sizes.asked);
  return sizes;
}

SanaPipeline::Prompts SanaPipeline::encode_prompts(const PictureRequest& request, bool guided, const GenerateCallbacks& callbacks) {
  const Clock::time_point start = Clock::now();
  report(callbacks, "text", 0, 1, start);
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
  report(callbacks, "text", 1, 1, start);
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

  const Clock::time_point start = Clock::now();
  const int steps = ctx.planning() ? 1 : scheduler->steps();
  if (!ctx.planning()) report(callbacks, "denoise", 0, steps, start);
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
    report(callbacks, "denoise", i + 1, steps, start);
  }
  return x;
}

// Latents [1, h, w, C] f32 on the host to a picture [1, H, W, 3] f32 on the host, not clamped.
Tensor SanaPipeline::decode(const Tensor& latents, const GenerateCallbacks& callbacks) {
  const Clock::time_point start = Clock::now();
  report(callbacks, "decode", 0, 1, start);
  const DcAutoencoder& vae = autoencoder(autoencoder_parts_);
  const int64_t f = vae_config_.compression(), H = latents.dim(1) * f, W = latents.dim(2) * f;
  const int64_t strip = strip_rows_for(W, vae_config_.decoder[0].channels, wide_dtype_);
  const auto run = [&](Context& ctx) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor scaled = ctx.allocate(latents.shape(), DType::kF32), z = ctx.allocate(latents.shape());
    const Tensor image = ctx.allocate({1, H, W, 3}, DType::kF32);
    upload(ctx, {latents.data<float>(), static_cast<size_t>(latents.elements())}, scaled);
    const Term terms[] = {{static_cast<float>(1.0 / vae_config_.scaling_factor), scaled}};
    linear_combination(ctx, terms, scaled);
    cast(ctx, scaled, z);
    vae.decode(ctx, z, image, strip);
    return ctx.planning() ? Tensor() : download(ctx, image);
  };
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(wide_dtype_, planning, callbacks.cancel);
  run(plan);
  Context ctx = make_context(wide_dtype_, arena_for(planning.peak()), callbacks.cancel);
  const Tensor image = run(ctx);
  report(callbacks, "decode", 1, 1, start);
  return image;
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
      callbacks.picture({quantise(image), index, request.seed + static_cast<uint64_t>(index), sizes.rendered});
    }
  }
}

Image SanaPipeline::reconstruct(const Image& source, const GenerateCallbacks& callbacks) {
  const Clock::time_point start = Clock::now();
  const int64_t f = vae_config_.compression(), H = source.height / f * f, W = source.width / f * f;
  if (H == 0 || W == 0) {
    throw Error(ErrorKind::kUsage, "the picture of " + to_text({source.height, source.width}) + " is smaller than " + std::to_string(f) + " pixels");
  }
  Tensor pixels({1, H, W, 3}, DType::kF32);
  for (int64_t y = 0; y < H; ++y) {
    for (int64_t i = 0; i < W * 3; ++i) {
      pixels.data<float>()[y * W * 3 + i] = static_cast<float>(source.pixels[static_cast<size_t>(y * source.width * 3 + i)]) / 255.0f * 2.0f - 1.0f;
    }
  }
  report(callbacks, "encode", 0, 1, start);
  const DcAutoencoder& vae = autoencoder(DcAutoencoder::kEncoderAndDecoder);
  const int64_t strip = strip_rows_for(W, vae_config_.encoder[0].channels, wide_dtype_);
  const Shape latent_shape{1, H / f, W / f, vae_config_.latent_channels};
  const auto run = [&](Context& ctx) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor image32 = ctx.allocate(pixels.shape(), DType::kF32), image = ctx.allocate(pixels.shape());
    const Tensor z = ctx.allocate(latent_shape), z32 = ctx.allocate(latent_shape, DType::kF32);
    upload(ctx, {pixels.data<float>(), static_cast<size_t>(pixels.elements())}, image32);
    cast(ctx, image32, image);
    vae.encode(ctx, image, z, strip);
    cast(ctx, z, z32);
    return ctx.planning() ? Tensor() : download(ctx, z32);
  };
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(wide_dtype_, planning, callbacks.cancel);
  run(plan);
  Context ctx = make_context(wide_dtype_, arena_for(planning.peak()), callbacks.cancel);
  const Tensor latent = run(ctx);
  report(callbacks, "encode", 1, 1, start);

  Tensor scaled(latent.shape(), DType::kF32);
  for (int64_t i = 0; i < latent.elements(); ++i) {
    scaled.data<float>()[i] = latent.data<float>()[i] * static_cast<float>(vae_config_.scaling_factor);
  }
  const Tensor image = decode(scaled, callbacks);
  trace(callbacks, "image", to_channel_major(pixels));
  trace(callbacks, "latent", to_channel_major(latent));
  trace(callbacks, "latent_scaled", to_channel_major(scaled));
  trace(callbacks, "reconstruction", to_channel_major(image));
  return quantise(image);
}

}  // namespace linea
