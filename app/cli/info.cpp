// linea info: what a model folder, a file of weights or a picture holds.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/engine/model_folders.h"
#include "app/engine/picture_settings.h"
#include "core/checkpoint.h"
#include "core/text.h"

namespace linea::cli {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr const char* kParts[] = {"text_encoder", "transformer", "vae"};

std::string bytes_text(int64_t bytes) {
  char text[32];
  const double mib = static_cast<double>(bytes) / (1 << 20);
  std::snprintf(text, sizeof text, mib < 1024 ? "%.1f MiB" : "%.2f GiB", mib < 1024 ? mib : mib / 1024);
  return text;
}

OrderedJson describe_tensors(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, int64_t> types;
  int64_t elements = 0, bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    types[std::string(name_of(tensor.dtype()))] += tensor.elements();
    elements += tensor.elements();
    bytes += tensor.bytes();
  }
  return {{"tensors", tensors.size()}, {"parameters", elements}, {"bytes", bytes}, {"parameters_by_type", types}};
}

OrderedJson describe_part(const fs::path& folder, const std::string& part) {
  OrderedJson json;
  const Config config = Config::read(folder / part / "config.json");
  const Checkpoint checkpoint = Checkpoint::open_folder(folder / part, part == "text_encoder" ? "model" : "diffusion_pytorch_model");
  json["class"] = config.text("_class_name", config.text("model_type", "?"));
  json.update(describe_tensors(checkpoint.tensors()));
  return json;
}

OrderedJson describe_model(const fs::path& folder) {
  OrderedJson json = {{"kind", "picture model"}, {"folder", folder.string()}};
  const SanaConfig transformer = SanaConfig::from(Config::read(folder / "transformer" / "config.json"));
  const DcAeConfig vae = DcAeConfig::from(Config::read(folder / "vae" / "config.json"));
  for (const char* part : kParts) json[part] = describe_part(folder, part);
  json["native_size"] = transformer.sample_size * vae.compression();
  json["width"] = transformer.dim();
  json["layers"] = transformer.num_layers;
  json["compression"] = vae.compression();
  json["latent_channels"] = vae.latent_channels;
  json["scheduler"] = Config::read(folder / "scheduler" / "scheduler_config.json").text("_class_name", "?");
  return json;
}

void print_model(const OrderedJson& json) {
  std::printf("%s\n  SANA transformer of width %lld, %lld layers; native size %lld pixels; DC-AE f%lldc%lld; %s\n",
              json["folder"].get<std::string>().c_str(), json["width"].get<long long>(), json["layers"].get<long long>(),
              json["native_size"].get<long long>(), json["compression"].get<long long>(), json["latent_channels"].get<long long>(),
              json["scheduler"].get<std::string>().c_str());
  for (const char* part : kParts) {
    const OrderedJson& p = json[part];
    std::printf("  %-13s %-26s %13lld parameters  %s\n", part, p["class"].get<std::string>().c_str(), p["parameters"].get<long long>(),
                bytes_text(p["bytes"].get<int64_t>()).c_str());
  }
}

// A file of weights: safetensors, GGUF or torch's.
int show_weights(const fs::path& path, bool as_json) {
  const Checkpoint file = Checkpoint::open_any(path);
  const bool is_safetensors = path.extension() == ".safetensors";
  const auto metadata = is_safetensors ? SafetensorsFile(path).metadata() : std::map<std::string, std::string>();
  OrderedJson json = {{"kind", path.extension().string().substr(1)}, {"file", path.string()}};
  json.update(describe_tensors(file.tensors()));
  json["metadata"] = metadata;
  for (const auto& [name, tensor] : file.tensors()) {
    OrderedJson shape = OrderedJson::array();
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.dim(i));
    json["list"].push_back({{"name", name}, {"dtype", name_of(tensor.dtype())}, {"shape", shape}});
  }
  if (as_json) {
    std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
  }
  std::printf("%s: %zu tensors, %lld parameters, %s\n", path.c_str(), file.tensors().size(), json["parameters"].get<long long>(),
              bytes_text(json["bytes"].get<int64_t>()).c_str());
  for (const auto& [name, tensor] : file.tensors()) {
    std::printf("  %-5s %-24s %s\n", std::string(name_of(tensor.dtype())).c_str(), tensor.shape().to_string().c_str(), name.c_str());
  }
  for (const auto& [key, value] : metadata) std::printf("  %s = %s\n", key.c_str(), value.c_str());
  return 0;
}

