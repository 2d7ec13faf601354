// The formats that language models are published in: each gives the reference's logits. Data: tests/golden/make_lm_gguf.py,
// make_lm_rwkv.py and make_lm_mamba.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <optional>

#include "core/gguf.h"
#include "core/json.h"
#include "lm/load.h"
#include "lm/model_folder.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using test::data_path;
using test::Golden;
using test::relative_l2;
using test::TestContext;
using testing::HasSubstr;

using Tensors = std::map<std::string, Tensor>;

Tensors tensors_of(const std::string& name) { return SafetensorsFile(data_path("lm/" + name + "/model.safetensors")).tensors(); }

Tensor logits_of(Context& ctx, const LanguageModel& model, const std::vector<int32_t>& ids) {
  const Tensor logits({static_cast<int64_t>(ids.size()), model.vocabulary_size()}, DType::kF32, test::test_device());
  State state = model.initial_state(ctx);
  model.prefill(ctx, ids, state, logits);
  return logits.to(kCpuDevice);
}

std::vector<int32_t> golden_ids(const Golden& golden) {
  const Tensor ids = golden["ids"];
  return {ids.data<int32_t>(), ids.data<int32_t>() + ids.elements()};
}

// The error of a model's logits over the golden tokens.
double error_of_model(const fs::path& path, const std::string& name, const std::string& family) {
  TestContext ctx;
  const LanguageModelFolder folder = open_language_model(*ctx, path);
  EXPECT_EQ(folder.family, family);
  const Golden golden("lm/" + name + "/golden.safetensors");
  return relative_l2(logits_of(*ctx, *folder.model, golden_ids(golden)), golden["logits"]);
}

