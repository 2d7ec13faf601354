#include "app/cli/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>

#include "app/cli/suggest.h"
#include "core/text.h"
#include "core/threads.h"
#include "kernels/devices.h"

namespace linea::cli {
namespace {

template <class Number> std::optional<Number> parse_all(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

void fail_choice(const std::string& option, const std::string& value, const std::vector<std::string>& choices) {
  std::string list;
  for (const std::string& choice : choices) list += (list.empty() ? "" : ", ") + choice;
  const std::string nearest = nearest_word(value, choices);
  throw Error(ErrorKind::kUsage, option + ": unknown value '" + value + "'" + (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"),
              "one of " + list);
}

size_t parse_choice(const std::string& option, const std::string& value, const std::vector<std::string>& choices) {
  const auto found = std::find(choices.begin(), choices.end(), value);
  if (found == choices.end()) fail_choice(option, value, choices);
  return static_cast<size_t>(found - choices.begin());
}

PictureSize parse_size(const std::string& text) {
  const size_t cross = text.find_first_of("xX");
  const auto width = parse_all<int64_t>(text.substr(0, cross));
  const auto height = cross == std::string::npos ? width : parse_all<int64_t>(text.substr(cross + 1));
  if (!width || !height)
    throw Error(ErrorKind::kUsage, "--size: '" + text + "' is not a size", "write 512 or WIDTHxHEIGHT, for example 1024x768");
  if (*width <= 0 || *height <= 0) throw Error(ErrorKind::kUsage, "--size: " + text + ": both sides must be positive");
  return {*height, *width};
}

int64_t parse_integer(const std::string& option, const std::string& text, int64_t minimum, int64_t maximum) {
  const auto value = parse_all<int64_t>(text);
  if (!value || *value < minimum || *value > maximum) {
    throw Error(ErrorKind::kUsage,
                option + ": '" + text + "' is not a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum));
  }
  return *value;
}

uint64_t parse_seed(const std::string& text) {
  const auto value = parse_all<uint64_t>(text);
  if (!value) throw Error(ErrorKind::kUsage, "--seed: '" + text + "' is not a whole number from 0 to 18446744073709551615");
  return *value;
}

double parse_number(const std::string& option, const std::string& text, double minimum, double maximum) {
  const auto value = parse_all<double>(text);
  if (!value || !(*value >= minimum && *value <= maximum)) {
    char range[64];
    std::snprintf(range, sizeof range, "from %g to %g", minimum, maximum);
    throw Error(ErrorKind::kUsage, option + ": '" + text + "' is not a number " + range);
  }
  return *value;
}

const std::string& checked_text(const std::string& name, const std::string& text) {
  if (!is_utf8(text)) throw Error(ErrorKind::kUsage, name + " is not UTF-8");
  if (text.find('\0') != std::string::npos) throw Error(ErrorKind::kUsage, name + " holds a NUL byte");
  return text;
}

std::string read_standard_input(int64_t max_bytes) {
  std::string text;
  char piece[size_t{64} << 10];
  while (std::cin.read(piece, sizeof piece), std::cin.gcount() > 0) {
    if (static_cast<int64_t>(text.size()) + std::cin.gcount() > max_bytes) {
      throw Error(ErrorKind::kBadFile, "standard input has more than " + std::to_string(max_bytes) + " bytes");
    }
    text.append(piece, static_cast<size_t>(std::cin.gcount()));
  }
  if (std::cin.bad()) throw Error(ErrorKind::kBadFile, "standard input cannot be read");
  return text;
}

void RunOptions::add_to(CLI::App& command) {
  command.add_option("--model", model, "model folder (diffusers layout) or name of a built-in model")->type_name("FOLDER");
  command
      .add_option("--dtype", dtype,
                  "fp32, bf16, fp16, fp8 (bf16 with FP8 matrices), or auto = the fastest that keeps quality on this device")
      ->type_name("TYPE");
  command.add_option("--device", device, "cpu, cuda, cuda:N, or auto; several with commas share the pictures of a call")
      ->type_name("DEVICE");
  command.add_option("--threads", threads, "CPU threads; 0 = all")->type_name("N");
  command.add_option("--progress", progress, "auto, bar, plain, json or none (on standard error)")->type_name("STYLE");
  command.add_flag("-q,--quiet", quiet, "print nothing but errors");
}

PipelineOptions RunOptions::pipeline_options() const {
  PipelineOptions options;
  options.device = devices().front();
  if (dtype != "auto") {
    const std::vector<std::string> names = {"fp32", "bf16", "fp16", "fp8", "f32", "f16", "auto"};
    parse_choice("--dtype", dtype, names);
    options.dtype = parse_picture_dtype(dtype);
  }
  set_thread_count(static_cast<int>(parse_integer("--threads", threads, 0, 4096)));
  return options;
}

std::vector<Device> RunOptions::devices() const {
  std::vector<Device> list;
  for (size_t first = 0; first <= device.size();) {
    const size_t comma = std::min(device.find(',', first), device.size());
    const std::string name = device.substr(first, comma - first);
    list.push_back(name == "auto" ? best_device() : parse_device(name));
    first = comma + 1;
  }
  return list;
}

std::string dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return "bf16";
    case DType::kF16: return "fp16";
    default: return "fp32";
  }
}

void print_error(const std::string& message, const std::string& hint) {
  constexpr size_t kLongest = 8192;  // one line, whatever a message quotes
  std::fprintf(stderr, "linea: %s\n", printable(hint.empty() ? message : message + ": " + hint, kLongest).c_str());
}

void print_warning(const std::string& message) { std::fprintf(stderr, "linea: warning: %s\n", message.c_str()); }

}  // namespace linea::cli
