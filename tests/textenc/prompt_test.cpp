// From prompt to embeddings against SanaPipeline.encode_prompt. Data: tests/golden/make_textenc_prompt.py.
#include "textenc/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"
#include "textenc/text_encoder.h"

namespace linea {
namespace {

using test::data_path;
using test::Golden;
using test::relative_l2;
using test::TestContext;
using testing::HasSubstr;

const Json& golden_cases() {
  static const Json kCases = read_json_file(data_path("textenc/prompt.json"));
  return kCases;
}

std::string instruction_of(const Json& one) {
  return one["instruction"].is_null() ? "" : golden_cases()["instructions"][one["instruction"].get<std::string>()].get<std::string>();
}

std::string prompt_of(const std::string& name) { return golden_cases()["prompts"][name].get<std::string>(); }

template <class T> std::vector<T> values_of(const Tensor& t) { return {t.data<T>(), t.data<T>() + t.elements()}; }

TEST(Prompt, IdsMaskAndEmbeddingsAreThePipelines) {
  const Golden golden("textenc/prompt.safetensors");
  TestContext ctx;
  TextEncoder encoder = TextEncoder::load(*ctx, data_path("textenc"));
  for (const Json& one : golden_cases()["cases"]) {
    const std::string name = one["name"];
    SCOPED_TRACE(name);
    encoder.set_instruction(instruction_of(one));
    const PromptEmbedding found = encoder.encode(*ctx, prompt_of(one["prompt"]), one["negative"].get<bool>());
    EXPECT_EQ(found.ids, values_of<int32_t>(golden[name + ".ids"]));
    EXPECT_EQ(found.mask, values_of<uint8_t>(golden[name + ".mask"]));
    EXPECT_LE(relative_l2(found.embeddings.to(kCpuDevice), golden[name + ".embeddings"]), 1e-5);
    EXPECT_EQ(found.cut > 0, one["prompt"] == "long");
  }
}

TEST(Prompt, BFloat16StaysCloseToFloat32) {
  const Golden golden("textenc/prompt.safetensors");
  TestContext ctx(DType::kBF16);
  TextEncoder encoder = TextEncoder::load(*ctx, data_path("textenc"));
  for (const Json& one : golden_cases()["cases"]) {
    const std::string name = one["name"];
    encoder.set_instruction(instruction_of(one));
    const PromptEmbedding found = encoder.encode(*ctx, prompt_of(one["prompt"]), one["negative"].get<bool>());
    EXPECT_EQ(found.embeddings.dtype(), DType::kBF16);
    EXPECT_LE(relative_l2(found.embeddings.to(kCpuDevice), golden[name + ".embeddings"]), 1e-2) << name;
  }
}

TEST(Prompt, CutTellsHowManyTokensWereDropped) {
  const auto tokenizer = load_tokenizer(data_path("textenc/tokenizer"));
  const std::string prompt = prompt_of("long"), instruction = golden_cases()["instructions"]["short"];
  const size_t whole = tokenizer->encode(preprocess_prompt(prompt)).size();
  ASSERT_GT(whole, 300u);
  const PromptTokens plain = prepare_prompt(*tokenizer, "", prompt);
  EXPECT_EQ(plain.cut, whole - 300);
  EXPECT_EQ(plain.input.size(), 300u);
  EXPECT_EQ(plain.kept.size(), 300u);
  const PromptTokens instructed = prepare_prompt(*tokenizer, instruction, prompt);
  EXPECT_EQ(static_cast<int64_t>(instructed.input.size()), longest_input(*tokenizer, instruction));
  EXPECT_EQ(instructed.kept.size(), 300u);
  EXPECT_EQ(instructed.kept.back(), instructed.input.size() - 1);
  EXPECT_EQ(prepare_prompt(*tokenizer, instruction, "a cat").cut, 0u);
  // Fewer positions than tokens, without and with an instruction.
  EXPECT_EQ(prepare_prompt(*tokenizer, "", "one two three four", 3).kept, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(prepare_prompt(*tokenizer, "x", "", 2).kept.front(), 0u);
}

TEST(Prompt, PreprocessingLowersThenStrips) {
  EXPECT_EQ(preprocess_prompt("  A Red APPLE\n"), "a red apple");
  EXPECT_EQ(preprocess_prompt("\xff ΑΣ "), "\uFFFD ας");
  EXPECT_EQ(preprocess_prompt(""), "");
}

TEST(TextEncoder, CacheIsBoundedAndKnowsWhatMatters) {
  TestContext ctx;
  TextEncoder encoder = TextEncoder::load(*ctx, data_path("textenc"), {.instruction = "Draw:", .cached_prompts = 2});
  const auto knows = [&](const char* prompt, bool is_negative = false) { return encoder.knows(*ctx, {prompt, is_negative}); };
  EXPECT_FALSE(knows("a cat"));
  const Tensor first = encoder.encode(*ctx, "a cat").embeddings.to(kCpuDevice);
  EXPECT_TRUE(knows("a cat"));
  EXPECT_FALSE(knows("a cat", true));
  EXPECT_TRUE(test::same_bits(encoder.encode(*ctx, "a cat").embeddings.to(kCpuDevice), first));
  const Tensor negative = encoder.encode(*ctx, "a cat", /*is_negative=*/true).embeddings.to(kCpuDevice);
  EXPECT_FALSE(test::same_bits(negative, first));
  encoder.encode(*ctx, "a cat");  // most recently used again
  encoder.encode(*ctx, "a dog");
  EXPECT_TRUE(knows("a cat"));
  EXPECT_TRUE(knows("a dog"));
  EXPECT_FALSE(knows("a cat", true));
  encoder.set_instruction("Paint:");
  EXPECT_FALSE(knows("a cat"));
  EXPECT_FALSE(test::same_bits(encoder.encode(*ctx, "a cat").embeddings.to(kCpuDevice), first));
}

TEST(TextEncoder, KeepsEmbeddingsWhenItsWeightsComeFromElsewhere) {
  TestContext ctx;
  const std::string folder = data_path("textenc/text_encoder");
  TextEncoder encoder = TextEncoder::load(*ctx, data_path("textenc"), {.cached_prompts = 1});
  const Tensor cat = encoder.encode(*ctx, "a cat").embeddings, dog = encoder.encode(*ctx, "a dog").embeddings;
  int loads = 0;
  encoder.replace_weights([&] {
    ++loads;
    return Gemma2::load(*ctx, Checkpoint::open_folder(folder, "model"), Gemma2Config::read(folder + "/config.json"),
                        Gemma2Layers::kStreamed);
  });
  EXPECT_TRUE(test::same_bits(encoder.encode(*ctx, "a dog").embeddings.to(kCpuDevice), dog.to(kCpuDevice)));
  EXPECT_EQ(loads, 0);
  EXPECT_TRUE(test::same_bits(encoder.encode(*ctx, "a cat").embeddings.to(kCpuDevice), cat.to(kCpuDevice)));
  EXPECT_EQ(loads, 1);
}

TEST(TextEncoder, PromptsTogetherAreAsAlone) {
  TestContext ctx;
  TextEncoder alone = TextEncoder::load(*ctx, data_path("textenc"), {.instruction = "Draw:", .cached_prompts = 0});
  TextEncoder encoder = TextEncoder::load(*ctx, data_path("textenc"), {.instruction = "Draw:", .cached_prompts = 8});
  encoder.encode(*ctx, "a dog");
  const TextEncoder::Prompt prompts[] = {{"a red cat on a mat", true}, {"a dog"}, {"a cat"}};
  for (int pass = 0; pass < 2; ++pass) {  // the second time all are known
    const std::vector<PromptEmbedding> found = encoder.encode(*ctx, prompts);
    ASSERT_EQ(found.size(), std::size(prompts));
    for (size_t i = 0; i < found.size(); ++i) {
      const PromptEmbedding expected = alone.encode(*ctx, prompts[i].text, prompts[i].is_negative);
      EXPECT_TRUE(test::same_bits(found[i].embeddings.to(kCpuDevice), expected.embeddings.to(kCpuDevice))) << i;
      EXPECT_EQ(found[i].ids, expected.ids);
      EXPECT_EQ(found[i].mask, expected.mask);
    }
  }
}

TEST(TextEncoder, SoftcapOptionReachesTheModel) {
  TestContext ctx;
  TextEncoder with = TextEncoder::load(*ctx, data_path("textenc"));
  TextEncoder without = TextEncoder::load(*ctx, data_path("textenc"), {.softcap = false});
  EXPECT_GT(relative_l2(without.encode(*ctx, "a cat").embeddings.to(kCpuDevice), with.encode(*ctx, "a cat").embeddings.to(kCpuDevice)),
            0.0);
}

TEST(TextEncoder, PlanCoversTheLongestPrompts) {
  TestContext ctx;
  const std::string instruction = golden_cases()["instructions"]["long"];
  TextEncoder encoder = TextEncoder::load(*ctx, data_path("textenc"), {.instruction = instruction});
  Arena plan = Arena::planning(test::test_device());
  Context planner = *ctx;
  planner.arena = &plan;
  encoder.plan(planner);
  Arena arena(test::test_device(), plan.peak());
  Context runner = *ctx;
  runner.arena = &arena;
  const TextEncoder::Prompt prompts[] = {{prompt_of("long"), true}, {prompt_of("long")}};
  encoder.encode(runner, prompts);
  EXPECT_EQ(arena.peak(), plan.peak());
}

TEST(TextEncoder, NamesWhatIsMissing) {
  TestContext ctx;
  const test::TemporaryFolder folder;
  const auto message = [&] {
    try {
      TextEncoder::load(*ctx, folder.path());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message(), HasSubstr("tokenizer"));
  std::filesystem::copy(data_path("textenc/tokenizer"), folder.path() / "tokenizer");
  EXPECT_THAT(message(), HasSubstr("text_encoder"));
  // A tokenizer that makes ids which the encoder does not have.
  std::filesystem::copy(data_path("textenc/gemma2/one_layer"), folder.path() / "text_encoder");
  TextEncoder encoder = TextEncoder::load(*ctx, folder.path());
  EXPECT_THROW(encoder.encode(*ctx, "a red apple"), Error);
}

TEST(TextEncoder, NeedsAPaddingToken) {
  const test::TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
  try {
    prepare_prompt(*load_tokenizer(folder.path()), "", "ab");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    EXPECT_THAT(error.what(), HasSubstr("padding token"));
  }
  folder.write("tokenizer_config.json", R"({"pad_token": "a"})");
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(prepare_prompt(*tokenizer, "", "ab", 3).ids, (std::vector<int32_t>{2, 0, 0}));
  EXPECT_THROW(prepare_prompt(*tokenizer, "", "", 3), Error);
}

}  // namespace
}  // namespace linea
