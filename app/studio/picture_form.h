// app/studio/picture_form.h: what the Create view asks for, as a value: compared for undo, kept in the settings, turned into jobs, and read
// back from pictures of Linea and of the A1111 family.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/engine/job.h"
#include "core/image.h"
#include "core/json.h"

namespace linea::studio {

inline constexpr int kMinSide = 32, kMaxSide = 4096, kSideStep = 32;

struct PictureForm {
  std::string prompt, negative, model;  // model: name of a built-in one, or a folder; empty = the default
  int width = 512, height = 512;
  bool keep_aspect = false;
  int steps = 20, count = 1;
  double guidance = 4.5;
  std::string scheduler;  // empty = the model's; "dpm++", "euler"
  bool random_seed = true;
  uint64_t seed = 0;  // the last one used, or the kept one
  std::optional<double> shift;
  bool cuda_noise = false;
  std::string dtype;  // empty = the best for the device

  bool operator==(const PictureForm&) const = default;
};

Json to_json(const PictureForm& form);
PictureForm form_from_json(const Json& json);  // what is absent or of another type keeps its default

PictureSettings to_settings(const PictureForm& form);
// `seed` replaces the form's under random_seed.
PictureJob to_job(const PictureForm& form, uint64_t seed, const std::string& folder, const std::string& name_pattern);

// What a picture says about how it was made.
struct RestoredForm {
  PictureForm form;
  std::vector<std::string> not_mapped;  // "Hires upscaler: Latent", one for each setting that has no meaning here
  std::string source;                   // "Linea", "A1111 text"
};
// Nothing when the text holds no settings. `base` gives what the picture does not say.
std::optional<RestoredForm> restore_form(const ImageText& text, const PictureForm& base);
std::optional<RestoredForm> restore_infotext(const std::string& text, const PictureForm& base);
PictureForm form_of(const PictureSettings& settings);

// Size presets: aspect ratios with the area of a native square.
struct SizePreset {
  const char* name;
  int width_parts, height_parts;
};
inline constexpr SizePreset kSizePresets[] = {{"1:1", 1, 1}, {"4:3", 4, 3},   {"3:4", 3, 4},  {"3:2", 3, 2},
                                              {"2:3", 2, 3}, {"16:9", 16, 9}, {"9:16", 9, 16}};
// Sides that are multiples of 32 with about native² pixels.
void apply_preset(PictureForm& form, const SizePreset& preset, int native_side);

}  // namespace linea::studio
