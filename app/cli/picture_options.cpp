#include "app/cli/picture_options.h"

#include <array>
#include <charconv>

#include "app/engine/picture_models.h"

namespace linea::cli {

void PictureOptions::add_to(CLI::App& command) {
  command.add_option("-n,--negative", negative, "what to steer away from")->type_name("TEXT");
  command.add_option("-s,--size", size, "512 or WIDTHxHEIGHT; default: the model's own")->type_name("SIZE");
  command.add_option("--bins", bins, "auto: render at the nearest trained size, then resize and crop; off: at exactly --size")
      ->type_name("auto|off");
  command.add_option("--steps", steps, "denoising steps")->type_name("N");
  command.add_option("-g,--guidance", guidance, "guidance scale; 1 or less = off")->type_name("X");
  command.add_option("--scheduler", scheduler, "auto (the model's), dpm++ or euler")->type_name("NAME");
  command.add_option("--shift", shift, "flow shift; default: the model's")->type_name("X");
  command.add_option("--noise", noise, "noise of torch's cpu or cuda generator")->type_name("cpu|cuda");
  command.add_flag("--joint-noise", joint_noise, "draw the noise of all pictures of a prompt as one tensor from its seed");
  command.add_option("--instruction", instruction, "text file read before the prompt, or none; default: the model's")
      ->type_name("FILE|none");
  command.add_option("--softcap", softcap, "cap the text encoder's attention logits, as its paper does")->type_name("on|off");
  command.add_option("--memory", memory, "most memory for the model and its work, such as 8GiB; 0 = what is free")->type_name("BYTES");
  command.add_flag("--no-metadata", no_metadata, "write no settings into the pictures");
  command.add_flag("--no-library", no_library, "do not list the pictures in the library");
}

PictureSettings PictureOptions::settings(const RunOptions& run) const {
  PictureSettings s;
  PictureRequest& r = s.request;
  r.negative = negative;
  if (!size.empty()) r.size = parse_size(size);
  r.use_bins = parse_choice("--bins", bins, {"auto", "off"}) == 0;
  r.steps = static_cast<int>(parse_integer("--steps", steps, 1, 1000));
  r.guidance = parse_number("--guidance", guidance, 0, 100);
  if (parse_choice("--scheduler", scheduler, {"auto", "dpm++", "euler"}) != 0) r.scheduler = scheduler;
  if (!shift.empty()) r.flow_shift = parse_number("--shift", shift, 0.01, 100);
  r.noise = parse_choice("--noise", noise, {"cpu", "cuda"}) == 0 ? NoiseSource::kTorchCpu : NoiseSource::kTorchCuda;
  r.joint_noise = joint_noise;
  s.model = run.model;
  s.dtype = run.dtype;
  s.device = run.device;
  s.softcap = parse_choice("--softcap", softcap, {"on", "off"}) == 0;
  if (!instruction.empty()) s.instruction_file = instruction;
  memory_bytes();
  run.pipeline_options();  // the type, the device and the threads
  pipeline_options_of(s);  // and the instruction
  return s;
}

int64_t PictureOptions::memory_bytes() const { return parse_bytes("--memory", memory); }

int64_t parse_bytes(const std::string& option, const std::string& text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                            {"B", 1},
                                            {"kB", 1e3},
                                            {"KiB", 0x1p10},
                                            {"MB", 1e6},
                                            {"MiB", 0x1p20},
                                            {"GB", 1e9},
                                            {"GiB", 0x1p30},
                                            {"TB", 1e12},
                                            {"TiB", 0x1p40}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(error == std::errc() ? end : text.data(), text.data() + text.size());
  for (const Unit& known : kUnits) {
    const double bytes = number * known.bytes;
    if (error == std::errc() && unit == known.name && bytes >= 0 && bytes < 0x1p62) return static_cast<int64_t>(bytes);
  }
  throw Error(ErrorKind::kUsage, option + ": '" + text + "' is not an amount of memory", "for example 8GiB or 500MB");
}

}  // namespace linea::cli
