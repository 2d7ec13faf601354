// linea generate: a prompt becomes pictures.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/cli/progress_view.h"
#include "app/cli/signals.h"
#include "app/cli/trace_file.h"
#include "app/engine/model_folders.h"
#include "app/engine/output_names.h"
#include "app/engine/picture_settings.h"
#include "core/atomic_file.h"

namespace linea::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  linea generate "a red apple on a blue background" -o apple.png
  linea generate "two lemons" --count 4 --seed 7 -o lemons.png      # lemons-1.png … lemons-4.png
  echo "a cat to the left of a chair" | linea generate - -o cat.png
  linea generate "a castle" --model ~/models/Sana_1600M_1024px --size 1024x768 --steps 20 --guidance 4.5)";

struct GenerateOptions {
  RunOptions run;
  std::string prompt, negative, size, bins = "auto", steps = "20", guidance = "4.5", seed, count = "1";
  std::string scheduler = "auto", shift, noise = "cpu", instruction, softcap = "on", output, trace;
  bool joint_noise = false, no_metadata = false, json = false;
};

void add_options(CLI::App& command, GenerateOptions& o) {
  command.add_option("prompt", o.prompt, "what to draw; - reads it from standard input")->required();
  command.add_option("-o,--output", o.output, "file (.png, .jpg, .webp), folder, or - for standard output")->type_name("PATH");
  command.add_option("-n,--negative", o.negative, "what to steer away from")->type_name("TEXT");
  command.add_option("-s,--size", o.size, "512 or WIDTHxHEIGHT; default: the model's own")->type_name("SIZE");
  command.add_option("--bins", o.bins, "auto: render at the nearest trained size, then resize and crop; off: at exactly --size")
      ->type_name("auto|off");
  command.add_option("--steps", o.steps, "denoising steps")->type_name("N");
  command.add_option("-g,--guidance", o.guidance, "guidance scale; 1 or less = off")->type_name("X");
  command.add_option("--seed", o.seed, "default: random, printed")->type_name("N");
  command.add_option("--count", o.count, "pictures; picture k has seed + k and is the same alone")->type_name("N");
  command.add_option("--scheduler", o.scheduler, "auto (the model's), dpm++ or euler")->type_name("NAME");
  command.add_option("--shift", o.shift, "flow shift; default: the model's")->type_name("X");
  command.add_option("--noise", o.noise, "noise of torch's cpu or cuda generator")->type_name("cpu|cuda");
  command.add_flag("--joint-noise", o.joint_noise, "draw the noise of all pictures as one tensor from --seed");
  command.add_option("--instruction", o.instruction, "text file read before the prompt, or none; default: the model's")
      ->type_name("FILE|none");
  command.add_option("--softcap", o.softcap, "cap the text encoder's attention logits, as its paper does")->type_name("on|off");
  command.add_flag("--no-metadata", o.no_metadata, "write no settings into the picture");
  command.add_flag("--json", o.json, "print one JSON object a picture on standard output");
  command.add_option("--trace", o.trace, "write intermediate tensors of the first picture to DIR/trace.safetensors")->type_name("DIR");
  o.run.add_to(command);
  command.footer(kExamples);
}

uint64_t random_seed() {
  std::random_device device;
  return device();  // 32 bits: what torch's CPU generator distinguishes
}

std::string read_prompt(const std::string& argument) {
  std::string prompt = argument;
  if (argument == "-") {
    prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
    while (!prompt.empty() && (prompt.back() == '\n' || prompt.back() == '\r')) prompt.pop_back();
  }
  if (prompt.find_first_not_of(" \t\r\n") == std::string::npos) throw Error(ErrorKind::kUsage, "the prompt is empty", "say what to draw");
  return prompt;
}

PictureRequest make_request(const GenerateOptions& o) {
  PictureRequest r;
  r.prompt = read_prompt(o.prompt);
  r.negative = o.negative;
  if (!o.size.empty()) r.size = parse_size(o.size);
  r.use_bins = parse_choice("--bins", o.bins, {"auto", "off"}) == 0;
  r.steps = static_cast<int>(parse_integer("--steps", o.steps, 1, 1000));
  r.guidance = parse_number("--guidance", o.guidance, 0, 100);
  r.seed = o.seed.empty() ? random_seed() : parse_seed(o.seed);
  r.count = static_cast<int>(parse_integer("--count", o.count, 1, 100000));
  if (parse_choice("--scheduler", o.scheduler, {"auto", "dpm++", "euler"}) != 0) r.scheduler = o.scheduler;
  if (!o.shift.empty()) r.flow_shift = parse_number("--shift", o.shift, 0.01, 100);
  r.noise = parse_choice("--noise", o.noise, {"cpu", "cuda"}) == 0 ? NoiseSource::kTorchCpu : NoiseSource::kTorchCuda;
  r.joint_noise = o.joint_noise;
  return r;
}

