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

std::unique_ptr<LanguageModel> load_language_model(Context& ctx, const Checkpoint& checkpoint, const std::filesystem::path& config) {
  if (Rwkv7::matches(checkpoint)) return boxed(Rwkv7::load(ctx, checkpoint));
  if (Rwkv56::matches(checkpoint)) return boxed(Rwkv56::load(ctx, checkpoint));
  if (Rwkv4::matches(checkpoint)) return boxed(Rwkv4::load(ctx, checkpoint));
  const std::string log_rate = MambaShell::prefix_of(checkpoint) + "layers.0.mixer.A_log";  // a number a head, or a row a channel
  if (checkpoint.shape_of(log_rate).rank() == 1) return boxed(Mamba2::load(ctx, checkpoint, Mamba2Config::read(config)));
  return boxed(Mamba1::load(ctx, checkpoint, Mamba1::read_eps(read_json_file(config), config.string())));
}

}  // namespace linea
