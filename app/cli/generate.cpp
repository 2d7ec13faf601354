// linea generate: a prompt becomes pictures.
#include <cstdio>
#include <memory>
#include <optional>
#include <random>

#include "app/cli/commands.h"
#include "app/cli/picture_options.h"
#include "app/cli/signals.h"
#include "app/cli/trace_file.h"
#include "app/engine/engine.h"
#include "app/engine/model_folders.h"
#include "app/engine/output_names.h"
#include "app/engine/preview.h"
#include "app/library/library.h"
#include "core/atomic_file.h"
#include "core/cache_folder.h"
#include "core/threads.h"

namespace linea::cli {
namespace {

constexpr const char* kGenerateExamples = R"(Examples:
  linea generate "a red apple on a blue background" -o apple.png
  linea generate "two lemons" --count 4 --seed 7 -o lemons.png      # lemons-1.png … lemons-4.png
  echo "a cat to the left of a chair" | linea generate - -o cat.png
  linea generate "a castle" --model ~/models/Sana_1600M_1024px --size 1024x768 --steps 20 --guidance 4.5)";

struct GenerateOptions {
  RunOptions run;
  PictureOptions picture;
  std::string prompt, seed, count = "1", output, trace;
  bool json = false, trace_memory = false;
};

void add_options(CLI::App& command, GenerateOptions& o) {
  command.add_option("prompt", o.prompt, "what to draw; - reads it from standard input")->required();
  command.add_option("-o,--output", o.output, "file (.png, .jpg, .webp), folder, or - for standard output")->type_name("PATH");
  command.add_option("--seed", o.seed, "default: random, printed")->type_name("N");
  command.add_option("--count", o.count, "pictures; picture k has seed + k and is the same alone")->type_name("N");
  o.picture.add_to(command);
  command.add_flag("--json", o.json, "print one JSON object a picture on standard output");
  command.add_option("--trace", o.trace, "write intermediate tensors of the first picture to DIR/trace.safetensors")->type_name("DIR");
  command.add_flag("--trace-memory", o.trace_memory, "print the planned and the observed peak of the device's memory");
  o.run.add_to(command);
  command.footer(kGenerateExamples);
}

uint64_t random_seed() {
  std::random_device device;
  return device();  // 32 bits: what torch's CPU generator distinguishes
}

std::string read_prompt(const std::string& argument) {
  std::string prompt = argument;
  if (argument == "-") {
    constexpr int64_t kMaxBytes = int64_t{1} << 20;
    prompt = read_standard_input(kMaxBytes);
    while (!prompt.empty() && (prompt.back() == '\n' || prompt.back() == '\r')) prompt.pop_back();
  }
  if (prompt.find_first_not_of(" \t\r\n") == std::string::npos) throw Error(ErrorKind::kUsage, "the prompt is empty", "say what to draw");
  return checked_text("the prompt", prompt);
}

std::string without_fields(const std::string& text) {  // for a name pattern
  std::string escaped;
  for (const char c : text) escaped += c == '{' || c == '}' ? std::string(2, c) : std::string(1, c);
  return escaped;
}

class GenerateRun {
 public:
  explicit GenerateRun(const GenerateOptions& options) : o_(options), view_(options.run.progress_style()), trace_(options.trace) {}

  int run() {
    make_job();
    for (int k : {0, job_.count - 1}) check_output(path_of(k));
    trace_.check();
    const CancelToken stop = install_signal_handlers();
    view_.set_item(0, job_.count);
    Engine engine(engine_options());
    engine.submit(job_);
    while (!engine.wait_idle(0.02)) {
      if (!stop.cancelled()) continue;
      engine.stop();
      view_.clear();
      throw Error(ErrorKind::kCancelled, "stopped");
    }
    engine.stop();
    if (failure_) throw Error(*failure_);
    trace_.write();
    if (stop.cancelled()) throw Error(ErrorKind::kCancelled, "stopped");  // while the last picture was written
    return 0;
  }

