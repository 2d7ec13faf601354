#include "app/engine/picture_settings.h"

#include <cmath>

#include "app/engine/command_line.h"
#include "cmake/version.h"
#include "core/whole_number.h"

namespace linea {
namespace {

constexpr const char* kSchema = "linea.picture/1";
constexpr size_t kMaxJsonBytes = 4 << 20;

using OrderedJson = nlohmann::ordered_json;

std::string scheduler_name(const PictureRequest& request) { return request.scheduler.empty() ? "dpm++" : request.scheduler; }

// The shortest decimal that reads back as the same double.
std::string number(double value) { return Json(value).dump(); }

}  // namespace

std::string to_json(const PictureSettings& s) {
  const PictureRequest& r = s.request;
  OrderedJson json;
  json["schema"] = kSchema;
  json["version"] = kVersion;
  json["prompt"] = r.prompt;
  json["negative"] = r.negative;
  json["width"] = r.size.width;
  json["height"] = r.size.height;
  json["bins"] = r.use_bins;
  json["steps"] = r.steps;
  json["guidance"] = r.guidance;
  json["seed"] = r.seed;
  if (!r.scheduler.empty()) json["scheduler"] = r.scheduler;
  if (r.flow_shift) json["shift"] = *r.flow_shift;
  json["noise"] = r.noise == NoiseSource::kTorchCpu ? "cpu" : "cuda";
  if (r.joint_noise) {
    json["joint_noise"] = true;
    json["count"] = r.count;
    json["index"] = s.index;
  }
  json["model"] = s.model;
  json["dtype"] = s.dtype;
  json["device"] = s.device;
  if (!s.softcap) json["softcap"] = false;
  if (s.instruction_file) json["instruction"] = *s.instruction_file;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

PictureSettings settings_from_json(const std::string& text, const std::string& source) {
  if (text.size() > kMaxJsonBytes) throw Error(ErrorKind::kBadFile, source + ": the settings are larger than 4 MiB");
  try {
    const Json json = parse_json(text, source);
    if (json.at("schema") != kSchema) throw Error(ErrorKind::kBadFile, source + ": unknown settings '" + json.at("schema").dump() + "'");
    PictureSettings s;
    PictureRequest& r = s.request;
    r.prompt = json.at("prompt").get<std::string>();
    r.negative = json.value("negative", "");
    r.size = {whole_number<int64_t>(json.at("height"), source + ": height"), whole_number<int64_t>(json.at("width"), source + ": width")};
    r.use_bins = json.value("bins", true);
    r.steps = whole_number<int>(json.at("steps"), source + ": steps");
    r.guidance = json.at("guidance").get<double>();
    r.seed = whole_number<uint64_t>(json.at("seed"), source + ": seed");
    r.scheduler = json.value("scheduler", "");
    if (json.contains("shift")) r.flow_shift = json.at("shift").get<double>();
    if (!std::isfinite(r.guidance) || !std::isfinite(r.flow_shift.value_or(1))) {
      throw Error(ErrorKind::kBadFile, source + ": guidance and shift must be finite numbers");
    }
    r.noise = json.value("noise", "cpu") == "cuda" ? NoiseSource::kTorchCuda : NoiseSource::kTorchCpu;
    r.joint_noise = json.value("joint_noise", false);
    r.count = whole_number<int>(json.value("count", Json(1)), source + ": count");
    s.index = whole_number<int>(json.value("index", Json(0)), source + ": index");
    s.model = json.value("model", "");
    s.dtype = json.value("dtype", "fp32");
    s.device = json.value("device", "cpu");
    s.softcap = json.value("softcap", true);
    if (json.contains("instruction")) s.instruction_file = json.at("instruction").get<std::string>();
    return s;
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::kBadFile, source + ": settings of another form: " + e.what());
  } catch (const Error& e) {
    throw Error(ErrorKind::kBadFile, e.what());
  }
}

ImageText to_image_text(const PictureSettings& s) {
  const PictureRequest& r = s.request;
  Infotext info;
  info.prompt = r.prompt;
  info.negative = r.negative;
  info.fields = {{"Steps", std::to_string(r.steps)},
                 {"Sampler", scheduler_name(r) == "euler" ? "Euler" : "DPM++ 2M"},
                 {"CFG scale", number(r.guidance)},
                 {"Seed", std::to_string(r.seed)},
                 {"Size", std::to_string(r.size.width) + "x" + std::to_string(r.size.height)},
                 {"Model", s.model.empty() ? "sana-mini" : std::filesystem::path(s.model).filename().string()},
                 {"RNG", r.noise == NoiseSource::kTorchCpu ? "CPU" : "NV"},
                 {"Version", std::string("Linea ") + kVersion}};
  return {{"parameters", format_infotext(info)}, {kSettingsKey, to_json(s)}};
}

std::string to_command_line(const PictureSettings& s) {
  const PictureRequest& r = s.request;
  const bool like_an_option = r.prompt.starts_with('-');
  std::string line = "linea generate" + (like_an_option ? std::string() : " " + shell_quote(r.prompt));
  const auto option = [&](const char* name, const std::string& value) { line += std::string(" ") + name + " " + shell_quote(value); };
  if (!s.model.empty()) option("--model", s.model);
  if (!r.negative.empty()) option("--negative", r.negative);
  option("--size", std::to_string(r.size.width) + "x" + std::to_string(r.size.height));
  if (!r.use_bins) option("--bins", "off");
  option("--steps", std::to_string(r.steps));
  option("--guidance", number(r.guidance));
  option("--seed", std::to_string(r.seed));
  if (!r.scheduler.empty()) option("--scheduler", r.scheduler);
  if (r.flow_shift) option("--shift", number(*r.flow_shift));
  if (r.noise == NoiseSource::kTorchCuda) option("--noise", "cuda");
  if (r.joint_noise) {
    line += " --joint-noise";
    option("--count", std::to_string(r.count));
  }
  option("--dtype", s.dtype);
  option("--device", s.device);
  if (!s.softcap) option("--softcap", "off");
  if (s.instruction_file) option("--instruction", *s.instruction_file);
  if (like_an_option) line += " -- " + shell_quote(r.prompt);
  return line;
}

}  // namespace linea
