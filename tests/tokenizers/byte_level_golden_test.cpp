// Byte-level BPE: 11 000 strings, cut in many ways, against the reference. Data: tests/golden/make_lm_bpe_tokenizer.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>

#include "core/gguf.h"
#include "core/json.h"
#include "tests/support/packed.h"
#include "tests/support/temporary_folder.h"
#include "tokenizers/gguf_tokenizer.h"
#include "tokenizers/hf_tokenizer.h"

namespace linea {
namespace {

using test::data_path;
using test::Golden;

const std::vector<std::string>& strings() {
  static const std::vector<std::string> kStrings = [] {
    std::vector<std::string> all = test::packed_strings(Golden("textenc/tokenizer.safetensors"), "strings");
    for (std::string& text : test::packed_strings(Golden("lm/bpe/golden.safetensors"), "more")) all.push_back(std::move(text));
    return all;
  }();
  return kStrings;
}

Json document() { return read_json_file(data_path("lm/bpe/tokenizer.json")); }

// The reference file with other cuts or another normalizer.
std::unique_ptr<Tokenizer> variant(const std::string& name) {
  Json json = document();
  json.update(read_json_file(data_path("lm/bpe/variants.json")).at(name));
  const test::TemporaryFolder folder;
  folder.write("tokenizer.json", json.dump());
  return load_tokenizer(folder.path());
}

class Fnv {
 public:
  void add(const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) value_ = (value_ ^ static_cast<const unsigned char*>(data)[i]) * 16777619u;
  }
  int32_t value() const { return static_cast<int32_t>(value_); }

