// A model folder's parts: configurations at once, weights when they are first needed.
#include <algorithm>
#include <fstream>
#include <iterator>

#include "dit/pipeline/parts.h"
#include "kernels/backend.h"

namespace linea {
namespace {

constexpr const char* kDiffusersWeights = "diffusion_pytorch_model";
constexpr const char* kInstructionFile = "complex_human_instruction.txt";
constexpr uintmax_t kMaxInstructionBytes = 64 << 10;

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
  if (options.dtype) return *options.dtype == DType::kF8E4M3 ? DType::kBF16 : *options.dtype;
  return backend_of(options.device).preferred_dtype();
}

}  // namespace

DType parse_picture_dtype(const std::string& name) { return name == "fp8" ? DType::kF8E4M3 : parse_float_dtype(name); }

std::string read_instruction_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) throw Error(ErrorKind::kUsage, path.string() + ": the instruction cannot be read");
  if (text.size() > kMaxInstructionBytes) throw Error(ErrorKind::kUsage, path.string() + ": an instruction has at most 64 KiB");
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

SanaPipeline::SanaPipeline(const std::filesystem::path& folder, const PipelineOptions& options)
    : folder_(folder), options_(options), dtype_(default_dtype(options)), parts_(std::make_shared<Parts>()) {
  wide_dtype_ = dtype_ == DType::kF16 ? DType::kF32 : dtype_;
  if (fp8() && !backend_of(options.device).multiplies_fp8()) {
    throw Error(ErrorKind::kUsage, "--dtype fp8: " + options.device.name() + " does not multiply FP8 matrices with scaled rows",
                "it takes a Hopper GPU; choose bf16");
  }
  const Config transformer = read_part_config(folder, "transformer", "config.json");
  transformer_config_ = SanaConfig::from(transformer);
  if (transformer_config_.guidance_embeds)
    transformer.fail("guidance_embeds", "distilled (Sprint) models are not supported by this pipeline");
  const Config vae = read_part_config(folder, "vae", "config.json");
  vae_config_ = DcAeConfig::from(vae);
  scheduler_config_ = std::make_shared<const Config>(read_part_config(folder, "scheduler", "scheduler_config.json"));
  make_scheduler(*scheduler_config_, {});  // an unsupported configuration is told before anything else is read
  if (transformer_config_.in_channels != vae_config_.latent_channels || transformer_config_.out_channels != vae_config_.latent_channels) {
    transformer.fail("in_channels",
                     "the transformer's channels differ from the autoencoder's " + std::to_string(vae_config_.latent_channels));
  }
  if (vae_config_.in_channels != 3) vae.fail("in_channels", "pictures have 3 channels");
}

SanaPipeline::SanaPipeline(const SanaPipeline& other, std::nullptr_t)
    : folder_(other.folder_),
      options_(other.options_),
      dtype_(other.dtype_),
      wide_dtype_(other.wide_dtype_),
      transformer_config_(other.transformer_config_),
      vae_config_(other.vae_config_),
      scheduler_config_(other.scheduler_config_),
      parts_(other.parts_) {}

SanaPipeline::~SanaPipeline() = default;

std::unique_ptr<SanaPipeline> SanaPipeline::sibling() const { return std::unique_ptr<SanaPipeline>(new SanaPipeline(*this, nullptr)); }

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
  if (!parts_->text_encoder) {
    Arena none = Arena::planning(options_.device);
    Context ctx = make_context(wide_dtype_, none, {});
    ctx.fp8 = fp8();
    // A batch whose prompts come again encodes each of them once, as long as their embeddings take no more than this.
    constexpr int64_t kCachedBytes = int64_t{256} << 20;
    const int64_t prompt_bytes = kPromptPositions * transformer_config_.caption_channels * bytes_of(wide_dtype_);
    const size_t prompts = static_cast<size_t>(std::clamp<int64_t>(kCachedBytes / prompt_bytes, 64, 4096));
    const std::string instruction = options_.instruction ? *options_.instruction : read_instruction(folder_);
    parts_->text_encoder.emplace(
        TextEncoder::load(ctx, folder_, {.instruction = instruction, .softcap = options_.softcap, .cached_prompts = prompts}));
  }
  return *parts_->text_encoder;
}

std::shared_ptr<const SanaTransformer> SanaPipeline::transformer() {
  const std::lock_guard lock(parts_->weights_mutex);
  if (!parts_->transformer) {
    Arena none = Arena::planning(options_.device);
    Context ctx = make_context(dtype_, none, {});
    ctx.fp8 = fp8();
    parts_->transformer = std::make_shared<const SanaTransformer>(
        SanaTransformer::load(ctx, Checkpoint::open_folder(folder_ / "transformer", kDiffusersWeights), transformer_config_));
  }
  return parts_->transformer;
}

std::shared_ptr<const DcAutoencoder> SanaPipeline::autoencoder(DcAutoencoder::Parts parts) {
  const std::lock_guard lock(parts_->weights_mutex);
  if (!parts_->autoencoder || parts > parts_->autoencoder_parts) {
    Arena none = Arena::planning(options_.device);
    Context ctx = make_context(wide_dtype_, none, {});
    parts_->autoencoder = std::make_shared<const DcAutoencoder>(
        DcAutoencoder::load(ctx, Checkpoint::open_folder(folder_ / "vae", kDiffusersWeights), vae_config_, parts));
    parts_->autoencoder_parts = parts;
  }
  return parts_->autoencoder;
}

// Elements of every tensor, in the type that its part computes in.
int64_t SanaPipeline::weight_bytes() const {
  const auto part = [&](const char* folder, const char* name, DType dtype) {
    const Checkpoint checkpoint = Checkpoint::open_folder(folder_ / folder, name);
    int64_t elements = 0;
    for (const auto& [tensor, value] : checkpoint.tensors()) elements += value.elements();
    return elements * bytes_of(dtype);
  };
  return part("text_encoder", "model", wide_dtype_) + part("transformer", kDiffusersWeights, dtype_) +
         part("vae", kDiffusersWeights, wide_dtype_);
}

}  // namespace linea
