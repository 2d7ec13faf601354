#include "lm/gguf_layout.h"

#include <cmath>

#include "core/quantized.h"
#include "core/text.h"
#include "lm/checkpoint_names.h"
#include "lm/convert.h"
#include "lm/mamba1.h"
#include "lm/mamba2.h"

namespace linea {
namespace {

Tensor as_f32(const Tensor& tensor) { return is_quantized(tensor.dtype()) ? dequantized(tensor, DType::kF32) : tensor.to(DType::kF32); }

Tensor negative_exponential(const Tensor& stored) {
  const Tensor log = as_f32(stored), result(log.shape(), DType::kF32);
  for (int64_t i = 0; i < log.elements(); ++i) result.data<float>()[i] = -std::exp(log.data<float>()[i]);
  return result;
}

// Writes one block's tensors under llama.cpp's names, in its layouts.
class BlockWriter {
 public:
  BlockWriter(const ModelSource& source, std::vector<GgufPiece>& pieces) : source_(source), pieces_(pieces) {}

  const Tensor& tensor(const std::string& name) const { return source_.checkpoint.tensors().at(name); }

  void put(const std::string& name, const std::string& own, TensorRole role, Shape shape, DType dtype, std::function<Tensor()> make) {
    pieces_.push_back({{name, shape, dtype, std::move(make)}, role, own});
  }
  // As it is, in another shape of as many elements.
  void put(const std::string& name, const std::string& own, TensorRole role, Shape shape) {
    const Tensor stored = tensor(own);
    if (stored.elements() != shape.elements()) {
      throw Error(ErrorKind::kModel, source_.checkpoint.source().string() + ": tensor " + printable(own) + ": expected " +
                                         std::to_string(shape.elements()) + " elements, found " + stored.shape().to_string());
    }
    put(name, own, role, shape, stored.dtype(), [stored, shape] { return is_quantized(stored.dtype()) ? stored : stored.reshape(shape); });
  }
  void put_f32(const std::string& name, const std::string& own, Shape shape, const std::function<Tensor(const Tensor&)>& change) {
    const Tensor stored = tensor(own);
    put(name, own, TensorRole::kVector, shape, DType::kF32, [stored, shape, change] { return change(stored).reshape(shape); });
  }

