#include "core/error.h"
#include "lm/checkpoint_names.h"

namespace linea {
namespace {

// One part of a dotted name after the other, replaced where the table has it.
std::string replaced_parts(const std::string& name, const std::map<std::string, std::string>& table) {
  std::string result;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const auto found = table.find(part);
    result += (begin ? "." : "") + (found == table.end() ? part : found->second);
    begin = end + 1;
  }
  return result;
}

// RwkvForCausalLM and its descendants for RWKV-5 and 6: the authors' names with longer words.
NamedTensors from_rwkv(const NamedTensors& tensors) {
  static const std::map<std::string, std::string> kParts = {{"embeddings", "emb"},
                                                            {"pre_ln", "ln0"},
                                                            {"attention", "att"},
                                                            {"feed_forward", "ffn"},
                                                            {"time_mix_key", "time_mix_k"},
                                                            {"time_mix_value", "time_mix_v"},
                                                            {"time_mix_receptance", "time_mix_r"},
                                                            {"time_mix_gate", "time_mix_g"}};
  constexpr std::string_view kPrefix = "rwkv.";
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) {
    result[replaced_parts(name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name, kParts)] = tensor;
  }
  return result;
}

// "attn.w_lora.lora.2.bias" → "att.w0", empty for what is no part of a low-rank map. Their matrices are linears.
std::string low_rank_name(const std::string& rest) {
  for (const char kind : {'w', 'a', 'v', 'g'}) {
    const std::string prefix = std::string("attn.") + kind + "_lora.lora.";
    if (rest == prefix + "0.weight") return std::string("att.") + kind + "1.T";
    if (rest == prefix + "2.weight") return std::string("att.") + kind + "2.T";
    if (rest == prefix + "2.bias") return std::string("att.") + kind + "0";
  }
  return {};
}

// flash-linear-attention's RWKV7ForCausalLM.
NamedTensors from_fla(const NamedTensors& tensors, const std::string& source) {
  static const std::map<std::string, std::string> kShell = {{"model.embeddings.weight", "emb.weight"},
                                                            {"model.norm.weight", "ln_out.weight"},
                                                            {"model.norm.bias", "ln_out.bias"},
                                                            {"lm_head.weight", "head.weight"}};
  static const std::map<std::string, std::string> kParts = {{"pre_norm", "ln0"}, {"attn_norm", "ln1"}, {"ffn_norm", "ln2"},
                                                            {"attn", "att"},     {"g_norm", "ln_x"},   {"r_proj", "receptance"},
                                                            {"k_proj", "key"},   {"v_proj", "value"},  {"o_proj", "output"}};
  constexpr std::string_view kLayers = "model.layers.", kStacked = "attn.x_x";
  const std::string stacked = "rwkvag";
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) {
    if (const auto shell = kShell.find(name); shell != kShell.end()) {
      result[shell->second] = tensor;
      continue;
    }
    const size_t dot = name.find('.', kLayers.size());
    if (!name.starts_with(kLayers) || dot == std::string::npos) {
      result[name] = tensor;
      continue;
    }
    const std::string block = "blocks." + name.substr(kLayers.size(), dot - kLayers.size()) + ".", rest = name.substr(dot + 1);
    if (rest == kStacked) {
      const auto count = static_cast<int64_t>(stacked.size());
      if (tensor.elements() % count != 0) throw Error(ErrorKind::kModel, source + ": tensor " + name + ": expected six rows");
      const Tensor rows = tensor.reshape({count, tensor.elements() / count});
      for (int64_t j = 0; j < count; ++j) result[block + "att.x_" + stacked[static_cast<size_t>(j)]] = rows.select(0, j);
    } else if (const std::string low_rank = low_rank_name(rest); !low_rank.empty()) {
      result[block + low_rank] = tensor;
    } else {
      result[block + replaced_parts(rest, kParts)] = tensor;
    }
  }
  return result;
}

// Mamba's, whose prefix varies: "backbone.", "model.backbone.", "model.".
NamedTensors from_mamba(const NamedTensors& tensors) {
  for (const std::string prefix : {"backbone.", "model.backbone.", "model."}) {
    const bool one = tensors.contains(prefix + "embedding.weight");
    if (!one && !tensors.contains(prefix + "embeddings.weight")) continue;
    NamedTensors result;
    for (const auto& [name, tensor] : tensors) {
      std::string own = name.starts_with(prefix) ? "backbone." + name.substr(prefix.size()) : name;
      if (own == "backbone.embedding.weight") own = "backbone.embeddings.weight";
      result[own] = tensor;
    }
    return result;
  }
  return tensors;
}

// Prefixes that training frameworks put before every name.
NamedTensors without_prefix(const NamedTensors& tensors) {
  for (const std::string prefix : {"_forward_module.", "module."}) {
    bool all = !tensors.empty();
    for (const auto& [name, tensor] : tensors) all &= name.starts_with(prefix);
    if (!all) continue;
    NamedTensors result;
    for (const auto& [name, tensor] : tensors) result[name.substr(prefix.size())] = tensor;
    return without_prefix(result);
  }
  return tensors;
}

}  // namespace

NamedTensors names_from_transformers(const NamedTensors& given, const std::string& source) {
  const NamedTensors tensors = without_prefix(given);
  if (tensors.contains("rwkv.embeddings.weight")) return from_rwkv(tensors);
  if (tensors.contains("model.layers.0.attn.r_k")) return from_fla(tensors, source);
  return tensors.contains("emb.weight") ? tensors : from_mamba(tensors);
}

}  // namespace linea
