// The lists of pictures that `linea batch` reads: what each form means, and what each mistake says.
#include "app/engine/batch_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace linea {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::vector<BatchLine> read(const std::string& text, const std::string& source) {
  std::istringstream stream(text);
  BatchInput input;
  input.source = source;
  input.defaults.settings.request.size = {512, 512};
  input.defaults.settings.request.steps = 9;
  return read_batch(stream, input);
}

// The error's text and hint.
std::string refusal(const std::string& text, const std::string& source = "jobs.jsonl") {
  try {
    read(text, source);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return std::string(error.what()) + " | " + error.hint();
  }
  ADD_FAILURE() << "accepted: " << text;
  return {};
}

TEST(BatchInput, JsonLines) {
  const auto lines = read(
      "\xef\xbb\xbf{\"id\": \"a1\", \"prompt\": \"a red \\\"apple\\\"\", \"negative\": \"dog\", \"size\": [1024, 768], "
      "\"seed\": 18446744073709551615, \"count\": 2, \"steps\": 20, \"cfg\": 4.5, \"out\": \"{id}_{n}.png\"}\r\n"
      "\n"
      "{\"prompt\": \"ü\", \"size\": \"640x320\", \"x-mine\": {\"any\": [1]}, \"scheduler\": \"euler\", \"bins\": \"off\", "
      "\"shift\": 2, \"noise\": \"cuda\", \"joint_noise\": true, \"softcap\": \"off\", \"dtype\": \"fp32\", \"metadata\": false}\n"
      "{\"prompt\": \"z\", \"width\": 256, \"folder\": \"sub\"}",
      "jobs.jsonl");
  ASSERT_EQ(lines.size(), 3u);
  const PictureJob& a = lines[0].job;
  EXPECT_EQ(a.id, "a1");
  EXPECT_EQ(a.settings.request.prompt, "a red \"apple\"");
  EXPECT_EQ(a.settings.request.negative, "dog");
  EXPECT_EQ(a.settings.request.size, (PictureSize{768, 1024}));
  EXPECT_EQ(a.settings.request.seed, ~0ull);
  EXPECT_TRUE(lines[0].has_seed);
  EXPECT_EQ(a.count, 2);
  EXPECT_EQ(a.settings.request.steps, 20);
  EXPECT_EQ(a.settings.request.guidance, 4.5);
  EXPECT_EQ(a.name_pattern, "{id}_{n}.png");
  EXPECT_EQ(lines[1].line, 3);
  const PictureJob& b = lines[1].job;
  EXPECT_EQ(b.index, 1);
  EXPECT_EQ(b.settings.request.size, (PictureSize{320, 640}));
  EXPECT_EQ(b.settings.request.scheduler, "euler");
  EXPECT_FALSE(b.settings.request.use_bins);
  EXPECT_EQ(b.settings.request.flow_shift, 2.0);
  EXPECT_EQ(b.settings.request.noise, NoiseSource::kTorchCuda);
  EXPECT_TRUE(b.settings.request.joint_noise);
  EXPECT_FALSE(b.settings.softcap);
  EXPECT_FALSE(b.metadata);
  EXPECT_EQ(b.settings.request.steps, 9);  // the default
  EXPECT_FALSE(lines[1].has_seed);
  EXPECT_EQ(lines[2].job.settings.request.size, (PictureSize{512, 256}));
  EXPECT_EQ(lines[2].folder, "sub");
}

TEST(BatchInput, Csv) {
  const auto lines = read("prompt;seed;steps;id\n\"a; \"\"red\"\"\napple\";7;;a\nplain;;5;\n", "jobs.csv");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].job.settings.request.prompt, "a; \"red\"\napple");
  EXPECT_EQ(lines[0].job.settings.request.seed, 7u);
  EXPECT_EQ(lines[0].job.settings.request.steps, 9);
  EXPECT_EQ(lines[1].line, 4);
  EXPECT_EQ(lines[1].job.settings.request.steps, 5);
  EXPECT_EQ(read("prompt,size\na,640x320\n", "x.csv")[0].job.settings.request.size, (PictureSize{320, 640}));
}