 private:
  const ModelSource& source_;
  std::vector<GgufPiece>& pieces_;
};

// "blocks.3.att.key.weight" → block "3", "att.key.weight".
bool split_block(const std::string& name, const std::string& prefix, std::string& block, std::string& rest) {
  const size_t dot = name.find('.', prefix.size());
  if (!name.starts_with(prefix) || dot == std::string::npos) return false;
  block = name.substr(prefix.size(), dot - prefix.size());
  rest = name.substr(dot + 1);
  return true;
}

// Matrices of low rank become linears; RWKV-6 stacks five of them.
void put_low_rank(BlockWriter& writer, const std::string& name, const std::string& own) {
  const Tensor stored = writer.tensor(own);
  if (own.ends_with(".T")) return writer.put(name, own, TensorRole::kLowRank, stored.shape());
  Shape shape = stored.shape();
  std::swap(shape[-1], shape[-2]);
  writer.put(name, own, TensorRole::kLowRank, shape, DType::kF32, [stored, shape] { return with_last_axes_swapped(stored, shape); });
}

void put_fused(BlockWriter& writer, const GgufNames& names, const std::string& block) {
  std::vector<Tensor> rows;
  const std::string prefix = names.blocks + block + "." + names.fused_prefix;
  for (const char part : names.fused_parts) rows.push_back(writer.tensor(prefix + part));
  const int64_t columns = rows[0].elements(), count = static_cast<int64_t>(rows.size());
  const Shape shape = {count, 1, 1, columns};
  writer.put("blk." + block + "." + names.fused_name, prefix + names.fused_parts[0], TensorRole::kVector, shape, DType::kF32,
             [rows, shape, columns] {
               Tensor all(shape, DType::kF32);
               for (size_t j = 0; j < rows.size(); ++j) {
                 const Tensor row = as_f32(rows[j]);
                 std::copy_n(row.data<float>(), columns, all.data<float>() + static_cast<int64_t>(j) * columns);
               }
               return all;
             });
}

void put_rwkv(BlockWriter& writer, const std::string& name, const std::string& own, const std::string& rest) {
  const Tensor& stored = writer.tensor(own);
  if (is_low_rank(own)) return put_low_rank(writer, name, own);
  if (is_matrix(own, stored.shape())) return writer.put(name, own, TensorRole::kMatrix, stored.shape());
  if (rest == "att.time_faaaa" && stored.rank() == 2) return writer.put(name, own, TensorRole::kVector, stored.shape());
  const bool lerp = rest.starts_with("att.time_maa") || rest.starts_with("ffn.time_maa") || rest == "ffn.x_k";
  writer.put(name, own, TensorRole::kVector, lerp ? Shape{1, 1, stored.elements()} : Shape{stored.elements()});
}

void put_mamba(BlockWriter& writer, const ModelSource& source, const std::string& name, const std::string& own, const std::string& rest) {
  const Tensor& stored = writer.tensor(own);
  const int64_t count = stored.elements();
  const bool second = source.family == "mamba2";
  const Shape rates = second ? Shape{count, 1} : stored.shape();
  if (rest == "mixer.A_log") return writer.put_f32(name, own, rates, negative_exponential);
  if (rest == "mixer.A") return writer.put_f32(name, own, rates, as_f32);
  if (rest == "mixer.D") return writer.put_f32(name, own, second ? Shape{count, 1} : Shape{count}, as_f32);
  if (rest == "mixer.conv1d.weight") return writer.put_f32(name, own, {stored.dim(0), stored.dim(-1)}, as_f32);
  if (rest == "mixer.norm.weight") {
    const int64_t groups = Mamba2Config::parse(source.config, source.config_source).groups;
    if (count % groups == 0) return writer.put_f32(name, own, {groups, count / groups}, as_f32);
  }
  writer.put(name, own, is_matrix(own, stored.shape()) ? TensorRole::kMatrix : TensorRole::kVector, stored.shape());
}

// llama.cpp wants these copies in RWKV-7's first block, where nobody reads them.
void put_unused_values(BlockWriter& writer, const ModelSource& source) {
  for (const std::string part : {"0", "1", "2"}) {
    const bool is_linear = source.checkpoint.contains("blocks.0.att.a" + part + ".T");
    const std::string own = "blocks.0.att.a" + part + (is_linear ? ".T" : ""), name = "blk.0.time_mix_v" + part + ".weight";
    part == "0" ? put_rwkv(writer, name, own, "att.a0") : put_low_rank(writer, name, own);
  }
}

// Names that GGUF's own architectures do not have.
std::vector<GgufPiece> as_they_are(const ModelSource& source) {
  std::vector<GgufPiece> pieces;
  BlockWriter writer(source, pieces);
  for (const auto& [name, tensor] : source.checkpoint.tensors()) {
    const bool matrix = is_matrix(name, tensor.shape());
    writer.put(name, name, matrix ? TensorRole::kMatrix : TensorRole::kVector,
               matrix || tensor.rank() <= 2 ? tensor.shape() : Shape{tensor.elements()});
  }
  return pieces;
}

}  // namespace

Tensor with_last_axes_swapped(const Tensor& stored, const Shape& shape) {
  const Tensor source = as_f32(stored);
  const int64_t rows = shape[-2], columns = shape[-1], matrices = shape.elements() / std::max<int64_t>(1, rows * columns);
  Tensor result(shape, DType::kF32);
  for (int64_t m = 0; m < matrices; ++m) {
    const float* from = source.data<float>() + m * rows * columns;
    float* to = result.data<float>() + m * rows * columns;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) to[r * columns + c] = from[c * rows + r];
    }
  }
  return result;
}

bool is_low_rank(const std::string& name) {
  const std::string plain = name.ends_with(".T") ? name.substr(0, name.size() - 2) : name;
  const size_t dot = plain.rfind('.');
  if (dot == std::string::npos || !plain.substr(0, dot).ends_with("att")) return false;
  const std::string leaf = plain.substr(dot + 1);
  for (const char* known : {"time_maa_w1", "time_maa_w2", "time_decay_w1", "time_decay_w2"}) {
    if (leaf == known) return true;
  }
  return leaf.size() == 2 && std::string_view("wavg").find(leaf[0]) != std::string_view::npos && (leaf[1] == '1' || leaf[1] == '2');
}

std::vector<GgufPiece> gguf_pieces(const ModelSource& source) {
  const GgufNames* names = gguf_names(source.family);
  if (!names) return as_they_are(source);
  std::vector<GgufPiece> pieces;
  BlockWriter writer(source, pieces);
  std::string block, rest;
  for (const auto& [own, tensor] : source.checkpoint.tensors()) {
    const auto no_place = [&, own = own] {
      throw Error(ErrorKind::kModel,
                  source.checkpoint.source().string() + ": tensor " + printable(own) + " has no place in GGUF's " + source.family);
    };
    if (const auto shell = names->shell.find(own); shell != names->shell.end()) {
      const bool matrix = is_matrix(own, tensor.shape());
      writer.put(shell->second, own, matrix ? TensorRole::kMatrix : TensorRole::kVector,
                 matrix ? tensor.shape() : Shape{tensor.elements()});
      continue;
    }
    if (!split_block(own, names->blocks, block, rest)) no_place();
    const bool value_of_first =
        block == "0" && rest.size() >= 6 && source.family == "rwkv7" && rest.starts_with("att.v") && rest[5] >= '0' && rest[5] <= '2';
    const bool fused = !names->fused_parts.empty() && rest.starts_with(names->fused_prefix) &&
                       rest.size() == names->fused_prefix.size() + 1 && names->fused_parts.find(rest.back()) != std::string::npos;
    if (value_of_first) continue;
    if (fused) {
      if (rest.back() == names->fused_parts[0]) put_fused(writer, *names, block);
      continue;
    }
    const auto found = names->block.find(rest);
    if (found == names->block.end()) no_place();
    const std::string name = "blk." + block + "." + found->second;
    source.family.starts_with("rwkv") ? put_rwkv(writer, name, own, rest) : put_mamba(writer, source, name, own, rest);
  }
  if (source.family == "rwkv7") put_unused_values(writer, source);
  return pieces;
}

