#include "app/studio/picture_form.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "app/studio/json_read.h"
#include "core/metadata.h"

namespace linea::studio {
namespace {

int put_side(double side) { return std::clamp(static_cast<int>(std::lround(side / kSideStep)) * kSideStep, kMinSide, kMaxSide); }

template <class T> bool parse(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_size(const std::string& text, int& width, int& height) {
  const size_t x = text.find('x');
  int w = 0, h = 0;
  if (x == std::string::npos || !parse(text.substr(0, x), w) || !parse(text.substr(x + 1), h)) return false;
  if (w < 1 || h < 1 || w > 65535 || h > 65535) return false;
  width = put_side(w), height = put_side(h);
  return true;
}

bool apply_sampler(PictureForm& form, const std::string& name) {
  if (name.starts_with("DPM++ 2M")) return form.scheduler = "dpm++", true;
  if (name == "Euler") return form.scheduler = "euler", true;
  return false;
}

// Returns whether the field means something here and its value could be used.
bool apply_field(PictureForm& form, const std::string& key, const std::string& value) {
  if (key == "Steps") return parse(value, form.steps) && (form.steps = std::clamp(form.steps, 1, 1000), true);
  if (key == "CFG scale") return parse(value, form.guidance) && (form.guidance = std::clamp(form.guidance, 0.0, 100.0), true);
  if (key == "Seed") return parse(value, form.seed) && (form.random_seed = false, true);
  if (key == "Size") return parse_size(value, form.width, form.height);
  if (key == "Sampler") return apply_sampler(form, value);
  if (key == "RNG") return form.cuda_noise = value != "CPU", value == "CPU" || value == "NV" || value == "GPU";
  static const char* const kSilent[] = {"Version", "Model hash", "Exact prompt", "Exact negative prompt"};
  return std::any_of(std::begin(kSilent), std::end(kSilent), [&](const char* name) { return key == name; });
}

}  // namespace

Json to_json(const PictureForm& f) {
  Json json = {{"prompt", f.prompt},         {"negative", f.negative}, {"model", f.model},
               {"width", f.width},           {"height", f.height},     {"keep_aspect", f.keep_aspect},
               {"steps", f.steps},           {"count", f.count},       {"guidance", f.guidance},
               {"scheduler", f.scheduler},   {"seed", f.seed},         {"random_seed", f.random_seed},
               {"cuda_noise", f.cuda_noise}, {"dtype", f.dtype}};
  if (f.shift) json["shift"] = *f.shift;
  return json;
}

PictureForm form_from_json(const Json& json) {
  PictureForm f;
  if (!json.is_object()) return f;
  read(json, "prompt", f.prompt), read(json, "negative", f.negative), read(json, "model", f.model);
  read(json, "width", f.width), read(json, "height", f.height), read(json, "keep_aspect", f.keep_aspect);
  read(json, "steps", f.steps), read(json, "count", f.count), read(json, "guidance", f.guidance);
  read(json, "scheduler", f.scheduler), read(json, "seed", f.seed), read(json, "random_seed", f.random_seed);
  read(json, "cuda_noise", f.cuda_noise), read(json, "dtype", f.dtype);
  if (double shift = 0; json.contains("shift")) read(json, "shift", shift), f.shift = shift;
  f.width = std::clamp(f.width, kMinSide, kMaxSide), f.height = std::clamp(f.height, kMinSide, kMaxSide);
  f.steps = std::clamp(f.steps, 1, 1000), f.count = std::clamp(f.count, 1, 10000);
  f.guidance = std::isfinite(f.guidance) ? std::clamp(f.guidance, 0.0, 100.0) : 4.5;
  if (f.shift && !(*f.shift >= 0.01 && *f.shift <= 100)) f.shift.reset();
  return f;
}

PictureSettings to_settings(const PictureForm& f) {
  PictureSettings s;
  s.request.prompt = f.prompt, s.request.negative = f.negative;
  s.request.size = {f.height, f.width};
  s.request.steps = f.steps, s.request.guidance = f.guidance;
  s.request.seed = f.seed;
  s.request.scheduler = f.scheduler;
  s.request.flow_shift = f.shift;
  s.request.noise = f.cuda_noise ? NoiseSource::kTorchCuda : NoiseSource::kTorchCpu;
  s.model = f.model;
  s.dtype = f.dtype.empty() ? "auto" : f.dtype;
  s.device = "auto";
  return s;
}

PictureJob to_job(const PictureForm& f, uint64_t seed, const std::string& folder, const std::string& name_pattern) {
  PictureJob job{.settings = to_settings(f), .count = f.count, .folder = folder};
  job.settings.request.seed = f.random_seed ? seed : f.seed;
  if (!name_pattern.empty()) job.name_pattern = name_pattern;
  return job;
}

PictureForm form_of(const PictureSettings& s) {
  const PictureRequest& r = s.request;
  PictureForm f;
  f.prompt = r.prompt, f.negative = r.negative, f.model = s.model;
  f.width = static_cast<int>(std::clamp<int64_t>(r.size.width, kMinSide, kMaxSide));
  f.height = static_cast<int>(std::clamp<int64_t>(r.size.height, kMinSide, kMaxSide));
  f.steps = std::clamp(r.steps, 1, 1000), f.guidance = r.guidance, f.scheduler = r.scheduler;
  f.random_seed = false, f.seed = r.seed;
  f.shift = r.flow_shift;
  f.cuda_noise = r.noise == NoiseSource::kTorchCuda;
  f.dtype = s.dtype == "auto" ? "" : s.dtype;
  return f;
}

std::optional<RestoredForm> restore_infotext(const std::string& text, const PictureForm& base) {
  // stable-diffusion.cpp appends raw JSON, which the grammar does not know.
  const Infotext info = parse_infotext(std::string_view(text).substr(0, text.find(", SDCPP: {")));
  if (info.fields.empty()) return std::nullopt;
  RestoredForm restored{.form = base, .not_mapped = {}, .source = "A1111 text"};
  restored.form.prompt = info.prompt;
  restored.form.negative = info.negative;
  restored.form.shift.reset();
  for (const auto& [key, value] : info.fields) {
    if (key == "Model") {
      if (value != "sana-mini") restored.not_mapped.push_back(key + ": " + value);
    } else if (!apply_field(restored.form, key, value)) {
      restored.not_mapped.push_back(key + ": " + value);
    }
  }
  return restored;
}

std::optional<RestoredForm> restore_form(const ImageText& text, const PictureForm& base) {
  for (const auto& [key, value] : text) {
    if (key != kSettingsKey) continue;
    RestoredForm restored{.form = form_of(settings_from_json(value, "the picture's settings")), .not_mapped = {}, .source = "Linea"};
    restored.form.count = base.count;
    restored.form.keep_aspect = base.keep_aspect;
    return restored;
  }
  for (const auto& [key, value] : text) {
    if (key == "parameters" && !value.starts_with("{")) return restore_infotext(value, base);
  }
  return std::nullopt;
}

void apply_preset(PictureForm& form, const SizePreset& preset, int native_side) {
  const double ratio = static_cast<double>(preset.width_parts) / preset.height_parts;
  form.width = put_side(native_side * std::sqrt(ratio));
  form.height = put_side(native_side / std::sqrt(ratio));
}

}  // namespace linea::studio
