// linea convert: formats and types of language models.
#include "lm/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "core/gguf.h"
#include "core/quantized.h"
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

const char* const kModels[] = {"rwkv7", "rwkv6", "rwkv5.2", "rwkv5.0", "rwkv4", "rwkv4_hf", "mamba1", "mamba2"};

Tensor logits_of(const fs::path& path, const std::vector<int32_t>& ids, const LanguageModelOptions& options = {}) {
  TestContext ctx;
  const LanguageModelFolder folder = open_language_model(*ctx, path, options);
  const Tensor logits({static_cast<int64_t>(ids.size()), folder.model->vocabulary_size()}, DType::kF32, test::test_device());
  State state = folder.model->initial_state(*ctx);
  folder.model->prefill(*ctx, ids, state, logits);
  return logits.to(kCpuDevice);
}

double error_of_model(const fs::path& path, const std::string& name) {
  const Golden golden("lm/" + name + "/golden.safetensors");
  const Tensor ids = golden["ids"];
  return relative_l2(logits_of(path, {ids.data<int32_t>(), ids.data<int32_t>() + ids.elements()}), golden["logits"]);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// To GGUF, from there to safetensors, and back to GGUF: every step computes the same.
TEST(Convert, EveryFormatGivesTheReferencesLogits) {
  for (const std::string name : kModels) {
    const test::TemporaryFolder folder;
    const fs::path first = folder.path() / "a.gguf", second = folder.path() / "b.safetensors", third = folder.path() / "c.gguf";
    convert_language_model(data_path("lm/" + name), first, {.type = DType::kF32});
    EXPECT_LE(error_of_model(first, name), 1e-4) << name;
    convert_language_model(first, second, {.type = DType::kF32});
    EXPECT_LE(error_of_model(second, name), 1e-4) << name;
    convert_language_model(second, third, {.type = DType::kF32});
    EXPECT_LE(error_of_model(third, name), 1e-4) << name;
    EXPECT_EQ(GgufFile(third).tensors().size(), GgufFile(first).tensors().size()) << name;
  }
}

TEST(Convert, SixteenBitsAndTypesAsTheyAre) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "model.gguf";
  for (const auto& [type, error] :
       std::map<std::optional<DType>, double>{{std::nullopt, 1e-3}, {DType::kBF16, 3e-3}, {DType::kF16, 1e-3}}) {
    convert_language_model(data_path("lm/rwkv7"), path, {.type = type});
    EXPECT_LE(error_of_model(path, "rwkv7"), error);
    EXPECT_EQ(GgufFile(path).tensors().at("blk.1.time_mix_key.weight").dtype(), type.value_or(DType::kBF16));
    EXPECT_EQ(GgufFile(path).tensors().at("blk.1.time_mix_w0.weight").dtype(), DType::kF32);
  }
}

TEST(Convert, TheSameInputGivesTheSameBytes) {
  const test::TemporaryFolder folder;
  for (const char* name : {"a.gguf", "b.gguf"})
    convert_language_model(data_path("lm/mamba2"), folder.path() / name, {.type = DType::kQ8_0});
  EXPECT_EQ(bytes_of(folder.path() / "a.gguf"), bytes_of(folder.path() / "b.gguf"));
}

// ---- A model wide enough for blocks ------------------------------------------------------------------------------------------------

// RWKV-7 of 256 channels, or Mamba-2, with random weights.
std::map<std::string, Tensor> wide_rwkv7() {
  std::map<std::string, Tensor> tensors;
  uint64_t seed = 0;
  constexpr int64_t C = 256, F = 512, V = 300, H = 4;
  const auto put = [&](const std::string& name, Shape shape, float scale, float mean = 0) {
    const Tensor t = test::random_tensor(shape, ++seed, DType::kF32, scale);
    for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] += mean;
    tensors[name] = t;
  };
  const auto norm = [&](const std::string& name) { put(name + ".weight", {C}, 0.2f, 1), put(name + ".bias", {C}, 0.2f); };
  put("emb.weight", {V, C}, 1), put("head.weight", {V, C}, 0.06f);
  norm("blocks.0.ln0"), norm("ln_out");
  for (const std::string b : {"blocks.0.", "blocks.1."}) {
    norm(b + "ln1"), norm(b + "ln2"), norm(b + "att.ln_x");
    for (const std::string n : {"r", "w", "k", "v", "a", "g"}) put(b + "att.x_" + n, {1, 1, C}, 0.3f, 0.5f);
    for (const std::string n : {"receptance", "key", "value", "output"}) put(b + "att." + n + ".weight", {C, C}, 0.06f);
    for (const auto& [n, rank] : std::map<std::string, int64_t>{{"w", 24}, {"a", 16}, {"v", 40}, {"g", 32}}) {
      if (n == "v" && b == "blocks.0.") continue;
      put(b + "att." + n + "1", {C, rank}, 0.06f), put(b + "att." + n + "2", {rank, C}, 0.2f);
      if (n != "g") put(b + "att." + n + "0", {1, 1, C}, 1, n == "w" ? -2.0f : 0.0f);
    }
    put(b + "att.k_k", {1, 1, C}, 0.2f, 0.85f), put(b + "att.k_a", {1, 1, C}, 0.2f, 1), put(b + "att.r_k", {H, C / H}, 0.3f);
    put(b + "ffn.x_k", {1, 1, C}, 0.3f, 0.5f), put(b + "ffn.key.weight", {F, C}, 0.06f), put(b + "ffn.value.weight", {C, F}, 0.05f);
  }
  return tensors;
}

