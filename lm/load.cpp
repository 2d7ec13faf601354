#include "lm/load.h"

#include "lm/mamba1.h"
#include "lm/mamba2.h"
#include "lm/rwkv4.h"
#include "lm/rwkv56.h"
#include "lm/rwkv7.h"

namespace linea {
namespace {

template <class Model> std::unique_ptr<LanguageModel> boxed(Model model) { return std::make_unique<Model>(std::move(model)); }

}  // namespace

std::string family_of(const Checkpoint& checkpoint) {
  if (Rwkv7::matches(checkpoint)) return "rwkv7";
  if (Rwkv56::matches(checkpoint)) return checkpoint.contains("blocks.0.att.time_maa_x") ? "rwkv6" : "rwkv5";
  if (Rwkv4::matches(checkpoint)) return "rwkv4";
  const std::string log_rate = MambaShell::prefix_of(checkpoint) + "layers.0.mixer.A_log";
  return checkpoint.shape_of(log_rate).rank() == 1 ? "mamba2" : "mamba";  // a number a head, or a row a channel
}

std::unique_ptr<LanguageModel> load_language_model(Context& ctx, const ModelSource& source) {
  const Checkpoint& checkpoint = source.checkpoint;
  const std::string& family = source.family;
  const Config config(source.config, source.config_source);
  if (family == "rwkv7") {
    const bool fla = config.has("norm_eps") && config.has("head_dim");  // its norm over heads depends on their size
    const double eps = fla ? config.number("norm_eps") * static_cast<double>(config.integer("head_dim", 1, 1 << 16)) : 64e-5;
    if (config.has("attn")) config.fail("attn", "unsupported: attention layers");
    return boxed(Rwkv7::load(ctx, checkpoint, static_cast<float>(eps)));
  }
  if (family == "rwkv6" || family == "rwkv5") return boxed(Rwkv56::load(ctx, checkpoint, config.integer("rescaled_every", 0, 1 << 20, 0)));
  if (family == "rwkv4") return boxed(Rwkv4::load(ctx, checkpoint));
  if (source.config.empty()) {
    throw Error(ErrorKind::kModel, source.config_source + ": no such file, which Mamba's models need beside their weights");
  }
  if (family == "mamba2") return boxed(Mamba2::load(ctx, checkpoint, Mamba2Config::parse(source.config, source.config_source)));
  return boxed(Mamba1::load(ctx, checkpoint, Mamba1::read_eps(source.config, source.config_source)));
}

std::unique_ptr<LanguageModel> load_language_model(Context& ctx, const Checkpoint& checkpoint, const std::filesystem::path& config) {
  return load_language_model(ctx, make_model_source(checkpoint, config));
}

}  // namespace linea
