#include <cmath>

#include "core/text.h"
#include "lm/checkpoint_names.h"

namespace linea {
namespace {

[[noreturn]] void fail(const GgufFile& file, const std::string& what) {
  throw Error(ErrorKind::kModel, printable(file.path().string(), 4096) + ": " + what);
}

// llama.cpp's name within a block → the authors'.
using Table = std::map<std::string, std::string>;

const Table kRwkv7 = {{"attn_norm.weight", "ln1.weight"},
                      {"attn_norm.bias", "ln1.bias"},
                      {"attn_norm_2.weight", "ln2.weight"},
                      {"attn_norm_2.bias", "ln2.bias"},
                      {"time_mix_w0.weight", "att.w0"},
                      {"time_mix_w1.weight", "att.w1.T"},
                      {"time_mix_w2.weight", "att.w2.T"},
                      {"time_mix_a0.weight", "att.a0"},
                      {"time_mix_a1.weight", "att.a1.T"},
                      {"time_mix_a2.weight", "att.a2.T"},
                      {"time_mix_v0.weight", "att.v0"},
                      {"time_mix_v1.weight", "att.v1.T"},
                      {"time_mix_v2.weight", "att.v2.T"},
                      {"time_mix_g1.weight", "att.g1.T"},
                      {"time_mix_g2.weight", "att.g2.T"},
                      {"time_mix_k_k.weight", "att.k_k"},
                      {"time_mix_k_a.weight", "att.k_a"},
                      {"time_mix_r_k.weight", "att.r_k"},
                      {"time_mix_receptance.weight", "att.receptance.weight"},
                      {"time_mix_key.weight", "att.key.weight"},
                      {"time_mix_value.weight", "att.value.weight"},
                      {"time_mix_output.weight", "att.output.weight"},
                      {"time_mix_ln.weight", "att.ln_x.weight"},
                      {"time_mix_ln.bias", "att.ln_x.bias"},
                      {"channel_mix_lerp_k.weight", "ffn.x_k"},
                      {"channel_mix_key.weight", "ffn.key.weight"},
                      {"channel_mix_value.weight", "ffn.value.weight"}};

const Table kRwkv6 = {{"attn_norm.weight", "ln1.weight"},
                      {"attn_norm.bias", "ln1.bias"},
                      {"attn_norm_2.weight", "ln2.weight"},
                      {"attn_norm_2.bias", "ln2.bias"},
                      {"time_mix_lerp_x.weight", "att.time_maa_x"},
                      {"time_mix_lerp_w.weight", "att.time_maa_w"},
                      {"time_mix_lerp_k.weight", "att.time_maa_k"},
                      {"time_mix_lerp_v.weight", "att.time_maa_v"},
                      {"time_mix_lerp_r.weight", "att.time_maa_r"},
                      {"time_mix_lerp_g.weight", "att.time_maa_g"},
                      {"time_mix_w1.weight", "att.time_maa_w1.T"},
                      {"time_mix_w2.weight", "att.time_maa_w2.T"},
                      {"time_mix_first.weight", "att.time_faaaa"},
                      {"time_mix_decay.weight", "att.time_decay"},
                      {"time_mix_decay_w1.weight", "att.time_decay_w1.T"},
                      {"time_mix_decay_w2.weight", "att.time_decay_w2.T"},
                      {"time_mix_receptance.weight", "att.receptance.weight"},
                      {"time_mix_key.weight", "att.key.weight"},
                      {"time_mix_value.weight", "att.value.weight"},
                      {"time_mix_gate.weight", "att.gate.weight"},
                      {"time_mix_output.weight", "att.output.weight"},
                      {"time_mix_ln.weight", "att.ln_x.weight"},
                      {"time_mix_ln.bias", "att.ln_x.bias"},
                      {"channel_mix_lerp_k.weight", "ffn.time_maa_k"},
                      {"channel_mix_lerp_r.weight", "ffn.time_maa_r"},
                      {"channel_mix_key.weight", "ffn.key.weight"},
                      {"channel_mix_value.weight", "ffn.value.weight"},
                      {"channel_mix_receptance.weight", "ffn.receptance.weight"}};

const Table kMamba = {{"attn_norm.weight", "norm.weight"},
                      {"ssm_in.weight", "mixer.in_proj.weight"},
                      {"ssm_conv1d.weight", "mixer.conv1d.weight"},
                      {"ssm_conv1d.bias", "mixer.conv1d.bias"},
                      {"ssm_x.weight", "mixer.x_proj.weight"},
                      {"ssm_dt.weight", "mixer.dt_proj.weight"},
                      {"ssm_dt.bias", "mixer.dt_proj.bias"},
                      {"ssm_a", "mixer.A"},
                      {"ssm_d", "mixer.D"},
                      {"ssm_out.weight", "mixer.out_proj.weight"}};

const Table kMamba2 = {{"attn_norm.weight", "norm.weight"},
                       {"ssm_in.weight", "mixer.in_proj.weight"},
                       {"ssm_conv1d.weight", "mixer.conv1d.weight"},
                       {"ssm_conv1d.bias", "mixer.conv1d.bias"},
                       {"ssm_dt.bias", "mixer.dt_bias"},
                       {"ssm_a", "mixer.A"},
                       {"ssm_d", "mixer.D"},
                       {"ssm_norm.weight", "mixer.norm.weight"},
                       {"ssm_out.weight", "mixer.out_proj.weight"}};

const Table kRwkvShell = {{"token_embd.weight", "emb.weight"},           {"token_embd_norm.weight", "blocks.0.ln0.weight"},
                          {"token_embd_norm.bias", "blocks.0.ln0.bias"}, {"output_norm.weight", "ln_out.weight"},
                          {"output_norm.bias", "ln_out.bias"},           {"output.weight", "head.weight"}};

const Table kMambaShell = {{"token_embd.weight", "backbone.embeddings.weight"},
                           {"output_norm.weight", "backbone.norm_f.weight"},
                           {"output.weight", "lm_head.weight"}};

struct Architecture {
  const Table *shell, *block;
  std::string blocks;                                 // what block i's names begin with, before the number
  std::string fused_name, fused_prefix, fused_parts;  // a tensor that holds several vectors, and the authors' names of these
};

const std::map<std::string, Architecture> kArchitectures = {
    {"rwkv7", {&kRwkvShell, &kRwkv7, "blocks.", "time_mix_lerp_fused.weight", "att.x_", "rwkvag"}},
    {"rwkv6", {&kRwkvShell, &kRwkv6, "blocks.", "time_mix_lerp_fused.weight", "att.time_maa_", "wkvrg"}},
    {"mamba", {&kMambaShell, &kMamba, "backbone.layers.", "", "", ""}},
    {"mamba2", {&kMambaShell, &kMamba2, "backbone.layers.", "", "", ""}}};

// RWKV-4 and 5, which llama.cpp does not know, under the authors' names: convert.h writes such files.
bool has_own_names(const GgufFile& file) {
  const std::string& name = file.text("general.architecture");
  return name == "rwkv4" || name == "rwkv5";
}

const Architecture& architecture_of(const GgufFile& file) {
  const std::string& name = file.text("general.architecture");
  const auto found = kArchitectures.find(name);
  if (found != kArchitectures.end()) return found->second;
  fail(file, "the architecture \"" + printable(name) + "\" is not supported (rwkv6, rwkv7, mamba and mamba2 are)");
}

std::map<std::string, std::string> inverted(const Table& table) {
  std::map<std::string, std::string> result;
  for (const auto& [theirs, own] : table) {
    result[own] = theirs;
    if (own.ends_with(".T")) result[own.substr(0, own.size() - 2)] = theirs;  // low-rank matrices in either layout
    if (own == "mixer.A") result["mixer.A_log"] = theirs;
  }
  return result;
}

// A metadata key of the architecture: "<architecture>.<key>".
std::string key_of(const GgufFile& file, const std::string& key) { return file.text("general.architecture") + "." + key; }

int64_t integer_of(const GgufFile& file, const std::string& key, int64_t most) {
  const int64_t value = file.integer(key_of(file, key));
  if (value < 1 || value > most)
    fail(file, "key " + key_of(file, key) + ": " + std::to_string(value) + " is not in 1 … " + std::to_string(most));
  return value;
}

// "blk.12.rest" → block "12" and "rest".
bool split_block(const std::string& name, std::string& block, std::string& rest) {
  constexpr std::string_view kPrefix = "blk.";
  const size_t dot = name.find('.', kPrefix.size());
  if (!name.starts_with(kPrefix) || dot == std::string::npos) return false;
  block = name.substr(kPrefix.size(), dot - kPrefix.size());
  rest = name.substr(dot + 1);
  return !block.empty() && block.find_first_not_of("0123456789") == std::string::npos;
}

// Shapes that llama.cpp folded. Tensors that do not fit are left as they are: the model then names what it expected.
Tensor unfolded(const GgufFile& file, const std::string& name, const Tensor& tensor) {
  const int64_t elements = tensor.elements();
  if (name.ends_with("mixer.conv1d.weight") && tensor.rank() == 2) return tensor.reshape({tensor.dim(0), 1, tensor.dim(1)});
  if (name.ends_with("mixer.norm.weight")) return tensor.reshape({elements});
  if (!name.ends_with("att.r_k")) return tensor;
  const int64_t head = integer_of(file, "wkv.head_size", 1 << 16);
  return elements % head == 0 ? tensor.reshape({elements / head, head}) : tensor;
}

void unfuse(const GgufFile& file, const Architecture& a, const std::string& block, const Tensor& tensor, NamedTensors& result) {
  const auto count = static_cast<int64_t>(a.fused_parts.size());
  if (tensor.elements() % count != 0 || is_quantized(tensor.dtype())) {
    fail(file, "tensor blk." + block + "." + a.fused_name + ": expected " + std::to_string(count) + " rows, found " + tensor.describe());
  }
  const Tensor rows = tensor.reshape({count, tensor.elements() / count});
  for (int64_t j = 0; j < count; ++j) {
    result[a.blocks + block + "." + a.fused_prefix + a.fused_parts[static_cast<size_t>(j)]] = rows.select(0, j);
  }
}

}  // namespace

const GgufNames* gguf_names(const std::string& family) {
  static const std::map<std::string, GgufNames> kNames = [] {
    std::map<std::string, GgufNames> names;
    for (const auto& [architecture, a] : kArchitectures) {
      names[architecture] = {inverted(*a.shell), inverted(*a.block), a.blocks, a.fused_name, a.fused_prefix, a.fused_parts};
    }
    return names;
  }();
  const auto found = kNames.find(family);
  return found == kNames.end() ? nullptr : &found->second;
}

NamedTensors names_from_gguf(const GgufFile& file, const NamedTensors& tensors) {
  if (has_own_names(file)) return tensors;
  const Architecture& a = architecture_of(file);
  NamedTensors result;
  std::string block, rest;
  for (const auto& [name, tensor] : tensors) {
    if (const auto shell = a.shell->find(name); shell != a.shell->end()) {
      result[shell->second] = tensor;
    } else if (!split_block(name, block, rest)) {
      result[name] = tensor;  // the model will say that it does not know it
    } else if (rest == a.fused_name) {
      unfuse(file, a, block, tensor, result);
    } else if (const auto found = a.block->find(rest); found != a.block->end()) {
      const std::string own = a.blocks + block + "." + found->second;
      result[own] = unfolded(file, own, tensor);
    } else {
      result[name] = tensor;
    }
  }
  return result;
}

Json config_from_gguf(const GgufFile& file) {
  const std::string& name = file.text("general.architecture");
  if (!has_own_names(file)) architecture_of(file);
  Json config = {{"model_type", name}};
  const auto number = [&](const char* key, double fallback) {
    return file.contains(key_of(file, key)) ? file.number(key_of(file, key)) : fallback;
  };
  if (name.starts_with("mamba")) {
    config["layer_norm_epsilon"] = number("attention.layer_norm_rms_epsilon", 1e-5);
    if (name == "mamba2") config["n_groups"] = integer_of(file, "ssm.group_count", 4096);
    const std::string falcon = key_of(file, "ssm.dt_b_c_rms");
    if (file.contains(falcon) && file.boolean(falcon)) fail(file, "key " + falcon + ": unsupported: true");
    return config;
  }
  if (std::abs(number("attention.layer_norm_epsilon", 1e-5) - 1e-5) > 1e-9) {
    fail(file, "key " + key_of(file, "attention.layer_norm_epsilon") + ": expected 1e-05");
  }
  if (file.contains(key_of(file, "token_shift_count")) && file.integer(key_of(file, "token_shift_count")) != 2) {
    fail(file, "key " + key_of(file, "token_shift_count") + ": expected 2");
  }
  const std::string rescale = key_of(file, "rescale_every_n_layers");
  if (file.contains(rescale)) config["rescaled_every"] = file.integer(rescale);  // weights divided by 2 after so many layers
  return config;
}

}  // namespace linea
