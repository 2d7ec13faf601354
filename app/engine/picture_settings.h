// app/engine/picture_settings.h: everything that a picture depends on, as a value that is kept in the picture and read back from it.
#pragma once

#include <string>
#include <vector>

#include "core/image.h"
#include "core/json.h"
#include "core/metadata.h"
#include "dit/pipeline/pipeline.h"

namespace linea {

struct PictureSettings {
  PictureRequest request;      // one picture: its own seed, or with joint noise the call's seed and count
  int index = 0;               // place in a joint draw of noise
  std::string model;           // name of a built-in model or path of a folder, as it was given
  std::string dtype = "fp32";  // of the transformer: "fp32", "bf16", "fp16"
  std::string device = "cpu";
  bool softcap = true;
  std::optional<std::string> instruction_file{};  // none = the model folder's own; "none" = no instruction
};

// The key of Linea's own text chunk, and its canonical JSON: fixed order, numbers in full precision, unset options left out.
inline constexpr const char* kSettingsKey = "linea";
std::string to_json(const PictureSettings& settings);
PictureSettings settings_from_json(const std::string& text, const std::string& source);  // throws kBadFile

// The text chunks of a picture: A1111's `parameters` and Linea's own.
ImageText to_image_text(const PictureSettings& settings);

// The command line that makes the picture again.
std::string to_command_line(const PictureSettings& settings);

}  // namespace linea
