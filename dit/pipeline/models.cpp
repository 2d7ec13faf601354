// A model folder's parts: configurations at once, weights when they are first needed.
#include <fstream>
#include <iterator>

#include "dit/pipeline/pipeline.h"
#include "kernels/backend.h"

namespace linea {
namespace {

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
  if (options.dtype) return *options.dtype;
  return backend_of(options.device).preferred_dtype();
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

SanaPipeline::SanaPipeline(const std::filesystem::path& folder, const PipelineOptions& options)
    : folder_(folder), options_(options), dtype_(default_dtype(options)) {
  wide_dtype_ = dtype_ == DType::kF16 ? DType::kF32 : dtype_;
  const Config transformer = read_part_config(folder, "transformer", "config.json");
  transformer_config_ = SanaConfig::from(transformer);
  if (transformer_config_.guidance_embeds)
    transformer.fail("guidance_embeds", "distilled (Sprint) models are not supported by this pipeline");
  const Config vae = read_part_config(folder, "vae", "config.json");
  vae_config_ = DcAeConfig::from(vae);
  scheduler_config_ = std::make_unique<Config>(read_part_config(folder, "scheduler", "scheduler_config.json"));
  make_scheduler(*scheduler_config_, {});  // an unsupported configuration is told before anything else is read
  if (transformer_config_.in_channels != vae_config_.latent_channels || transformer_config_.out_channels != vae_config_.latent_channels) {
    transformer.fail("in_channels",
                     "the transformer's channels differ from the autoencoder's " + std::to_string(vae_config_.latent_channels));
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
    transformer_ =
        SanaTransformer::load(ctx, Checkpoint::open_folder(folder_ / "transformer", "diffusion_pytorch_model"), transformer_config_);
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

}  // namespace linea