PipelineOptions make_pipeline_options(const GenerateOptions& o) {
  PipelineOptions options = o.run.pipeline_options();
  options.softcap = parse_choice("--softcap", o.softcap, {"on", "off"}) == 0;
  if (o.instruction == "none") {
    options.instruction = "";
  } else if (!o.instruction.empty()) {
    options.instruction = read_instruction_file(o.instruction);
  }
  return options;
}

class GenerateRun {
 public:
  explicit GenerateRun(const GenerateOptions& options) : o_(options), view_(options.run.progress_style()), trace_(options.trace) {}

  int run() {
    const PipelineOptions pipeline_options = make_pipeline_options(o_);
    request_ = make_request(o_);
    for (int k : {0, request_.count - 1}) check_output(path_of(k));
    const std::filesystem::path folder = find_picture_model(o_.run.model);
    SanaPipeline pipeline(folder, pipeline_options);
    const SanaPipeline::Sizes sizes = pipeline.resolve_size(request_);
    settings_ = {.request = request_,
                 .model = o_.run.model,
                 .dtype = dtype_name(pipeline.dtype()),
                 .device = pipeline_options.device.name(),
                 .softcap = pipeline_options.softcap};
    if (!o_.instruction.empty()) settings_.instruction_file = o_.instruction;
    settings_.request.size = sizes.asked;
    if (o_.seed.empty() && !o_.run.quiet) std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(request_.seed));

    GenerateCallbacks callbacks;
    callbacks.cancel = install_signal_handlers();
    callbacks.progress = [&](const Progress& p) { view_.show(p); };
    callbacks.picture = [&](Picture&& picture) { save(picture); };
    callbacks.warning = [&](const std::string& message) {
      view_.clear();
      if (!o_.run.quiet) print_warning(message);
    };
    if (trace_.enabled()) callbacks.trace = [&](const std::string& name, const Tensor& value) { trace_.add(name, value); };
    view_.set_item(0, request_.count);
    pipeline.generate(request_, callbacks);
    trace_.write();
    return 0;
  }

 private:
  // Standard output, a device or a pipe: gets the bytes of one PNG.
  bool to_stream() const {
    std::error_code ignored;
    const std::filesystem::file_type type = std::filesystem::status(o_.output, ignored).type();
    return o_.output == "-" || type == std::filesystem::file_type::character || type == std::filesystem::file_type::fifo;
  }

  std::filesystem::path path_of(int index) const {
    if (to_stream()) return o_.output == "-" ? "/dev/stdout" : o_.output;
    return output_path(o_.output, request_.prompt, index, request_.count, request_.seed + static_cast<uint64_t>(index));
  }

  void check_output(const std::filesystem::path& path) const {
    if (to_stream()) {
      if (request_.count > 1) throw Error(ErrorKind::kUsage, "-o " + o_.output + ": only one picture can go to a stream");
      if (o_.json && o_.output == "-") throw Error(ErrorKind::kUsage, "-o - and --json both write to standard output");
      return;
    }
    image_format_of(path);
    check_output_path(path);
  }

  void save(const Picture& picture) {
    const auto start = std::chrono::steady_clock::now();
    PictureSettings settings = settings_;
    settings.index = picture.index;
    if (!request_.joint_noise) {
      settings.request.seed = picture.seed;
      settings.request.count = 1;
    }
    const std::filesystem::path path = path_of(picture.index);
    ImageWriteOptions write;
    if (!o_.no_metadata) write.text = to_image_text(settings);
    if (to_stream()) {
      const std::vector<uint8_t> bytes = encode_png(picture.image, write.text, write.png_level);
      write_file(path, bytes);
    } else {
      write_image(path, picture.image, write);
    }
    view_.show({"save", 1, 1, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), -1});
    view_.clear();
    view_.set_item(picture.index + 1, request_.count);
    if (o_.json) {
      const nlohmann::ordered_json line = {{"file", path.string()},
                                           {"seed", picture.seed},
                                           {"width", picture.image.width},
                                           {"height", picture.image.height},
                                           {"settings", nlohmann::ordered_json::parse(to_json(settings))}};
      std::printf("%s\n", line.dump().c_str());
      std::fflush(stdout);
    } else if (!o_.run.quiet && !to_stream()) {
      std::printf("%s\n", path.string().c_str());
      std::fflush(stdout);
    }
  }

  const GenerateOptions& o_;
  PictureRequest request_;
  PictureSettings settings_;
  ProgressView view_;
  TraceFile trace_;
};

}  // namespace

Action add_generate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Render pictures from a prompt");
  const auto options = std::make_shared<GenerateOptions>();
  add_options(*command, *options);
  return [options] { return GenerateRun(*options).run(); };
}

}  // namespace linea::cli
