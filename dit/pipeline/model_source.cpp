#include "dit/pipeline/model_source.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"
#include "dit/pipeline/pipeline.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDiffusersWeights = "diffusion_pytorch_model";
constexpr const char* kInstructionFile = "complex_human_instruction.txt";
constexpr std::string_view kRandom = "random:";

Config read_part_config(const fs::path& folder, const char* part, const char* file) {
  const fs::path path = folder / part / file;
  if (!fs::exists(path)) {
    throw Error(ErrorKind::kModel, path.string() + ": not found",
                "a model is a folder with transformer/, vae/, text_encoder/, tokenizer/ and scheduler/, as diffusers saves it");
  }
  return Config::read(path);
}

Checkpoint open_part(const fs::path& folder, ModelPart part) {
  switch (part) {
    case ModelPart::kTextEncoder: return Checkpoint::open_folder(folder / "text_encoder", "model");
    case ModelPart::kTransformer: return Checkpoint::open_folder(folder / "transformer", kDiffusersWeights);
    default: return Checkpoint::open_folder(folder / "vae", kDiffusersWeights);
  }
}

// The text that a model was trained to see before prompts; a folder without the file has none.
std::string read_instruction(const fs::path& folder) {
  const fs::path path = folder / kInstructionFile;
  std::error_code error;
  return fs::exists(path, error) ? read_instruction_file(path) : "";
}

// Its folders say what a model is made of; an index that is there should be whole all the same, and of such a model.
void check_index(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return;
  const Config index = Config::read(path);
  const std::string name = index.text("_class_name", "SanaPipeline");
  if (name.rfind("Sana", 0) != 0) index.fail("_class_name", "'" + printable(name) + "' is no SANA pipeline");
}

PictureModelSource folder_source(const fs::path& folder) {
  PictureModelSource source;
  source.folder = folder;
  check_index(folder / "model_index.json");
  const Config transformer = read_part_config(folder, "transformer", "config.json");
  source.transformer = SanaConfig::from(transformer);
  if (source.transformer.guidance_embeds)
    transformer.fail("guidance_embeds", "distilled (Sprint) models are not supported by this pipeline");
  const Config vae = read_part_config(folder, "vae", "config.json");
  source.autoencoder = DcAeConfig::from(vae);
  source.scheduler = std::make_shared<const Config>(read_part_config(folder, "scheduler", "scheduler_config.json"));
  make_scheduler(*source.scheduler, {});  // an unsupported configuration is told before anything else is read
  const int64_t channels = source.autoencoder.latent_channels;
  if (source.transformer.in_channels != channels || source.transformer.out_channels != channels) {
    transformer.fail("in_channels", "the transformer's channels differ from the autoencoder's " + std::to_string(channels));
  }
  if (source.autoencoder.in_channels != 3) vae.fail("in_channels", "pictures have 3 channels");
  source.text_config = [folder] { return Gemma2Config::read(folder / "text_encoder" / "config.json"); };
  source.checkpoint = [folder](ModelPart part) { return open_part(folder, part); };
  source.tokenizer = [folder] { return load_tokenizer(folder / "tokenizer"); };
  source.instruction = [folder] { return read_instruction(folder); };
  return source;
}

// Bytes as tokens: random weights understand any text equally well.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    special_ = {.bos = 2, .eos = 1, .pad = 0, .unk = 3};
    template_.prefix = {special_.bos};
  }
  std::vector<int32_t> encode_without_template(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(kFirst + static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string text;
    for (const int32_t id : ids) text += token_bytes(id);
    return text;
  }
  std::string token_bytes(int32_t id) const override {
    return id < kFirst || id >= kFirst + 256 ? std::string() : std::string(1, static_cast<char>(id - kFirst));
  }
  int32_t vocabulary_size() const override { return kFirst + 256; }
  int32_t id_of(std::string_view piece) const override { return piece.size() == 1 ? kFirst + static_cast<unsigned char>(piece[0]) : -1; }

 private:
  static constexpr int32_t kFirst = 4;  // after the special ones
};

PictureModelSource random_source(const std::string& name) {
  std::string base = name.substr(kRandom.size());
  int64_t native = 1024;
  for (const auto& [ending, size] : {std::pair("-2k", 2048), std::pair("-4k", 4096)}) {
    if (!base.ends_with(ending)) continue;
    native = size;
    base.resize(base.size() - 3);
  }
  PictureModelSource source;
  source.folder = name;
  source.transformer = random_transformer_config(base, native);
  source.autoencoder = random_autoencoder_config();
  const Json scheduler = {{"_class_name", "DPMSolverMultistepScheduler"},
                          {"prediction_type", "flow_prediction"},
                          {"use_flow_sigmas", true},
                          {"flow_shift", 3.0},
                          {"algorithm_type", "dpmsolver++"},
                          {"solver_order", 2}};
  source.scheduler = std::make_shared<const Config>(scheduler, name + ": scheduler");
  make_scheduler(*source.scheduler, {});
  source.text_config = random_text_config;
  source.checkpoint = [](ModelPart) { return Checkpoint::random(); };
  source.tokenizer = [] { return std::make_unique<ByteTokenizer>(); };
  source.instruction = [] { return std::string(); };
  return source;
}

}  // namespace

bool is_random_model(const std::string& name) { return name.starts_with(kRandom); }

PictureModelSource PictureModelSource::open(const fs::path& folder_or_name) {
  return is_random_model(folder_or_name.string()) ? random_source(folder_or_name.string()) : folder_source(folder_or_name);
}

// SANA's published transformers (arXiv 2410.10629 and 2501.18427).
SanaConfig random_transformer_config(const std::string& name, int64_t native_size) {
  SanaConfig c;
  if (name == "sana-0.6b") {
    c.num_attention_heads = 36;
    c.num_layers = 28;
    c.num_cross_attention_heads = 16;
    c.cross_attention_head_dim = 72;
  } else if (name == "sana-4.8b") {
    c.num_layers = 60;
    c.qk_norm = true;
  } else if (name != "sana-1.6b") {
    throw Error(ErrorKind::kUsage, "--model: unknown random model '" + name + "'",
                "there are sana-0.6b, sana-1.6b and sana-4.8b, with -2k or -4k for their native size");
  }
  c.sample_size = native_size / 32;
  if (c.sample_size > 32) c.interpolation_scale = static_cast<double>(c.sample_size) / 64;  // the 2K and 4K models
  return c;
}

DcAeConfig random_autoencoder_config() {
  DcAeConfig c;
  const std::vector<int64_t> channels = {128, 256, 512, 512, 1024, 1024};
  for (size_t i = 0; i < channels.size(); ++i) {
    DcStage stage;
    stage.channels = channels[i];
    stage.kind = i < 3 ? DcStageKind::kResidual : DcStageKind::kEfficientVit;
    if (i >= 3) stage.multiscales = {5};
    stage.layers = i < 3 ? 2 : 3;
    c.encoder.push_back(stage);
    stage.layers = 3;
    c.decoder.push_back(stage);
  }
  return c;
}

Gemma2Config random_text_config() {
  Gemma2Config config;
  for (size_t i = 0; i < config.windows.size(); i += 2) config.windows[i] = 4096;
  return config;
}

}  // namespace linea