int show_picture(const fs::path& path, bool as_json) {
  const Image image = read_image(path);
  OrderedJson json = {{"kind", "picture"}, {"file", path.string()}, {"width", image.width}, {"height", image.height}};
  std::string parameters, command;
  if (image_format_of_content(path) == ImageFormat::kPng) {
    for (const auto& [key, value] : read_png_text(path)) {
      if (key == "parameters") parameters = value;
      if (key != kSettingsKey) continue;
      const PictureSettings settings = settings_from_json(value, path.string());
      command = to_command_line(settings);
      const OrderedJson written = OrderedJson::parse(value, nullptr, /*allow_exceptions=*/false);  // a bare NaN is no JSON
      json["settings"] = written.is_discarded() ? OrderedJson::parse(to_json(settings)) : written;
      json["command"] = command;
    }
  }
  if (!parameters.empty()) json["parameters"] = parameters;
  if (as_json) {
    std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
  }
  std::printf("%s: %lld x %lld pixels\n", path.c_str(), static_cast<long long>(image.width), static_cast<long long>(image.height));
  if (!parameters.empty()) std::printf("\n%s\n", for_terminal(parameters).c_str());
  if (!command.empty()) std::printf("\nMade again by:\n  %s\n", command.c_str());
  if (parameters.empty() && command.empty()) std::printf("no settings are kept in it\n");
  return 0;
}

// The one GGUF file that makes a folder a chat model, as the built-in ones are; else the folder itself.
fs::path file_of_chat_model(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".gguf") files.push_back(entry.path());
  }
  return files.size() == 1 && !fs::exists(folder / "model_index.json", error) ? files.front() : folder;
}

int info(const std::string& argument, bool as_json) {
  std::error_code error;
  fs::path path = argument;
  if (!fs::exists(path, error)) path = assets_folder() / "models" / argument;
  if (!fs::exists(path, error)) throw Error(ErrorKind::kBadFile, argument + ": no such file, folder or built-in model");
  if (fs::is_directory(path, error)) path = file_of_chat_model(path);
  if (fs::is_directory(path, error)) {
    const OrderedJson json = describe_model(path);
    if (as_json) {
      std::printf("%s\n", json.dump(2).c_str());
    } else {
      print_model(json);
    }
    return 0;
  }
  constexpr std::string_view kWeights[] = {".safetensors", ".gguf", ".pth", ".pt", ".bin"};
  const bool has_weights = std::find(std::begin(kWeights), std::end(kWeights), path.extension().string()) != std::end(kWeights);
  return has_weights ? show_weights(path, as_json) : show_picture(path, as_json);
}

}  // namespace

Action add_info(CLI::App& app) {
  CLI::App* command = app.add_subcommand("info", "Say what a model folder, a file of weights or a picture holds");
  const auto path = std::make_shared<std::string>();
  const auto json = std::make_shared<bool>(false);
  command->add_option("path", *path, "folder of a model or built-in one, .safetensors, .gguf or .pth file, or picture")
      ->required()
      ->type_name("PATH");
  command->add_flag("--json", *json, "as JSON");
  command->footer("Examples:\n  linea info sana-mini\n  linea info apple.png        # and the command line that makes it again");
  return [path, json] { return info(*path, *json); };
}

}  // namespace linea::cli