TEST(BatchInput, LinesAndPromptOptions) {
  const auto lines = read(
      "a red apple, shiny\n\n--prompt \"a \\\"blue\\\" dog\" --negative_prompt it is dark --steps 7 --cfg_scale 3.5 "
      "--width 640 --height 320 --seed 5 --n_iter 2 --batch_size 3 --sampler_name \"DPM++ 2M Karras\"\n"
      "--prompt 'the cat' --seed -1 --outpath_samples cats --do_not_save_grid true --tiling false\n",
      "prompts.txt");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].job.settings.request.prompt, "a red apple, shiny");
  const PictureJob& dog = lines[1].job;
  EXPECT_EQ(dog.settings.request.prompt, "a \"blue\" dog");
  EXPECT_EQ(dog.settings.request.negative, "it is dark");
  EXPECT_EQ(dog.settings.request.steps, 7);
  EXPECT_EQ(dog.settings.request.guidance, 3.5);
  EXPECT_EQ(dog.settings.request.size, (PictureSize{320, 640}));
  EXPECT_EQ(dog.settings.request.seed, 5u);
  EXPECT_EQ(dog.count, 6);
  EXPECT_EQ(dog.settings.request.scheduler, "dpm++");
  EXPECT_EQ(lines[2].job.settings.request.prompt, "the cat");
  EXPECT_FALSE(lines[2].has_seed);
  EXPECT_EQ(lines[2].folder, "cats");
}

TEST(BatchInput, AnOpenQuoteInOptionsIsTold) {
  EXPECT_THAT(refusal("--prompt cat's", "p.txt"), StartsWith("p.txt:1: a quote in column 13"));
}

TEST(BatchInput, TheFormIsToldByNameElseByTheFirstLine) {
  EXPECT_EQ(read("\n {\"prompt\": \"x\"}", "standard input")[0].job.settings.request.prompt, "x");
  EXPECT_EQ(read("x\n{\"prompt\": \"y\"}", "prompts.txt")[1].job.settings.request.prompt, "{\"prompt\": \"y\"}");
}

