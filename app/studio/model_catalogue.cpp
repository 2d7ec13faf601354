#include "app/studio/model_catalogue.h"

#include <algorithm>
#include <map>
#include <set>

#include "app/engine/chat_model.h"
#include "app/engine/model_folders.h"
#include "core/checkpoint.h"
#include "core/dtype.h"
#include "dit/config.h"
#include "vae/config.h"

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_weights_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".gguf" || extension == ".pth" || extension == ".safetensors" || extension == ".pt";
}

// Adds a checkpoint's size and types.
void weigh(ModelEntry& entry, const Checkpoint& checkpoint, std::map<std::string, int64_t>& types) {
  entry.bytes += checkpoint.total_bytes();
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    entry.parameters += tensor.elements();
    types[std::string(name_of(tensor.dtype()))] += tensor.bytes();
  }
}

void name_precision(ModelEntry& entry, const std::map<std::string, int64_t>& types) {
  for (const auto& [name, bytes] : types) {
    if (bytes * 20 < entry.bytes) continue;  // norms and biases are not what a model is stored in
    entry.precision += (entry.precision.empty() ? "" : ", ") + name;
  }
}

void look_at_pictures(ModelEntry& entry) {
  std::map<std::string, int64_t> types;
  const auto part = [&](const char* folder, const char* stem) {
    try {
      weigh(entry, Checkpoint::open_folder(entry.path / folder, stem), types);
    } catch (const Error& error) {
      if (there(entry.path / folder)) {
        entry.problem = error.what();
      } else {
        entry.missing.push_back(folder);
      }
    }
  };
  entry.kind = ModelKind::kPicture;
  entry.family = "SANA";
  part("transformer", "diffusion_pytorch_model");
  part("vae", "diffusion_pytorch_model");
  part("text_encoder", "model");
  for (const char* file : {"transformer/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"}) {
    const std::string folder = fs::path(file).parent_path().string();
    if (!there(entry.path / file) && std::find(entry.missing.begin(), entry.missing.end(), folder) == entry.missing.end())
      entry.missing.emplace_back(file);
  }
  if (!there(entry.path / "tokenizer" / "tokenizer.json") && !there(entry.path / "tokenizer" / "tokenizer.model"))
    entry.missing.emplace_back("tokenizer");
  if (there(entry.path / "transformer/config.json") && there(entry.path / "vae/config.json")) {
    const SanaConfig config = SanaConfig::from(Config::read(entry.path / "transformer/config.json"));
    const DcAeConfig vae = DcAeConfig::from(Config::read(entry.path / "vae/config.json"));
    entry.native_side = static_cast<int>(config.sample_size * vae.compression());
    if (config.guidance_embeds) entry.problem = "distilled (Sprint) models are not supported yet";
  }
  name_precision(entry, types);
}

// The family of a language model by the names of its tensors.
std::string chat_family(const Checkpoint& checkpoint) {
  const auto has = [&](const char* part) {
    const auto& tensors = checkpoint.tensors();
    return std::any_of(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first.find(part) != std::string::npos; });
  };
  if (has("att.r_k") || has("time_mix_r_k") || has("attn.r_k")) return "RWKV-7";
  if (has("time_maa_w2") || has("att.time_maa") || has("time_mix_w2")) return "RWKV-6";
  if (has("att.time_faaaa") || has("time_mix_first")) return "RWKV-5";
  if (has("att.time_decay") || has("attention.time_decay")) return "RWKV-4";
  if (has("mixer.x_proj") || has("ssm_x.")) return "Mamba";
  if (has("mixer.A_log") || has("ssm_a")) return "Mamba-2";
  return "";
}

void look_at_chat(ModelEntry& entry) {
  std::map<std::string, int64_t> types;
  const Checkpoint checkpoint = Checkpoint::open_any(entry.path);
  entry.kind = ModelKind::kChat;
  entry.family = chat_family(checkpoint);
  if (entry.family.empty()) {
    entry.problem = "no model that Linea knows";
    return;
  }
  weigh(entry, checkpoint, types);
  name_precision(entry, types);
}

bool looks_like_model(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return is_weights_file(path);
  if (there(path / "model_index.json") || there(path / "transformer" / "config.json")) return true;
  // A folder of one file of weights is that model; a folder of several holds models, unless a config says that they are parts.
  const auto weights = std::count_if(fs::directory_iterator(path, ignored), fs::directory_iterator(),
                                     [](const fs::directory_entry& file) { return is_weights_file(file.path()); });
  return weights == 1 || (weights > 1 && there(path / "config.json"));
}

class Finder {
 public:
  void add(const fs::path& path, const std::string& name, bool built_in) {
    std::error_code ignored;
    const fs::path real = fs::weakly_canonical(path, ignored);
    if (!seen_.insert(real).second) return;
    ModelEntry entry = look_at_model(path);
    entry.built_in = built_in;
    if (!name.empty()) entry.name = name;
    found_.push_back(std::move(entry));
  }
  std::vector<ModelEntry> found_;

 private:
  std::set<fs::path> seen_;
};

std::vector<fs::path> children(const fs::path& folder) {
  constexpr size_t kMost = 2000;
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end && paths.size() < kMost; it.increment(error))
    paths.push_back(it->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The chat model that the command line takes when none is named comes before the others.
std::vector<fs::path> built_in_models() {
  std::vector<fs::path> paths = children(assets_folder() / "models");
  std::erase_if(paths, [](const fs::path& path) { return !looks_like_model(path); });
  try {
    const fs::path first = find_language_model("");
    std::stable_partition(paths.begin(), paths.end(), [&](const fs::path& path) { return path == first; });
  } catch (const Error&) {  // none is built in
  }
  return paths;
}

}  // namespace

ModelEntry look_at_model(const fs::path& path) {
  ModelEntry entry;
  entry.name = path.string();
  entry.title = (path.filename().empty() ? path.parent_path() : path).filename().string();
  entry.path = path;
  try {
    if (there(path / "model_index.json") || there(path / "transformer" / "config.json")) {
      look_at_pictures(entry);
    } else if (looks_like_model(path)) {
      look_at_chat(entry);
    } else {
      entry.problem = there(path) ? "no model that Linea knows" : "not found";
    }
  } catch (const std::exception& error) {
    entry.problem = error.what();
  }
  return entry;
}

std::vector<ModelEntry> find_models(const std::vector<std::string>& folders) {
  Finder finder;
  for (const fs::path& path : built_in_models()) finder.add(path, path.filename().string(), true);
  for (const std::string& folder : folders) {
    if (looks_like_model(folder)) {
      finder.add(folder, folder, false);
      continue;
    }
    const size_t before = finder.found_.size();
    for (const fs::path& path : children(folder)) {
      if (looks_like_model(path)) finder.add(path, path.string(), false);
    }
    if (finder.found_.size() == before) finder.add(folder, folder, false);
  }
  return std::move(finder.found_);
}

}  // namespace linea::studio
