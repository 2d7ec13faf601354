#include "lm/convert.h"

#include <strings.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/atomic_file.h"
#include "core/quantized.h"
#include "core/text.h"
#include "lm/gguf_layout.h"
#include "lm/template_text.h"
#include "tokenizers/gguf_tokenizer.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using Keys = std::vector<std::pair<std::string, GgufValue>>;

struct NamedType {
  const char* name;
  DType type;
  uint32_t file_type;  // llama.cpp's number for files that are mostly of it
};
constexpr NamedType kTypes[] = {{"f32", DType::kF32, 0},    {"f16", DType::kF16, 1},    {"bf16", DType::kBF16, 32},
                                {"q8_0", DType::kQ8_0, 7},  {"q6_k", DType::kQ6_K, 18}, {"q5_k", DType::kQ5_K, 16},
                                {"q4_k", DType::kQ4_K, 14}, {"q4_0", DType::kQ4_0, 2}};

bool is_head(const std::string& name) { return name == "head.weight" || name == "lm_head.weight"; }
bool is_embedding(const std::string& name) { return name == "emb.weight" || name == "backbone.embeddings.weight"; }

Tensor converted(const Tensor& tensor, DType dtype, const std::string& name) {
  if (tensor.dtype() == dtype) return tensor;
  try {
    const Tensor plain = is_quantized(tensor.dtype()) ? dequantized(tensor, is_quantized(dtype) ? DType::kF32 : dtype) : tensor;
    return is_quantized(dtype) ? quantized(plain, dtype) : plain.to(dtype);
  } catch (const Error& error) {
    throw Error(error.kind(), "tensor " + printable(name) + ": " + error.what());
  }
}

// The type of a tensor in the new file.
DType stored_type(const GgufPiece& piece, const std::optional<DType>& wanted, bool to_gguf) {
  const DType own = piece.tensor.dtype;
  switch (piece.role) {
    case TensorRole::kVector: return DType::kF32;
    case TensorRole::kLowRank: return !wanted || is_quantized(*wanted) ? DType::kF16 : *wanted;
    case TensorRole::kMatrix: break;
  }
  if (wanted) return type_of_matrix(piece.source_name, piece.tensor.shape, *wanted);
  const bool fits = is_float(own) || (to_gguf && is_quantized(own));
  return fits && own != DType::kF64 ? own : DType::kF16;
}

DeferredTensor with_type(const GgufPiece& piece, DType dtype) {
  return {piece.tensor.name, piece.tensor.shape, dtype,
          [make = piece.tensor.make, dtype, name = piece.source_name] { return converted(make(), dtype, name); }};
}

// Each tensor reports when it is made, and asks whether to go on.
void watch(std::vector<DeferredTensor>& tensors, const ConvertOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const int count = static_cast<int>(tensors.size());
  for (int i = 0; i < count; ++i) {
    auto& make = tensors[static_cast<size_t>(i)].make;
    make = [make, i, count, begin, &options] {
      options.cancel.throw_if_cancelled();
      if (options.progress) {
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        options.progress({.stage = "convert", .step = i, .steps = count, .seconds = seconds});
      }
      return make();
    };
  }
}

// ---- GGUF --------------------------------------------------------------------------------------------------------------------------

Keys tokenizer_keys(const ModelSource& source, const fs::path& folder) {
  if (!source.gguf) {
    Keys keys = gguf_tokenizer_keys(
        folder, source.checkpoint.shape_of(source.family.starts_with("rwkv") ? "emb.weight" : "backbone.embeddings.weight")[0]);
    if (const std::string text = read_chat_template(folder); !text.empty()) keys.emplace_back("tokenizer.chat_template", text);
    return keys;
  }
  Keys keys;
  for (const auto& [key, value] : source.gguf->metadata()) {
    if (key.starts_with("tokenizer.")) keys.emplace_back(key, value);
  }
  return keys;
}

uint32_t file_type_of(DType type) {
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NamedType& t) { return t.type == type; });
  return found == std::end(kTypes) ? 1 : found->file_type;
}

void write_as_gguf(const ModelSource& source, const fs::path& in, const fs::path& out, const ConvertOptions& options) {
  std::vector<DeferredTensor> tensors;
  DType most = DType::kF32;
  for (const GgufPiece& piece : gguf_pieces(source)) {
    const DType type = stored_type(piece, options.type, /*to_gguf=*/true);
    tensors.push_back(with_type(piece, type));
    if (piece.role == TensorRole::kMatrix && !is_embedding(piece.source_name) && !is_head(piece.source_name)) most = type;
  }
  Keys keys = gguf_keys(source);
  keys.emplace_back("general.name", to_valid_utf8(in.stem().string()));
  keys.emplace_back("general.file_type", file_type_of(most));
  keys.emplace_back("general.quantization_version", uint32_t{2});
  const fs::path parent = fs::is_directory(in) ? in : in.parent_path();
  const Keys tokenizer = options.tokenizer ? tokenizer_keys(source, parent.empty() ? fs::path(".") : parent) : Keys{};
  keys.insert(keys.end(), tokenizer.begin(), tokenizer.end());
  if (tokenizer.empty()) keys.emplace_back("tokenizer.ggml.model", std::string("none"));
  watch(tensors, options);
  stream_gguf(out, keys, tensors);
}

