#include "app/cli/picture_options.h"

#include "app/cli/memory_option.h"
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
  add_vram_option(command, memory);
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
  const std::vector<Device> devices = run.devices();
  s.device = devices.size() > 1 ? devices.front().name() : run.device;
  s.softcap = parse_choice("--softcap", softcap, {"on", "off"}) == 0;
  if (!instruction.empty()) s.instruction_file = instruction;
  memory_bytes(run.pipeline_options().device);  // with the type, the device and the threads
  pipeline_options_of(s);                       // and the instruction
  return s;
}

int64_t PictureOptions::memory_bytes(Device device) const { return memory == "0" ? 0 : vram_bytes(memory, device); }

}  // namespace linea::cli