namespace {

using Keys = std::vector<std::pair<std::string, GgufValue>>;

// The number of blocks: 1 + the largest number after the prefix.
int64_t blocks_of(const ModelSource& source, const std::string& prefix) {
  int64_t count = 0;
  std::string block, rest;
  for (const auto& [name, tensor] : source.checkpoint.tensors()) {
    if (split_block(name, prefix, block, rest) && block.size() < 8 && block.find_first_not_of("0123456789") == std::string::npos) {
      count = std::max<int64_t>(count, std::stol(block) + 1);
    }
  }
  return count;
}

int64_t rank_of_low(const ModelSource& source, const std::string& name) {
  return source.checkpoint.contains(name + ".T") ? source.checkpoint.shape_of(name + ".T")[0] : source.checkpoint.shape_of(name)[-1];
}

void add_rwkv_keys(const ModelSource& source, const std::function<void(const std::string&, int64_t)>& count, Keys& keys) {
  const Checkpoint& c = source.checkpoint;
  const std::string att = "blocks.0.att.", family = source.family;
  count("feed_forward_length", c.shape_of("blocks.0.ffn.key.weight")[0]);
  keys.emplace_back(family + ".attention.layer_norm_epsilon", 1e-5f);
  if (family == "rwkv7") {
    count("wkv.head_size", c.shape_of(att + "r_k")[-1]);
    count("attention.decay_lora_rank", rank_of_low(source, att + "w1"));
    count("attention.iclr_lora_rank", rank_of_low(source, att + "a1"));
    const bool values = c.contains("blocks.1.att.v1") || c.contains("blocks.1.att.v1.T");
    count("attention.value_residual_mix_lora_rank", values ? rank_of_low(source, "blocks.1.att.v1") : 0);
    count("attention.gate_lora_rank", rank_of_low(source, att + "g1"));
  } else if (family == "rwkv6") {
    count("wkv.head_size", c.shape_of(att + "time_faaaa")[-1]);
    count("time_mix_extra_dim", rank_of_low(source, att + "time_maa_w1") / 5);
    count("time_decay_extra_dim", rank_of_low(source, att + "time_decay_w1"));
    if (source.config.contains("rescaled_every")) count("rescale_every_n_layers", source.config["rescaled_every"].get<int64_t>());
  }
}

void add_mamba_keys(const ModelSource& source, const std::function<void(const std::string&, int64_t)>& count, Keys& keys) {
  const Checkpoint& c = source.checkpoint;
  const std::string mixer = "backbone.layers.0.mixer.";
  const int64_t inner = c.shape_of(mixer + "out_proj.weight")[1];
  const std::string rates = c.contains(mixer + "A") ? "A" : "A_log";
  count("feed_forward_length", 0);
  count("ssm.conv_kernel", c.shape_of(mixer + "conv1d.weight")[-1]);
  count("ssm.inner_size", inner);
  float eps = 0;
  if (source.family == "mamba2") {
    const Mamba2Config config = Mamba2Config::parse(source.config, source.config_source);
    eps = config.eps;
    count("ssm.state_size", (c.shape_of(mixer + "conv1d.weight")[0] - inner) / (2 * config.groups));
    count("ssm.time_step_rank", c.shape_of(mixer + rates)[0]);
    count("ssm.group_count", config.groups);
  } else {
    eps = Mamba1::read_eps(source.config, source.config_source);
    count("ssm.state_size", c.shape_of(mixer + rates)[-1]);
    count("ssm.time_step_rank", c.shape_of(mixer + "dt_proj.weight")[1]);
    keys.emplace_back("mamba.ssm.dt_b_c_rms", false);
  }
  keys.emplace_back(source.family + ".attention.layer_norm_rms_epsilon", eps);
}

}  // namespace

Keys gguf_keys(const ModelSource& source) {
  const bool rwkv = source.family.starts_with("rwkv");
  const Shape embedding = source.checkpoint.shape_of(rwkv ? "emb.weight" : "backbone.embeddings.weight");
  Keys keys = {{"general.architecture", source.family}};
  const auto count = [&](const std::string& key, int64_t value) {
    keys.emplace_back(source.family + "." + key, static_cast<uint32_t>(value));
  };
  count("context_length", 1 << 20);  // there is no limit
  count("vocab_size", embedding[0]);
  count("embedding_length", embedding[1]);
  count("block_count", blocks_of(source, rwkv ? "blocks." : "backbone.layers."));
  count("attention.head_count", 0);
  rwkv ? add_rwkv_keys(source, count, keys) : add_mamba_keys(source, count, keys);
  return keys;
}

}  // namespace linea
