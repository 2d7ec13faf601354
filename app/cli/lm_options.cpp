#include "app/cli/lm_options.h"

#include <random>

#include "app/cli/options.h"
#include "core/mapped_file.h"
#include "core/threads.h"
#include "kernels/devices.h"
#include "lm/grammar/json_schema.h"

namespace linea::cli {
namespace {

const std::vector<std::string> kPresets = {"rwkv", "llama", "plain", "greedy"};

SamplingOptions preset(const std::string& name) {
  switch (parse_choice("--preset", name, kPresets)) {
    case 0:
      return {.order = SamplerOrder::kRwkv, .temperature = 1, .top_p = 0.3, .presence = 0.1, .frequency = 0.1, .penalty_decay = 0.996};
    case 1: return {.order = SamplerOrder::kLlama, .temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05};
    case 2: return {.order = SamplerOrder::kTransformers};
    default: return {.temperature = 0};
  }
}

// ID:BIAS or ID:ban.
std::pair<int32_t, float> parse_bias(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) throw Error(ErrorKind::kUsage, "--bias: '" + text + "' is not ID:BIAS", "for example 261:-2.5 or 0:ban");
  const auto id = static_cast<int32_t>(parse_integer("--bias", text.substr(0, colon), 0, 1 << 30));
  const std::string value = text.substr(colon + 1);
  return {id, value == "ban" ? -std::numeric_limits<float>::infinity() : static_cast<float>(parse_number("--bias", value, -1e6, 1e6))};
}

// A value that begins like the thing itself is taken as it is, anything else is a file.
std::string text_or_file(const std::string& option, const std::string& value, bool is_text) {
  constexpr int64_t kMaxBytes = 4 << 20;
  if (is_text) return value;
  try {
    return read_file(value, kMaxBytes, ErrorKind::kBadFile);
  } catch (const Error& error) {
    throw Error(error.kind(), option + ": " + error.what());
  }
}

}  // namespace

void LanguageModelOptions::add_to(CLI::App& command) {
  command.add_option("--model", model, "folder or file of a language model (.gguf, .safetensors, .pth), or name of a built-in one")
      ->type_name("MODEL");
  command
      .add_option("--dtype", dtype,
                  "fp32, bf16, fp16; fp8, int8 or int4 to quantise matrices while loading; or auto = the fastest that keeps quality here")
      ->type_name("TYPE");
  command.add_option("--device", device, "cpu, cuda, cuda:N, or auto")->type_name("DEVICE");
  command.add_option("--threads", threads, "CPU threads; 0 = all")->type_name("N");
  command.add_flag("-q,--quiet", quiet, "print nothing but the answer and errors");
}

Device LanguageModelOptions::parsed_device() const {
  set_thread_count(static_cast<int>(parse_integer("--threads", threads, 0, 4096)));
  return device == "auto" ? best_device() : parse_device(device);
}

std::optional<DType> parse_language_model_dtype(const std::string& name) {
  if (name == "auto") return std::nullopt;
  parse_choice("--dtype", name, {"fp32", "bf16", "fp16", "fp8", "int8", "int4", "f32", "f16", "auto"});
  if (name == "fp8") return DType::kF8E4M3;
  if (name == "int8") return DType::kQ8_0;
  if (name == "int4") return DType::kQ4_K;
  return parse_float_dtype(name);
}

std::optional<DType> LanguageModelOptions::parsed_dtype() const { return parse_language_model_dtype(dtype); }

void SamplingFlags::add_to(CLI::App& command) {
  command.add_option("--preset", preset, "rwkv (temperature 1, top-p 0.3, decaying penalties), llama, plain (no filters) or greedy")
      ->type_name("NAME");
  command.add_option("--order", order, "order of the filters: rwkv, transformers or llama; default: the preset's")->type_name("NAME");
  command.add_option("--temperature,--temp", temperature, "0 = always the most probable token")->type_name("X");
  command.add_option("--top-k", top_k, "keep the K most probable tokens; 0 = off")->type_name("K");
  command.add_option("--top-p", top_p, "keep the most probable tokens that together have this probability")->type_name("P");
  command.add_option("--min-p", min_p, "keep tokens with at least this part of the best one's probability")->type_name("P");
  command.add_option("--typical", typical, "keep the most typical tokens that together have this probability")->type_name("P");
  command.add_option("--repetition-penalty", repetition, "divide the scores of tokens that occurred; 1 = off")->type_name("X");
  command.add_option("--presence-penalty", presence, "taken off tokens of this answer")->type_name("X");
  command.add_option("--frequency-penalty", frequency, "taken off tokens of this answer for each time")->type_name("X");
  command.add_option("--penalty-decay", decay, "how much of a count is left after each token; 1 = all")->type_name("X");
  command.add_option("--mirostat", mirostat, "hold the surprise at this many bits, in place of the filters; 0 = off")->type_name("BITS");
  command.add_option("--mirostat-rate", mirostat_eta, "learning rate of --mirostat")->type_name("X");
  command.add_option("--bias", bias, "ID:X added to a token's score, or ID:ban; may be repeated")->type_name("ID:X");
  command.add_option("--seed", seed, "default: random")->type_name("N");
}