 private:
  uint32_t value_ = 2166136261u;
};

void expect_reference(const Tokenizer& tokenizer, const std::string& name) {
  constexpr size_t kGroup = 8;
  const Golden golden("lm/bpe/golden.safetensors");
  const Tensor ids_expected = golden[name + ".ids"], text_expected = golden[name + ".text"];
  ASSERT_EQ(strings().size(), 11'000u);
  int differing = 0;
  for (size_t begin = 0; begin < strings().size() && differing < 4; begin += kGroup) {
    Fnv ids_hash, text_hash;
    for (size_t i = begin; i < begin + kGroup; ++i) {
      const std::vector<int32_t> ids = tokenizer.encode(strings()[i]);
      ids_hash.add(ids.data(), ids.size() * sizeof(int32_t));
      const std::string text = tokenizer.decode(ids);
      text_hash.add(text.data(), text.size());
    }
    const bool same = ids_hash.value() == ids_expected.data<int32_t>()[begin / kGroup];
    EXPECT_TRUE(same) << "ids of strings from " << begin << ": " << testing::PrintToString(strings()[begin]);
    EXPECT_EQ(text_hash.value(), text_expected.data<int32_t>()[begin / kGroup]) << "texts from " << begin;
    differing += !same;
  }
}

class ByteLevelGolden : public testing::TestWithParam<const char*> {};

TEST_P(ByteLevelGolden, IdsAndTextsAreThoseOfTheReference) { expect_reference(*variant(GetParam()), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Variants, ByteLevelGolden,
                         testing::Values("neox", "blank_first", "gpt2_split", "llama3", "qwen2", "o200k", "possessive", "matches_only",
                                         "falcon", "digits", "classes"));

TEST(ByteLevel, TheOlderFormOfTwoFilesIsTheSame) {
  const test::TemporaryFolder folder;
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::filesystem::copy_file(data_path(std::string("lm/bpe/") + name), folder.path() / name);
  }
  const Json json = document();
  Json config = {{"eos_token", "<|endoftext|>"}, {"add_prefix_space", true}};
  for (const Json& token : json["added_tokens"]) config["added_tokens_decoder"][std::to_string(token["id"].get<int>())] = token;
  folder.write("tokenizer_config.json", config.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->special().eos, 0);
  expect_reference(*tokenizer, "blank_first");  // these files know no normalizer
}

TEST(ByteLevel, TokensThatStreamAreBytes) {
  const auto tokenizer = variant("neox");
  for (const std::string text : {"a  b\n\u00e9\u4f60\U0001F600 end", "caf\u00e9"}) {
    std::string bytes;
    for (const int32_t id : tokenizer->encode(text)) bytes += tokenizer->token_bytes(id);
    EXPECT_EQ(bytes, text);
  }
  EXPECT_EQ(tokenizer->token_bytes(0), "");  // <|endoftext|>
  EXPECT_EQ(tokenizer->token_bytes(-1), "");
  EXPECT_EQ(tokenizer->token_bytes(1 << 20), "");
}

TEST(ByteLevel, LongTextsTakeNoQuadraticTime) {
  std::string words, mixed;
  while (words.size() < 100'000) words += "a small red house beside the river, ";
  while (mixed.size() < 100'000) mixed += "\n \t x9\u00e9";
  for (const char* name : {"neox", "llama3", "o200k", "falcon"}) {
    const auto tokenizer = variant(name);
    for (const std::string& text : {words, mixed, std::string(100'000, 'a'), std::string(100'000, ' '), std::string(100'000, '\n')}) {
      const std::clock_t begin = std::clock();  // of the processor: other programs do not count
      const auto ids = tokenizer->encode(text);
      EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 2.0) << name << " " << text.substr(0, 5);
      EXPECT_EQ(tokenizer->decode(ids), text);
    }
  }
}

// ---- GGUF --------------------------------------------------------------------------------------------------------------------------

using Metadata = std::vector<std::pair<std::string, GgufValue>>;

std::unique_ptr<Tokenizer> from_gguf(const Metadata& metadata) {
  const test::TemporaryFolder folder;
  write_gguf(folder.path() / "model.gguf", metadata, {});
  return gguf_tokenizer(GgufFile(folder.path() / "model.gguf"));
}

Metadata neox_metadata() {
  const Json json = document();
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  const auto put = [&](int64_t id, const std::string& piece, int32_t type) {
    if (static_cast<size_t>(id) >= tokens.size()) tokens.resize(static_cast<size_t>(id) + 1), types.resize(tokens.size(), 5);
    tokens[static_cast<size_t>(id)] = piece;
    types[static_cast<size_t>(id)] = type;
  };
  for (const auto& [piece, id] : json["model"]["vocab"].items()) put(id.get<int64_t>(), piece, 1);
  for (const Json& token : json["added_tokens"])
    put(token["id"].get<int64_t>(), token["content"].get<std::string>(), token["special"] ? 3 : 4);
  for (const Json& pair : json["model"]["merges"]) merges.push_back(pair[0].get<std::string>() + " " + pair[1].get<std::string>());
  return {{"tokenizer.ggml.model", std::string("gpt2")},
          {"tokenizer.ggml.pre", std::string("mpt")},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", types},
          {"tokenizer.ggml.merges", merges},
          {"tokenizer.ggml.eos_token_id", uint32_t{0}}};
}

TEST(GgufTokenizer, ByteLevelIsTheTokenizerThatItCameFrom) {
  const auto tokenizer = from_gguf(neox_metadata());
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->special().eos, 0);
  expect_reference(*tokenizer, "neox");
}

TEST(GgufTokenizer, OtherCutsByTheirName) {
  for (const auto& [pre, name] : {std::pair<std::string, std::string>{"llama-bpe", "llama3"}}) {
    Metadata metadata = neox_metadata();
    metadata[1].second = pre;
    expect_reference(*from_gguf(metadata), name);
  }
}

TEST(GgufTokenizer, ScoresMergeAsSentencePieceDoes) {
  const std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "<0x0A>",  "<0xC3>", "<0xA9>", "\u2581",
                                           "a",     "b",   "ab",   "\u2581a", "ba",     "aba"};
  const std::vector<float> scores = {0, 0, 0, 0, 0, 0, -9, -9, -9, -1, -2, -1, -3};
  const std::vector<int32_t> types = {2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1, 1};
  const auto tokenizer = from_gguf({{"tokenizer.ggml.model", std::string("llama")},
                                    {"tokenizer.ggml.tokens", tokens},
                                    {"tokenizer.ggml.scores", scores},
                                    {"tokenizer.ggml.token_type", types},
                                    {"tokenizer.ggml.bos_token_id", uint32_t{1}},
                                    {"tokenizer.ggml.eos_token_id", uint32_t{2}},
                                    {"tokenizer.ggml.unknown_token_id", uint32_t{0}}});
  using testing::ElementsAre;
  EXPECT_THAT(tokenizer->encode("aba"), ElementsAre(1, 6, 12));  // "ab" and "ba" score alike: the left one merges first
  EXPECT_THAT(tokenizer->encode("bab\n"), ElementsAre(1, 6, 11, 8, 3));
  EXPECT_THAT(tokenizer->encode_without_template("\u00e9"), ElementsAre(6, 4, 5));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("ab \u00e9\n")), "ab \u00e9\n");
  EXPECT_EQ(tokenizer->token_bytes(3), "\n");
  EXPECT_EQ(tokenizer->token_bytes(10), " a");
}

TEST(GgufTokenizer, WorldUnescapesItsTokens) {
  std::vector<std::string> tokens = {"<s>"};
  std::vector<int32_t> types = {3};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "\\x%02x", byte);
    tokens.emplace_back(byte >= 0x20 && byte < 0x7f && byte != '\\' ? std::string(1, static_cast<char>(byte)) : text);
  }
  tokens[1 + '\\'] = "\\\\", tokens[1 + '\n'] = "\\n", tokens[1 + '\''] = "\\'";
  tokens.emplace_back("\\xe4\\xbd\\xa0");
  tokens.emplace_back("a\\n\\n");
  tokens.emplace_back("[PAD259]");
  types.resize(tokens.size(), 1);
  types.back() = 5;
  const auto tokenizer = from_gguf({{"tokenizer.ggml.model", std::string("rwkv")},
                                    {"tokenizer.ggml.tokens", tokens},
                                    {"tokenizer.ggml.token_type", types},
                                    {"tokenizer.ggml.eot_token_id", uint32_t{261}}});
  EXPECT_THAT(tokenizer->encode("\u4f60a\n\n\\'"), testing::ElementsAre(257, 258, 1 + '\\', 1 + '\''));
  EXPECT_EQ(tokenizer->special().eos, 0);
  EXPECT_EQ(tokenizer->vocabulary_size(), 259);
}