// ---- safetensors -------------------------------------------------------------------------------------------------------------------

// The authors' name and layout of a tensor that a GGUF file has otherwise.
GgufPiece as_the_authors(const std::string& name, const Tensor& stored) {
  const auto piece = [&](const std::string& own, TensorRole role, Shape shape, DType dtype, std::function<Tensor()> make) {
    return GgufPiece{{own, shape, dtype, std::move(make)}, role, name};
  };
  if (name.ends_with(".T")) {
    const std::string own = name.substr(0, name.size() - 2);
    const int rank = stored.rank();
    Shape shape = stored.shape();
    std::swap(shape[rank - 1], shape[rank - 2]);
    return piece(own, TensorRole::kLowRank, shape, DType::kF32, [stored, shape] { return with_last_axes_swapped(stored, shape); });
  }
  if (name.ends_with("mixer.A")) {
    const Shape shape = stored.dim(-1) == 1 ? Shape{stored.dim(0)} : stored.shape();
    return piece(name + "_log", TensorRole::kVector, shape, DType::kF32, [stored, shape] {
      const Tensor rates = converted(stored, DType::kF32, "A"), result(shape, DType::kF32);
      for (int64_t i = 0; i < rates.elements(); ++i) result.data<float>()[i] = std::log(-rates.data<float>()[i]);
      return result;
    });
  }
  const TensorRole role = is_low_rank(name)                 ? TensorRole::kLowRank
                          : is_matrix(name, stored.shape()) ? TensorRole::kMatrix
                                                            : TensorRole::kVector;
  const Shape shape = name.ends_with("mixer.D") ? Shape{stored.elements()} : stored.shape();
  return piece(name, role, shape, stored.dtype(),
               [stored, shape] { return is_quantized(stored.dtype()) ? stored : stored.reshape(shape); });
}

void write_as_safetensors(const ModelSource& source, const fs::path& out, const ConvertOptions& options) {
  if (source.config.contains("rescaled_every")) {
    throw Error(ErrorKind::kModel,
                source.checkpoint.source().string() + ": its weights were rescaled for 16 bits, which only GGUF can say");
  }
  std::vector<DeferredTensor> tensors;
  for (const auto& [name, tensor] : source.checkpoint.tensors()) {
    const GgufPiece piece = as_the_authors(name, tensor);
    tensors.push_back(with_type(piece, stored_type(piece, options.type, /*to_gguf=*/false)));
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!source.config.empty()) metadata[kConfigKey] = source.config.dump();
  watch(tensors, options);
  stream_safetensors(out, tensors, metadata);
}

}  // namespace

DType parse_weight_type(const std::string& option, const std::string& name) {
  std::string list;
  for (const NamedType& type : kTypes) {
    if (strcasecmp(name.c_str(), type.name) == 0) return type.type;  // files' names have them in capitals
    list += (list.empty() ? "" : ", ") + std::string(type.name);
  }
  throw Error(ErrorKind::kUsage, option + ": unknown type '" + printable(name) + "'", "one of " + list);
}

bool is_matrix(const std::string& name, const Shape& shape) {
  return shape.rank() == 2 && name.ends_with(".weight") && !name.ends_with("conv1d.weight") && shape[0] > 1 && shape[1] > 1;
}

DType type_of_matrix(const std::string& name, const Shape& shape, DType wanted) {
  if (!is_quantized(wanted)) return wanted;
  // The tied matrix of Mamba is a head as well; both ends of a model bear coarse steps least.
  const bool end = is_head(name) || name == "backbone.embeddings.weight";
  const DType type = end && wanted != DType::kQ8_0 ? DType::kQ6_K : wanted;
  if (shape[-1] % block_elements(type) == 0) return type;
  return shape[-1] % block_elements(DType::kQ8_0) == 0 ? DType::kQ8_0 : DType::kF16;
}

ModelSource quantized_source(const ModelSource& source, DType wanted) {
  ModelSource result = source;
  std::map<std::string, Tensor> tensors = source.checkpoint.tensors();
  for (auto& [name, tensor] : tensors) {
    if (is_matrix(name, tensor.shape())) tensor = converted(tensor, type_of_matrix(name, tensor.shape(), wanted), name);
  }
  result.checkpoint = Checkpoint::of_tensors(source.checkpoint.source(), tensors);
  return result;
}

void convert_language_model(const fs::path& in, const fs::path& out, const ConvertOptions& options) {
  const std::string ending = out.extension().string();
  if (ending != ".gguf" && ending != ".safetensors") {
    throw Error(ErrorKind::kUsage, out.string() + ": expected a name that ends in .gguf or .safetensors");
  }
  if (ending == ".safetensors" && options.type && is_quantized(*options.type)) {
    throw Error(ErrorKind::kUsage, "safetensors cannot hold " + std::string(name_of(*options.type)), "write to a .gguf file");
  }
  check_output_path(out);
  const ModelSource source = open_model_source(in);
  std::error_code error;
  if (fs::equivalent(source.checkpoint.source(), out, error)) {
    throw Error(ErrorKind::kUsage, out.string() + ": is the model that is read; name another file");
  }
  ending == ".gguf" ? write_as_gguf(source, in, out, options) : write_as_safetensors(source, out, options);
}

}  // namespace linea
