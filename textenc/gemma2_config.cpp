#include "textenc/gemma2_config.h"

#include <cmath>
#include <map>

namespace linea {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 24;  // beyond any model: keeps products of sizes far from overflow

void check_architecture(const Config& json) {
  if (const std::string type = json.text("model_type", "gemma2"); type != "gemma2") {
    json.fail("model_type", "expected \"gemma2\", found \"" + type + "\"");
  }
  if (!json.has("architectures")) return;
  for (const Json& name : json.at("architectures")) {
    if (name == "Gemma2Model" || name == "Gemma2ForCausalLM") return;
  }
  json.fail("architectures", "expected Gemma2Model or Gemma2ForCausalLM, found " + json.at("architectures").dump());
}

double positive(const Config& json, const std::string& key, double fallback) {
  const double value = json.number(key, fallback);
  if (!(value > 0) || !std::isfinite(value)) json.fail(key, "expected a positive number, found " + std::to_string(value));
  return value;
}

// Absent means `fallback`, null means off: transformers writes null for a softcap that is switched off.
double positive_or_off(const Config& json, const Json& object, const std::string& key, double fallback) {
  const auto found = object.find(key);
  if (found == object.end()) return fallback;
  return found->is_null() ? 0.0 : positive(json, key, fallback);
}

Activation activation_of(const Config& json) {
  static const std::map<std::string, Activation> kNames = {{"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                           {"gelu_new", Activation::kGeluTanh},
                                                           {"silu", Activation::kSilu},
                                                           {"relu", Activation::kRelu}};
  const std::string name = json.text("hidden_activation", "gelu_pytorch_tanh");
  const auto found = kNames.find(name);
  if (found == kNames.end()) json.fail("hidden_activation", "unsupported activation \"" + name + "\"");
  return found->second;
}

float rope_theta_of(const Config& json) {
  const std::string key = json.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!json.has(key)) return static_cast<float>(positive(json, "rope_theta", 10000));
  const Config rope(json.at(key), json.source() + ": " + key);
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  if (type != "default") rope.fail("rope_type", "expected \"default\", found \"" + type + "\"");
  return static_cast<float>(positive(rope, "rope_theta", positive(json, "rope_theta", 10000)));
}

std::vector<int64_t> windows_of(const Config& json, const Json& object, int64_t layers) {
  const bool all_global = object.contains("sliding_window") && object["sliding_window"].is_null();
  const int64_t window = all_global ? 0 : json.integer("sliding_window", 1, kMaxSize, 4096);
  std::vector<int64_t> windows;
  if (!json.has("layer_types")) {
    for (int64_t i = 0; i < layers; ++i) windows.push_back(i % 2 == 0 ? window : 0);
    return windows;
  }
  for (const Json& type : json.at("layer_types")) {
    if (type != "sliding_attention" && type != "full_attention") {
      json.fail("layer_types", "expected sliding_attention or full_attention, found " + type.dump());
    }
    windows.push_back(type == "sliding_attention" ? window : 0);
  }
  if (static_cast<int64_t>(windows.size()) != layers) {
    json.fail("layer_types", "expected " + std::to_string(layers) + " entries, found " + std::to_string(windows.size()));
  }
  return windows;
}

}  // namespace

Gemma2Config Gemma2Config::read(const std::filesystem::path& file) { return parse(read_json_file(file), file.string()); }

Gemma2Config Gemma2Config::parse(const Json& object, const std::string& source) {
  const Config json(object, source);
  check_architecture(json);
  Gemma2Config c;
  c.vocabulary_size = json.integer("vocab_size", 1, kMaxSize, c.vocabulary_size);
  c.hidden_size = json.integer("hidden_size", 1, kMaxSize, c.hidden_size);
  c.intermediate_size = json.integer("intermediate_size", 1, kMaxSize, c.intermediate_size);
  c.layers = json.integer("num_hidden_layers", 1, 4096, c.layers);
  c.heads = json.integer("num_attention_heads", 1, 4096, c.heads);
  c.kv_heads = json.integer("num_key_value_heads", 1, 4096, c.kv_heads);
  c.head_dim = json.integer("head_dim", 1, 65536, c.head_dim);
  c.max_positions = json.integer("max_position_embeddings", 1, kMaxSize, c.max_positions);
  if (c.heads % c.kv_heads != 0) {
    json.fail("num_key_value_heads",
              "expected a divisor of num_attention_heads = " + std::to_string(c.heads) + ", found " + std::to_string(c.kv_heads));
  }
  if (c.head_dim % 2 != 0) json.fail("head_dim", "expected an even number, found " + std::to_string(c.head_dim));
  if (json.boolean("attention_bias", false)) json.fail("attention_bias", "unsupported: true");
  if (json.boolean("use_bidirectional_attention", false)) json.fail("use_bidirectional_attention", "unsupported: true");

  c.query_pre_attn_scalar = positive(json, "query_pre_attn_scalar", c.query_pre_attn_scalar);
  c.softcap = static_cast<float>(positive_or_off(json, object, "attn_logit_softcapping", c.softcap));
  c.rms_norm_eps = static_cast<float>(positive(json, "rms_norm_eps", c.rms_norm_eps));
  c.rope_theta = rope_theta_of(json);
  c.activation = activation_of(json);
  c.windows = windows_of(json, object, c.layers);
  return c;
}

}  // namespace linea