TEST(BatchInput, EveryMistakeSaysWhere) {
  const std::string good = "{\"prompt\": \"x\"}\n";
  EXPECT_THAT(refusal(good + "{\"prompt\": \"y\""), StartsWith("jobs.jsonl:2: "));
  EXPECT_THAT(refusal(good + "[1]"), HasSubstr("jobs.jsonl:2: expected an object"));
  EXPECT_THAT(refusal(good + "{\"prompt\": \"\xff\"}"), HasSubstr("jobs.jsonl:2: is not UTF-8"));
  EXPECT_THAT(refusal(good + "{\"promt\": \"y\"}"), HasSubstr("jobs.jsonl:2: unknown key 'promt'"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"prompt\": \"y\"}"), HasSubstr("appears twice"));
  EXPECT_THAT(refusal("{\"prompt\": 3}"), HasSubstr("jobs.jsonl:1: prompt: expected a text, found 3"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"steps\": \"20\"}"), HasSubstr("steps: expected a whole number from 1 to 1000, found \"20\""));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"steps\": 20.5}"), HasSubstr("steps"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"steps\": 0}"), HasSubstr("steps"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"steps\": 5000000000}"), HasSubstr("steps"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"seed\": -1}"), HasSubstr("seed"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"guidance\": NaN}"), HasSubstr("guidance"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"guidance\": 1e999}"), HasSubstr("jobs.jsonl:1"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"size\": [512, 512, 3]}"), HasSubstr("size"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"size\": \"512x\"}"), HasSubstr("size"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"size\": 100000000}"), HasSubstr("size"));
  EXPECT_THAT(refusal("{\"prompt\": \"x\", \"scheduler\": \"ddim\"}"), HasSubstr("expected one of auto, dpm++, euler"));
  EXPECT_THAT(refusal("{\"id\": \"a\"}"), HasSubstr("the prompt is missing"));
  EXPECT_THAT(refusal("{\"prompt\": \" \"}"), HasSubstr("the prompt is missing or empty"));
  EXPECT_THAT(refusal(good + "{\"prompt\": \"x\", \"id\": \"a\"}\n\n{\"prompt\": \"y\", \"id\": \"a\"}"),
              HasSubstr("jobs.jsonl:4: id 'a' was used in line 2 already"));
  EXPECT_THAT(refusal(""), HasSubstr("holds no pictures"));
  EXPECT_THAT(refusal("\n \n", "p.txt"), HasSubstr("holds no pictures"));
  EXPECT_THAT(refusal(std::string("{\"prompt\": \"x\0\"}", 15)), HasSubstr("NUL"));
  EXPECT_THAT(refusal("{\"prompt\": " + std::string(200, '[') + std::string(200, ']') + "}"), HasSubstr("nested"));

  EXPECT_THAT(refusal("seed\n1\n", "a.csv"), HasSubstr("no 'prompt'"));
  EXPECT_THAT(refusal("prompt,prompt\na,b\n", "a.csv"), HasSubstr("twice"));
  EXPECT_THAT(refusal("prompt,seed\na,1,2\n", "a.csv"), HasSubstr("a.csv:2: 3 cells under 2 columns"));
  EXPECT_THAT(refusal("prompt,seed\na,x\n", "a.csv"), HasSubstr("a.csv:2: seed"));
  EXPECT_THAT(refusal("prompt,sead\na,1\n", "a.csv"), HasSubstr("unknown key 'sead'"));
  EXPECT_THAT(refusal("prompt\n\"abc\n", "a.csv"), HasSubstr("a.csv:2: a quote is not closed"));
  EXPECT_THAT(refusal("prompt\n", "a.csv"), HasSubstr("holds no pictures"));
  std::string endless = "prompt\n\"";
  for (int i = 0; i < 600000; ++i) endless += "\",\"\n";
  EXPECT_THAT(refusal(endless, "a.csv"), HasSubstr("a.csv:2: the picture's lines are longer than 1 MiB"));

  EXPECT_THAT(refusal("x\n--promt y", "p.txt"), HasSubstr("p.txt:2: unknown option '--promt'"));
  EXPECT_THAT(refusal("--prompt", "p.txt"), HasSubstr("--prompt: has no value"));
  EXPECT_THAT(refusal("--steps 5 x", "p.txt"), HasSubstr("'x' is no option"));
  EXPECT_THAT(refusal("--prompt x --sampler_name DDIM", "p.txt"), HasSubstr("'DDIM' is not to be had here"));
  EXPECT_THAT(refusal("--prompt x --tiling true", "p.txt"), HasSubstr("--tiling"));
  EXPECT_THAT(refusal("--prompt x --n_iter 0", "p.txt"), HasSubstr("--n_iter"));
  EXPECT_THAT(refusal("--prompt x --n_iter 100000 --batch_size 100000 --batch_size 100000 --n_iter 99999", "p.txt"), HasSubstr("count"));
}

// A stream that never ends: the line is refused after its first MiB.
TEST(BatchInput, AnEndlessLineIsNotReadIntoMemory) {
  class Endless : public std::streambuf {
   public:
    int64_t given = 0;

   protected:
    int underflow() override {
      given += static_cast<int64_t>(sizeof block_);
      std::fill(std::begin(block_), std::end(block_), 'x');
      setg(block_, block_, block_ + sizeof block_);
      return 'x';
    }

   private:
    char block_[4096];
  } buffer;
  std::istream stream(&buffer);
  BatchInput input;
  input.source = "p.txt";
  try {
    read_batch(stream, input);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "p.txt:1: the line is longer than 1 MiB");
  }
  EXPECT_LT(buffer.given, int64_t{2} << 20);
}

}  // namespace
}  // namespace linea