SamplingOptions SamplingFlags::parse() const {
  SamplingOptions o = cli::preset(preset);
  const auto number = [](const char* name, const std::string& text, double minimum, double maximum, double& value) {
    if (!text.empty()) value = parse_number(name, text, minimum, maximum);
  };
  if (!order.empty()) o.order = static_cast<SamplerOrder>(parse_choice("--order", order, kSamplerOrders));
  number("--temperature", temperature, 0, 100, o.temperature);
  if (!top_k.empty()) o.top_k = parse_integer("--top-k", top_k, 0, 1 << 30);
  number("--top-p", top_p, 0, 1, o.top_p);
  number("--min-p", min_p, 0, 1, o.min_p);
  number("--typical", typical, 0, 1, o.typical);
  number("--repetition-penalty", repetition, 0.01, 100, o.repetition);
  number("--presence-penalty", presence, -100, 100, o.presence);
  number("--frequency-penalty", frequency, -100, 100, o.frequency);
  number("--penalty-decay", decay, 0, 1, o.penalty_decay);
  number("--mirostat", mirostat, 0, 100, o.mirostat_tau);
  number("--mirostat-rate", mirostat_eta, 0, 10, o.mirostat_eta);
  for (const std::string& text : bias) o.logit_bias.push_back(parse_bias(text));
  o.seed = seed.empty() ? std::random_device()() : parse_seed(seed);
  o.check();
  return o;
}

void SamplingFlags::check_bias(int64_t vocabulary) const {
  for (const std::string& text : bias) {
    if (parse_bias(text).first < vocabulary) continue;
    throw Error(ErrorKind::kUsage, "--bias: '" + text + "': the model's tokens are 0 to " + std::to_string(vocabulary - 1));
  }
}

void ConstraintFlags::add_to(CLI::App& command) {
  command.add_option("--grammar", grammar, "the answer follows this GBNF grammar: a file, or the text itself")->type_name("FILE|TEXT");
  command.add_option("--json-schema", json_schema, "the answer is JSON under this schema: a file, or the text itself")
      ->type_name("FILE|TEXT");
  command.add_flag("--json-value", json_value, "the answer is a JSON value");
}

std::optional<Grammar> ConstraintFlags::parse() const {
  if ((grammar.empty() ? 0 : 1) + (json_schema.empty() ? 0 : 1) + (json_value ? 1 : 0) > 1) {
    throw Error(ErrorKind::kUsage, "--grammar, --json-schema and --json-value exclude each other");
  }
  if (!grammar.empty()) return parse_gbnf(text_or_file("--grammar", grammar, grammar.find("::=") != std::string::npos), "--grammar");
  if (!json_schema.empty()) {
    const std::string text = text_or_file("--json-schema", json_schema, json_schema.find('{') != std::string::npos);
    return parse_gbnf(json_schema_to_gbnf(text, "--json-schema"), "--json-schema");
  }
  if (json_value) return parse_gbnf(any_json_gbnf(), "--json-value");
  return std::nullopt;
}

void LengthFlags::add_to(CLI::App& command) {
  command.add_option("-n,--max-tokens", max_tokens, "most tokens of an answer")->type_name("N");
  command.add_option("--stop", stops, "a text that ends the answer; may be repeated")
      ->type_name("TEXT")
      ->check([](const std::string& text) { return text.empty() ? std::string("an empty text cannot end an answer") : std::string(); });
}

int64_t LengthFlags::parsed_max_tokens() const { return parse_integer("--max-tokens", max_tokens, 1, int64_t{1} << 40); }

std::string read_text(const std::string& path) {
  constexpr int64_t kMaxBytes = int64_t{4} << 30;
  return path == "-" ? read_standard_input(kMaxBytes) : read_file(path, kMaxBytes, ErrorKind::kBadFile);
}

}  // namespace linea::cli
