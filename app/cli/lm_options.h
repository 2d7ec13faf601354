// app/cli/lm_options.h: options that the commands of language models share.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/engine/chat_model.h"

namespace linea::cli {

// fp32, bf16, fp16, or of matrices alone: fp8 (e4m3), int8 (Q8_0), int4 (Q4_K). Nothing for auto; throws kUsage.
std::optional<DType> parse_language_model_dtype(const std::string& name);

// Which model, and on what it runs.
struct LanguageModelOptions {
  std::string model, dtype = "auto", device = "auto", threads = "0";
  bool quiet = false;

  void add_to(CLI::App& command);
  // Sets the number of threads; throws kUsage.
  Device parsed_device() const;
  std::optional<DType> parsed_dtype() const;
};

// How tokens are drawn.
struct SamplingFlags {
  std::string preset = "rwkv", order, temperature, top_k, top_p, min_p, typical, repetition, presence, frequency, decay, mirostat,
              mirostat_eta, seed;
  std::vector<std::string> bias;

  void add_to(CLI::App& command);
  SamplingOptions parse() const;              // throws kUsage; a random seed where none was given
  void check_bias(int64_t vocabulary) const;  // throws kUsage for a token that the model does not have
};

// What an answer must look like.
struct ConstraintFlags {
  std::string grammar, json_schema;
  bool json_value = false;

  void add_to(CLI::App& command);
  // The grammar that was asked for: a file, or the text itself. Throws kUsage.
  std::optional<Grammar> parse() const;
};

struct LengthFlags {
  std::string max_tokens = "1024";
  std::vector<std::string> stops;

  void add_to(CLI::App& command);
  int64_t parsed_max_tokens() const;
};

// The text of a file, or of standard input for "-". Throws kBadFile.
std::string read_text(const std::string& path);

}  // namespace linea::cli
