// app/cli/options.h: option values that several subcommands share, and how wrong ones are told.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/cli/progress_view.h"
#include "dit/pipeline/pipeline.h"

namespace linea::cli {

// Throws kUsage: "OPTION: unknown value 'VALUE'; did you mean 'NEAREST'? …".
[[noreturn]] void fail_choice(const std::string& option, const std::string& value, const std::vector<std::string>& choices);
// The index of `value` in `choices`; throws as above.
size_t parse_choice(const std::string& option, const std::string& value, const std::vector<std::string>& choices);

PictureSize parse_size(const std::string& text);  // "512" or "WIDTHxHEIGHT"; throws kUsage
int64_t parse_integer(const std::string& option, const std::string& text, int64_t minimum, int64_t maximum);
uint64_t parse_seed(const std::string& text);
double parse_number(const std::string& option, const std::string& text, double minimum, double maximum);

// The text, when it is UTF-8 without a NUL byte, as what keeps it (metadata, saved conversations) needs it; else throws kUsage naming
// `name`.
const std::string& checked_text(const std::string& name, const std::string& text);

// All of standard input, which is refused when it is longer. Throws kBadFile.
std::string read_standard_input(int64_t max_bytes);

// Options of every subcommand that runs a model.
struct RunOptions {
  std::string model, dtype = "auto", device = "auto", threads = "0", progress = "auto";
  bool quiet = false;

  void add_to(CLI::App& command);
  PipelineOptions pipeline_options() const;  // of the first device; sets the number of threads; throws kUsage
  std::vector<Device> devices() const;       // several, separated by commas, share the pictures of a call; throws kUsage
  ProgressStyle progress_style() const { return quiet ? ProgressStyle::kNone : parse_progress_style(progress); }
};

std::string dtype_name(DType dtype);  // "fp32", "bf16", "fp16"
void print_error(const std::string& message, const std::string& hint = {});
void print_warning(const std::string& message);

}  // namespace linea::cli