 private:
  void make_job() {
    job_.settings = o_.picture.settings(o_.run);
    PictureRequest& request = job_.settings.request;
    request.prompt = read_prompt(o_.prompt);
    checked_text("--negative", request.negative);
    request.seed = o_.seed.empty() ? random_seed() : parse_seed(o_.seed);
    job_.count = static_cast<int>(parse_integer("--count", o_.count, 1, 100000));
    job_.overwrite = true;
    job_.metadata = !o_.picture.no_metadata;
    job_.origin = "generate";
    find_picture_model(o_.run.model);
    if (to_stream()) {
      job_.stream = path_of(0);
      return;
    }
    job_.folder = path_of(0).parent_path();
    job_.name_pattern = "{slug:40}-{seed}.png";
    if (is_folder()) return;
    const std::filesystem::path file(o_.output);
    const std::string number = job_.count > 1 ? "-{n:" + std::to_string(std::to_string(job_.count).size()) + "}" : "";
    job_.name_pattern = without_fields(file.stem().string()) + number + without_fields(file.extension().string());
  }

  EngineOptions engine_options() {
    EngineOptions options;
    if (!o_.picture.no_library) options.library = default_library_path();
    options.durable_queue = false;
    options.checkpoint_folder = cache_folder() / "checkpoints";
    options.threads = thread_count();
    options.devices = o_.run.devices();
    options.memory_budget = o_.picture.memory_bytes(options.devices.front());
    options.previews = false;
    options.on_event = [this](const EngineEvent& event) { on_event(event); };
    if (trace_.enabled()) options.trace = [this](const std::string& name, const Tensor& value) { trace_.add(name, value); };
    return options;
  }

  void on_event(const EngineEvent& event) {
    switch (event.kind) {
      case EngineEvent::Kind::kProgress:
        if (!began_ && o_.seed.empty() && !o_.run.quiet) {
          std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(job_.settings.request.seed));
        }
        began_ = true;
        view_.show(event.progress);
        break;
      case EngineEvent::Kind::kPictureDone: print(event.result); break;
      case EngineEvent::Kind::kWarning:
        view_.clear();
        if (!o_.run.quiet) print_warning(event.text);
        break;
      case EngineEvent::Kind::kJobFailed:
        view_.clear();
        failure_.emplace(event.error, event.text, event.hint);
        break;
      default: break;
    }
  }

  bool is_folder() const {
    std::error_code ignored;
    return o_.output.empty() || o_.output.back() == '/' || std::filesystem::is_directory(o_.output, ignored);
  }

  // Standard output, a device or a pipe: gets the bytes of one PNG.
  bool to_stream() const {
    std::error_code ignored;
    const std::filesystem::file_type type = std::filesystem::status(o_.output, ignored).type();
    return o_.output == "-" || type == std::filesystem::file_type::character || type == std::filesystem::file_type::fifo;
  }

  std::filesystem::path path_of(int index) const {
    if (to_stream()) return o_.output == "-" ? "/dev/stdout" : o_.output;
    const PictureRequest& request = job_.settings.request;
    return output_path(o_.output, request.prompt, index, job_.count, request.seed + static_cast<uint64_t>(index));
  }

  void check_output(const std::filesystem::path& path) const {
    if (to_stream()) {
      if (job_.count > 1) throw Error(ErrorKind::kUsage, "-o " + o_.output + ": only one picture can go to a stream");
      if (o_.json && o_.output == "-") throw Error(ErrorKind::kUsage, "-o - and --json both write to standard output");
      return;
    }
    image_format_of(path);
    check_output_path(path);
  }

  void print(const PictureResult& result) {
    view_.clear();
    view_.set_item(++printed_, job_.count);
    if (o_.trace_memory) {
      std::fprintf(stderr, "memory: planned %lld bytes, observed %lld\n", static_cast<long long>(result.planned_bytes),
                   static_cast<long long>(result.observed_bytes));
    }
    if (o_.json) {
      const nlohmann::ordered_json line = {{"file", result.path.string()},
                                           {"seed", result.seed},
                                           {"width", result.width},
                                           {"height", result.height},
                                           {"settings", nlohmann::ordered_json::parse(result.settings)}};
      std::printf("%s\n", line.dump().c_str());
    } else if (!o_.run.quiet && !to_stream()) {
      std::printf("%s\n", result.path.c_str());
    }
    std::fflush(stdout);
  }

  const GenerateOptions& o_;
  PictureJob job_;
  ProgressView view_;
  TraceFile trace_;
  bool began_ = false;
  int printed_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

Action add_generate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Render pictures from a prompt");
  const auto options = std::make_shared<GenerateOptions>();
  add_options(*command, *options);
  return [options] { return GenerateRun(*options).run(); };
}

}  // namespace linea::cli