class WideModel : public testing::Test {
 protected:
  WideModel() {
    const auto tensors = wide_rwkv7();
    write_safetensors(path("model.safetensors"), {tensors.begin(), tensors.end()});
    for (int32_t i = 0; i < 40; ++i) ids_.push_back(i * 7 % 300);
  }
  fs::path path(const std::string& name) const { return folder_.path() / name; }

  const test::TemporaryFolder folder_;
  std::vector<int32_t> ids_;
};

// The quantised file against the same values in f32: products use blocks as they are, to 15 bits of activations.
TEST_F(WideModel, QuantisedMatricesGiveTheLogitsOfTheirValues) {
  for (const DType type : {DType::kQ8_0, DType::kQ6_K, DType::kQ5_K, DType::kQ4_K, DType::kQ4_0}) {
    convert_language_model(path("model.safetensors"), path("quantised.gguf"), {.type = type});
    const GgufFile file(path("quantised.gguf"));
    EXPECT_EQ(file.tensors().at("blk.1.channel_mix_key.weight").dtype(), type);
    EXPECT_EQ(file.tensors().at("output.weight").dtype(), type == DType::kQ8_0 ? type : DType::kQ6_K);
    std::vector<std::pair<std::string, GgufValue>> metadata;
    for (const auto& pair : file.metadata()) metadata.push_back(pair);
    std::vector<std::pair<std::string, Tensor>> plain;
    for (const auto& [name, tensor] : file.tensors()) {
      plain.emplace_back(name, is_quantized(tensor.dtype()) ? dequantized(tensor, DType::kF32) : tensor);
    }
    write_gguf(path("plain.gguf"), metadata, plain);
    const Tensor expected = logits_of(path("plain.gguf"), ids_), found = logits_of(path("quantised.gguf"), ids_);
    EXPECT_LE(relative_l2(found, expected), 1e-4) << name_of(type);
    EXPECT_LE(relative_l2(found, logits_of(path("model.safetensors"), ids_)), type == DType::kQ8_0 ? 0.03 : 0.4) << name_of(type);
  }
}

TEST_F(WideModel, QuantisingWhileLoadingIsTheSame) {
  for (const DType type : {DType::kQ8_0, DType::kQ4_K}) {
    convert_language_model(path("model.safetensors"), path("quantised.gguf"), {.type = type});
    const Tensor loaded = logits_of(path("model.safetensors"), ids_, {.quantize = type}),
                 converted = logits_of(path("quantised.gguf"), ids_);
    EXPECT_LE(relative_l2(loaded, converted), 2e-3) << name_of(type);  // the file's low-rank matrices have 16 bits
  }
}

TEST_F(WideModel, SplitsOfATextAgreeWithQuantisedWeights) {
  convert_language_model(path("model.safetensors"), path("quantised.gguf"), {.type = DType::kQ4_K});
  TestContext ctx;
  const LanguageModelFolder folder = open_language_model(*ctx, path("quantised.gguf"));
  const Tensor whole = logits_of(path("quantised.gguf"), ids_).slice(0, 39, 1);
  for (const size_t piece : {1, 5, 13}) {
    State state = folder.model->initial_state(*ctx);
    const Tensor logits({1, 300}, DType::kF32, test::test_device());
    for (size_t at = 0; at < ids_.size(); at += piece) {
      folder.model->prefill(*ctx, std::span(ids_).subspan(at, std::min(piece, ids_.size() - at)), state, logits);
    }
    EXPECT_LE(relative_l2(logits.to(kCpuDevice), whole), 1e-4) << piece;  // roundings of activations to 15 bits differ
  }
}