std::string error_of(const fs::path& path) {
  try {
    TestContext ctx;
    open_language_model(*ctx, path);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(LanguageModelFormats, Gguf) {
  for (const auto& [name, family] : std::vector<std::pair<std::string, std::string>>{
           {"rwkv7", "rwkv7"}, {"rwkv6", "rwkv6"}, {"mamba1", "mamba"}, {"mamba2", "mamba2"}}) {
    EXPECT_LE(error_of_model(data_path("lm/" + name + "/model.gguf"), name, family), 1e-4) << name;
  }
}

TEST(LanguageModelFormats, Transformers) { EXPECT_LE(error_of_model(data_path("lm/rwkv4_hf"), "rwkv4_hf", "rwkv4"), 1e-4); }

std::string replaced(std::string text, const std::vector<std::pair<std::string, std::string>>& pairs) {
  for (const auto& [from, to] : pairs) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
  }
  return text;
}

double error_of_tensors(const Tensors& tensors, const std::string& name, const std::string& family, const Json& config = Json::object()) {
  const test::TemporaryFolder folder;
  write_safetensors(folder.path() / "model.safetensors", {tensors.begin(), tensors.end()});
  folder.write("config.json", config.dump());
  return error_of_model(folder.path(), name, family);
}

TEST(LanguageModelFormats, TransformersNamesOfRwkv5And6) {
  const std::vector<std::pair<std::string, std::string>> words = {{"emb.", "embeddings."},
                                                                  {".att.", ".attention."},
                                                                  {".ffn.", ".feed_forward."},
                                                                  {"blocks.0.ln0", "blocks.0.pre_ln"},
                                                                  {"time_mix_k", "time_mix_key"},
                                                                  {"time_mix_v", "time_mix_value"},
                                                                  {"time_mix_r", "time_mix_receptance"},
                                                                  {"time_mix_g", "time_mix_gate"}};
  for (const std::string name : {"rwkv5.2", "rwkv5.0", "rwkv6"}) {
    Tensors renamed;
    for (const auto& [own, tensor] : tensors_of(name)) renamed[(own == "head.weight" ? "" : "rwkv.") + replaced(own, words)] = tensor;
    EXPECT_LE(error_of_tensors(renamed, name, name.substr(0, 5)), 1e-4) << name;
  }
}

Tensor transposed(const Tensor& matrix) {
  const Tensor source = matrix.to(DType::kF32);
  Tensor result({source.dim(1), source.dim(0)}, DType::kF32);
  for (int64_t i = 0; i < source.elements(); ++i) {
    result.data<float>()[i % source.dim(1) * source.dim(0) + i / source.dim(1)] = source.data<float>()[i];
  }
  return result;
}

// flash-linear-attention's names and layouts of RWKV-7, with the six mixes apart or stacked.
Tensors fla_tensors(bool stacked) {
  const std::vector<std::pair<std::string, std::string>> words = {{"emb.weight", "model.embeddings.weight"},
                                                                  {"head.weight", "lm_head.weight"},
                                                                  {"ln_out.", "model.norm."},
                                                                  {"blocks.", "model.layers."},
                                                                  {".ln0.", ".pre_norm."},
                                                                  {".ln1.", ".attn_norm."},
                                                                  {".ln2.", ".ffn_norm."},
                                                                  {".att.ln_x.", ".attn.g_norm."},
                                                                  {".att.receptance.", ".attn.r_proj."},
                                                                  {".att.key.", ".attn.k_proj."},
                                                                  {".att.value.", ".attn.v_proj."},
                                                                  {".att.output.", ".attn.o_proj."},
                                                                  {".att.", ".attn."}};
  Tensors result;
  std::map<std::string, std::vector<float>> rows;
  for (const auto& [own, tensor] : tensors_of("rwkv7")) {
    const std::string name = replaced(own, words), leaf = own.substr(own.rfind('.') + 1);
    const std::string prefix = name.substr(0, name.rfind('.') + 1);
    if (leaf.size() == 2 && (leaf[1] == '1' || leaf[1] == '2')) {
      result[prefix + leaf[0] + "_lora.lora." + (leaf[1] == '1' ? "0" : "2") + ".weight"] = transposed(tensor);
    } else if (leaf.size() == 2 && leaf[1] == '0') {
      result[prefix + leaf[0] + "_lora.lora.2.bias"] = tensor.reshape({tensor.elements()});
    } else {
      result[name] = tensor;
    }
  }
  for (int i = 0; stacked && i < 3; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".attn.x_";
    Tensor all({6, 1, 1, 48}, DType::kF32);
    for (int64_t j = 0; j < 6; ++j) {
      const Tensor row = result.at(prefix + "rwkvag"[j]).to(DType::kF32);
      std::copy_n(row.data<float>(), 48, all.data<float>() + j * 48);
      result.erase(prefix + "rwkvag"[j]);
    }
    result[prefix + "x"] = all;
  }
  return result;
}

TEST(LanguageModelFormats, FlashLinearAttentionsNamesOfRwkv7) {
  const Json config = {{"model_type", "rwkv7"}, {"head_dim", 16}, {"norm_eps", 4e-5}};  // the norm over heads takes their product, 64e-5
  for (const bool stacked : {false, true}) EXPECT_LE(error_of_tensors(fla_tensors(stacked), "rwkv7", "rwkv7", config), 1e-4);
  EXPECT_GT(error_of_tensors(fla_tensors(false), "rwkv7", "rwkv7", {{"head_dim", 16}, {"norm_eps", 1.0}}), 1e-2);
}

TEST(LanguageModelFormats, PrefixesOfTrainingFrameworks) {
  Tensors renamed;
  for (const auto& [own, tensor] : tensors_of("rwkv7")) renamed["module." + own] = tensor;
  EXPECT_LE(error_of_tensors(renamed, "rwkv7", "rwkv7"), 1e-4);
}

TEST(LanguageModelFormats, HashTellsWeightsApart) {
  TestContext ctx;
  const auto hash = [&](const fs::path& path) { return open_language_model(*ctx, path).content_hash; };
  const std::string first = hash(data_path("lm/rwkv7/model.safetensors"));
  EXPECT_EQ(first.size(), 16u);
  EXPECT_EQ(hash(data_path("lm/rwkv7/model.safetensors")), first);
  EXPECT_NE(hash(data_path("lm/rwkv6/model.safetensors")), first);
  Tensors changed = tensors_of("rwkv7");
  const Tensor head = changed.at("head.weight").to(DType::kF32);
  head.data<float>()[0] += 1;
  changed["head.weight"] = head.to(DType::kBF16);
  const test::TemporaryFolder folder;
  write_safetensors(folder.path() / "model.safetensors", {changed.begin(), changed.end()});
  EXPECT_NE(hash(folder.path()), first);
}

TEST(LanguageModelFormats, TokenizersLieBesideTheWeights) {
  const test::TemporaryFolder folder;
  fs::copy_file(data_path("lm/rwkv7/model.safetensors"), folder.path() / "model.safetensors");
  {
    TestContext ctx;
    EXPECT_EQ(open_language_model(*ctx, folder.path()).tokenizer, nullptr);
  }
  fs::copy_file(data_path("lm/world/vocabulary.txt"), folder.path() / "rwkv_vocab_v20230424.txt");
  EXPECT_THAT(error_of(folder.path()), HasSubstr("its tokenizer has 304 tokens, the model only 61"));
}

TEST(LanguageModelFormats, NamesWhatIsWrongInGguf) {
  const GgufFile file(data_path("lm/rwkv7/model.gguf"));
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "changed.gguf";
  const auto error_with = [&](const std::string& key, const std::optional<GgufValue>& value, const std::string& dropped = {}) {
    std::vector<std::pair<std::string, GgufValue>> metadata;
    for (const auto& [name, old] : file.metadata()) {
      if (name != key && name != "general.alignment") metadata.emplace_back(name, old);
    }
    if (value) metadata.emplace_back(key, *value);
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const auto& [name, tensor] : file.tensors()) {
      if (name != dropped) tensors.emplace_back(name, tensor);
    }
    write_gguf(path, metadata, tensors);
    return error_of(path);
  };
  EXPECT_EQ(error_with("general.name", std::string("x")), "no error");
  EXPECT_THAT(error_with("general.architecture", std::string("llama")), HasSubstr("architecture \"llama\" is not supported"));
  EXPECT_THAT(error_with("general.architecture", std::nullopt), HasSubstr("general.architecture"));
  EXPECT_THAT(error_with("rwkv7.wkv.head_size", std::nullopt), HasSubstr("rwkv7.wkv.head_size"));
  EXPECT_THAT(error_with("rwkv7.wkv.head_size", uint32_t{0}), HasSubstr("rwkv7.wkv.head_size"));
  EXPECT_THAT(error_with("rwkv7.wkv.head_size", uint32_t{7}), HasSubstr("changed.gguf"));
  EXPECT_THAT(error_with("rwkv7.attention.layer_norm_epsilon", 1e-3f), HasSubstr("layer_norm_epsilon"));
  EXPECT_THAT(error_with("tokenizer.ggml.model", std::string("bert")), testing::AnyOf(HasSubstr("no error"), HasSubstr("bert")));
  for (const auto& [name, tensor] : file.tensors()) {
    if (name.find("blk.0.time_mix_v") == std::string::npos || name.find("value") != std::string::npos) {  // copies that mean nothing
      EXPECT_NE(error_with("general.name", std::string("x"), name), "no error") << name;
    }
  }
}

}  // namespace
}  // namespace linea
