// linea convert: a language model into another format or type.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/cli/signals.h"
#include "app/engine/chat_model.h"
#include "core/threads.h"
#include "lm/convert.h"

namespace linea::cli {
namespace {

struct Options {
  std::string input, output, type, threads = "0", progress = "auto";
  bool no_tokenizer = false, quiet = false;
};

int convert(const Options& o) {
  if (o.input.empty()) throw Error(ErrorKind::kUsage, "input: no model is named");
  ConvertOptions options;
  if (!o.type.empty()) options.type = parse_weight_type("--type", o.type);
  options.tokenizer = !o.no_tokenizer;
  set_thread_count(static_cast<int>(parse_integer("--threads", o.threads, 0, 4096)));
  ProgressView view(o.quiet ? ProgressStyle::kNone : parse_progress_style(o.progress));
  options.progress = [&](const Progress& p) { view.show(p); };
  options.cancel = install_signal_handlers();
  convert_language_model(find_language_model(o.input), o.output, options);
  view.clear();
  if (o.quiet) return 0;
  const double mib = static_cast<double>(std::filesystem::file_size(o.output)) / (1 << 20);
  std::printf("%s  %.1f MiB\n", o.output.c_str(), mib);
  return 0;
}

}  // namespace

Action add_convert(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "Write a language model in another format or type");
  const auto o = std::make_shared<Options>();
  command->add_option("input", o->input, "model folder, .pth, .safetensors or .gguf file, or name of a built-in model")
      ->required()
      ->type_name("MODEL");
  command->add_option("-o,--output", o->output, "file to write: .gguf or .safetensors")->required()->type_name("FILE");
  command->add_option("--type", o->type, "of matrices: f32, f16, bf16, or for GGUF q8_0, q6_k, q5_k, q4_k, q4_0 (default: as they are)")
      ->type_name("TYPE");
  command->add_flag("--no-tokenizer", o->no_tokenizer, "leave tokenizer and chat template out of the GGUF file");
  command->add_option("--threads", o->threads, "CPU threads; 0 = all")->type_name("N");
  command->add_option("--progress", o->progress, "auto, bar, plain, json or none (on standard error)")->type_name("STYLE");
  command->add_flag("-q,--quiet", o->quiet, "print nothing but errors");
  command->footer(
      "Examples:\n  linea convert RWKV-x070-World-0.1B.pth -o rwkv7.gguf --type q4_k\n  linea convert mamba2-130m/ -o mamba2.gguf --type "
      "q8_0");
  return [o] { return convert(*o); };
}

}  // namespace linea::cli