TEST_F(WideModel, CarriesTokenizerAndTemplate) {
  fs::copy_file(data_path("lm/bpe/tokenizer.json"), path("tokenizer.json"));
  folder_.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>", "chat_template": "{{ messages }}"})");
  EXPECT_THROW(convert_language_model(path("model.safetensors"), path("m.gguf"), {}), Error);  // more tokens than the model has rows
  fs::remove(path("tokenizer.json"));
  fs::remove(path("tokenizer_config.json"));
  fs::copy_file(data_path("lm/world/vocabulary.txt"), path("rwkv_vocab.txt"));
  EXPECT_THROW(convert_language_model(path("model.safetensors"), path("m.gguf"), {}), Error);
  convert_language_model(path("model.safetensors"), path("m.gguf"), {.tokenizer = false});
  EXPECT_FALSE(GgufFile(path("m.gguf")).contains("tokenizer.ggml.tokens"));

  // A narrow model with rows enough.
  std::map<std::string, Tensor> tensors = wide_rwkv7();
  for (const char* name : {"emb.weight", "head.weight"}) tensors[name] = test::random_tensor({1600, 256}, 9);
  const test::TemporaryFolder other;
  write_safetensors(other.path() / "model.safetensors", {tensors.begin(), tensors.end()});
  for (const bool world : {true, false}) {
    fs::remove(other.path() / "rwkv_vocab.txt");
    if (world) {
      fs::copy_file(data_path("lm/world/vocabulary.txt"), other.path() / "rwkv_vocab.txt");
    } else {
      fs::copy_file(data_path("lm/bpe/tokenizer.json"), other.path() / "tokenizer.json");
      other.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>", "chat_template": "{{ messages }}"})");
    }
    TestContext ctx;
    const LanguageModelFolder before = open_language_model(*ctx, other.path());
    convert_language_model(other.path(), path("t.gguf"), {.type = DType::kQ8_0});
    const LanguageModelFolder after = open_language_model(*ctx, path("t.gguf"));
    ASSERT_TRUE(after.tokenizer);
    EXPECT_EQ(after.chat_template, world ? "" : "{{ messages }}");
    EXPECT_EQ(after.stop_ids, std::vector<int32_t>{0});
    EXPECT_EQ(after.stop_ids, before.stop_ids);
    for (const std::string text : {"It's a \"test\":\n\n\t42  caf\u00e9 \u4f60\u597d \\x \U0001F600", "  ", "\r\n'"}) {
      EXPECT_EQ(after.tokenizer->encode(text), before.tokenizer->encode(text));
      EXPECT_EQ(after.tokenizer->decode(after.tokenizer->encode(text)), text);
    }
  }
}

TEST(Convert, RefusesWhatCannotBe) {
  const test::TemporaryFolder folder;
  const auto error_of = [&](const fs::path& in, const std::string& out, const ConvertOptions& options) -> std::string {
    try {
      convert_language_model(in, folder.path() / out, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const fs::path model = data_path("lm/rwkv7");
  EXPECT_THAT(error_of(model, "x.bin", {}), HasSubstr("ends in .gguf or .safetensors"));
  EXPECT_THAT(error_of(model, "x.safetensors", {.type = DType::kQ8_0}), HasSubstr("safetensors cannot hold"));
  EXPECT_THAT(error_of(model, "absent/x.gguf", {}), HasSubstr("absent"));
  EXPECT_THAT(error_of(data_path("lm/absent"), "x.gguf", {}), HasSubstr("no such file"));
  EXPECT_THAT(error_of(data_path("lm/mamba2_groups"), "x.gguf", {}), HasSubstr("has no place in GGUF's mamba2"));
  convert_language_model(model, folder.path() / "x.gguf", {});
  EXPECT_THAT(error_of(folder.path() / "x.gguf", "x.gguf", {}), HasSubstr("is the model that is read"));
  EXPECT_THROW(parse_weight_type("--type", "q3"), Error);
  EXPECT_EQ(parse_weight_type("--type", "q4_k"), DType::kQ4_K);
  EXPECT_EQ(parse_weight_type("--type", "Q4_K"), DType::kQ4_K);
  EXPECT_TRUE(fs::exists(folder.path() / "x.gguf"));
  for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path().filename(), "x.gguf");
}

TEST(Convert, StopsWhenAskedTo) {
  const test::TemporaryFolder folder;
  ConvertOptions options;
  int seen = 0;
  options.progress = [&](const Progress& p) { seen = p.steps; };
  convert_language_model(data_path("lm/rwkv7"), folder.path() / "x.gguf", options);
  EXPECT_GT(seen, 60);
}

}  // namespace
}  // namespace linea