TEST(GgufTokenizer, NamesWhatIsWrong) {
  const auto error_of = [](const std::string& key, const GgufValue& value) -> std::string {
    Metadata metadata = neox_metadata();
    for (auto& [name, old] : metadata) {
      if (name == key) old = value;
    }
    try {
      from_gguf(metadata);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      return error.what();
    }
    return "no error";
  };
  using testing::HasSubstr;
  const size_t tokens = std::get<std::vector<std::string>>(neox_metadata()[2].second).size();
  EXPECT_THAT(error_of("tokenizer.ggml.model", std::string("bert")), HasSubstr("tokenizer \"bert\" is not supported"));
  EXPECT_THAT(error_of("tokenizer.ggml.pre", std::string("strange")), HasSubstr("\"strange\" is not supported"));
  EXPECT_THAT(error_of("tokenizer.ggml.tokens", uint32_t{5}), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(error_of("tokenizer.ggml.tokens", std::vector<std::string>{"a", "\xff"}), HasSubstr("model.gguf"));
  EXPECT_THAT(error_of("tokenizer.ggml.token_type", std::vector<int32_t>{1}), HasSubstr("tokenizer.ggml.token_type"));
  EXPECT_THAT(error_of("tokenizer.ggml.token_type", std::vector<float>(tokens, 1e30F)), HasSubstr("tokenizer.ggml.token_type"));
  EXPECT_THAT(error_of("tokenizer.ggml.merges", std::vector<std::string>{"zz"}), HasSubstr("merges[0]"));
  EXPECT_THAT(error_of("tokenizer.ggml.merges", std::vector<std::string>{"zz \u4f60"}), HasSubstr("not in the vocabulary"));
  EXPECT_EQ(from_gguf({{"general.name", std::string("x")}}), nullptr);
}

}  // namespace
}  // namespace linea
