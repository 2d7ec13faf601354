// A model folder's parts: configurations at once, weights when they are first needed.
#include <algorithm>

#include "core/mapped_file.h"
#include "core/memory_use.h"
#include "core/planning_memory.h"
#include "dit/pipeline/parts.h"
#include "kernels/backend.h"

namespace linea {
namespace {

constexpr int64_t kMaxInstructionBytes = 64 << 10;

DType default_dtype(const PipelineOptions& options) {
  if (options.dtype) return *options.dtype == DType::kF8E4M3 ? DType::kBF16 : *options.dtype;
  return backend_of(options.device).preferred_dtype();
}

}  // namespace

DType parse_picture_dtype(const std::string& name) { return name == "fp8" ? DType::kF8E4M3 : parse_float_dtype(name); }

std::string read_instruction_file(const std::filesystem::path& path) {
  std::string text = read_file(path, kMaxInstructionBytes, ErrorKind::kUsage);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

SanaPipeline::SanaPipeline(const std::filesystem::path& folder, const PipelineOptions& options)
    : folder_(folder), options_(options), parts_(std::make_shared<Parts>()) {
  PlanningMemory planning(options.device);
  std::optional<PlanningMemory::Scope> without_device;
  if (options.plans_only) without_device.emplace(planning);
  dtype_ = default_dtype(options);
  wide_dtype_ = dtype_ == DType::kF16 ? DType::kF32 : dtype_;
  if (fp8() && !backend_of(options.device).multiplies_fp8()) {
    throw Error(ErrorKind::kUsage, "--dtype fp8: " + options.device.name() + " does not multiply FP8 matrices with scaled rows",
                "it takes a Hopper GPU; choose bf16");
  }
  parts_->source = PictureModelSource::open(folder);
  transformer_config_ = parts_->source.transformer;
  vae_config_ = parts_->source.autoencoder;
  scheduler_config_ = parts_->source.scheduler;
}

SanaPipeline::SanaPipeline(const SanaPipeline& other, std::nullptr_t)
    : folder_(other.folder_),
      options_(other.options_),
      dtype_(other.dtype_),
      wide_dtype_(other.wide_dtype_),
      transformer_config_(other.transformer_config_),
      vae_config_(other.vae_config_),
      scheduler_config_(other.scheduler_config_),
      parts_(other.parts_),
      plan_(other.plan_) {}

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

TextEncoder::LoadModel SanaPipeline::text_loader(bool layer_by_layer) const {
  const Gemma2Layers where = !layer_by_layer                        ? Gemma2Layers::kResident
                             : homes_lie_elsewhere(options_.device) ? Gemma2Layers::kStreamed
                                                                    : Gemma2Layers::kReloaded;
  const PictureModelSource& source = parts_->source;
  return [dtype = wide_dtype_, device = options_.device, fp8 = fp8(), where, config = source.text_config, checkpoint = source.checkpoint] {
    Arena none = Arena::planning(device);
    Context ctx;
    ctx.backend = &backend_of(device);
    ctx.arena = &none;
    ctx.dtype = dtype;
    ctx.fp8 = fp8;
    return Gemma2::load(ctx, checkpoint(ModelPart::kTextEncoder), config(), where);
  };
}

Gemma2Config SanaPipeline::text_config() const { return parts_->source.text_config(); }

TextEncoder SanaPipeline::make_text_encoder(bool layer_by_layer) const {
  const PictureModelSource& source = parts_->source;
  // A batch whose prompts come again encodes each of them once, as long as their embeddings take no more than this.
  constexpr int64_t kCachedBytes = int64_t{256} << 20;
  const int64_t prompt_bytes = kPromptPositions * transformer_config_.caption_channels * bytes_of(wide_dtype_);
  const size_t prompts = static_cast<size_t>(std::clamp<int64_t>(kCachedBytes / prompt_bytes, 64, 4096));
  const std::string instruction = options_.instruction ? *options_.instruction : source.instruction();
  {
    const std::lock_guard lock(parts_->tokenizer_mutex);
    if (!parts_->tokenizer) parts_->tokenizer = source.tokenizer();
  }
  return {
      parts_->tokenizer, text_loader(layer_by_layer), {.instruction = instruction, .softcap = options_.softcap, .cached_prompts = prompts}};
}

SanaTransformer SanaPipeline::make_transformer(int64_t resident_layers) const {
  Arena none = Arena::planning(options_.device);
  Context ctx = make_context(dtype_, none, {});
  ctx.fp8 = fp8();
  return SanaTransformer::load(ctx, parts_->source.checkpoint(ModelPart::kTransformer), transformer_config_, resident_layers);
}

DcAutoencoder SanaPipeline::make_autoencoder(DcAutoencoder::Parts parts) const {
  Arena none = Arena::planning(options_.device);
  Context ctx = make_context(wide_dtype_, none, {});
  return DcAutoencoder::load(ctx, parts_->source.checkpoint(ModelPart::kAutoencoder), vae_config_, parts);
}

TextEncoder& SanaPipeline::text_encoder() {
  const bool layer_by_layer = plan_ && plan_->text.weights == Residency::kStreamed;
  std::optional<TextEncoder>& encoder = parts_->text_encoder;
  if (!encoder) {
    encoder.emplace(make_text_encoder(layer_by_layer));
  } else if (parts_->text_layer_by_layer != layer_by_layer) {
    encoder->replace_weights(text_loader(layer_by_layer));
  }
  parts_->text_layer_by_layer = layer_by_layer;
  return *encoder;
}

std::shared_ptr<const SanaTransformer> SanaPipeline::transformer() {
  const int64_t wanted = plan_ ? plan_->transformer.resident_layers : SanaTransformer::kAllLayers;
  const std::lock_guard lock(parts_->weights_mutex);
  if (!parts_->transformer || parts_->resident_layers != wanted) {
    parts_->transformer.reset();
    parts_->transformer = std::make_shared<const SanaTransformer>(make_transformer(wanted));
    parts_->resident_layers = wanted;
  }
  return parts_->transformer;
}

std::shared_ptr<const DcAutoencoder> SanaPipeline::autoencoder(DcAutoencoder::Parts parts) {
  const std::lock_guard lock(parts_->weights_mutex);
  if (!parts_->autoencoder || parts > parts_->autoencoder_parts) {
    parts_->autoencoder.reset();
    parts_->autoencoder = std::make_shared<const DcAutoencoder>(make_autoencoder(parts));
    parts_->autoencoder_parts = parts;
  }
  return parts_->autoencoder;
}

void SanaPipeline::follow(const MemoryPlan& plan) {
  plan_ = plan;
  memory_meter(options_.device).set_limit(plan.limit > 0 ? std::max<int64_t>(plan.limit - plan.library_bytes, 1) : 0);
  if (is_tight()) arena_.reset();
  {
    const std::lock_guard lock(parts_->text_mutex);
    if (parts_->text_encoder) {
      TextEncoder& encoder = text_encoder();  // as the plan has it
      if (!plan.text.stays) encoder.release_weights();
    }
  }
  const std::lock_guard lock(parts_->weights_mutex);
  const bool another = parts_->resident_layers != plan.transformer.resident_layers;
  if (!plan.transformer.stays || another) parts_->transformer.reset();
  if (!plan.decoder.stays) parts_->autoencoder.reset();
}

void SanaPipeline::load_weights() {
  if (!plan_ || plan_->text.stays) {
    const std::lock_guard lock(parts_->text_mutex);
    text_encoder().load_weights();
  }
  if (!plan_ || plan_->transformer.stays) transformer();
  if (!plan_ || plan_->decoder.stays) autoencoder(DcAutoencoder::kDecoderOnly);
}

void SanaPipeline::end_stage(ModelPart part) {
  if (!is_tight()) return;
  arena_.reset();
  switch (part) {
    case ModelPart::kTextEncoder:  // with parts_->text_mutex held
      if (!plan_->text.stays) parts_->text_encoder->release_weights();
      break;
    case ModelPart::kTransformer: {
      const std::lock_guard lock(parts_->weights_mutex);
      if (!plan_->transformer.stays) parts_->transformer.reset();
      break;
    }
    case ModelPart::kAutoencoder: {
      const std::lock_guard lock(parts_->weights_mutex);
      if (!plan_->decoder.stays) parts_->autoencoder.reset();
    }
  }
}

}  // namespace linea
