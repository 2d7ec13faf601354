#include <gtest/gtest.h>

#include "app/cli/suggest.h"
#include "app/engine/command_line.h"
#include "app/engine/cost.h"
#include "app/engine/output_names.h"
#include "app/engine/picture_settings.h"

namespace linea {
namespace {

TEST(OutputNames, SlugOfAPrompt) {
  EXPECT_EQ(slug_of("A red Apple, on a plate!"), "a-red-apple-on-a-plate");
  EXPECT_EQ(slug_of("ü—漢字"), "picture");
  EXPECT_EQ(slug_of("../../etc/passwd"), "etc-passwd");
  EXPECT_LE(slug_of(std::string(500, 'x')).size(), 40u);
}

TEST(OutputNames, PathsOfACall) {
  EXPECT_EQ(output_path("a.png", "x", 0, 1, 7), "a.png");
  EXPECT_EQ(output_path("d/a.png", "x", 1, 4, 7), "d/a-2.png");
  EXPECT_EQ(output_path("a.png", "x", 1, 100, 7), "a-002.png");
  EXPECT_EQ(output_path("", "A cat", 0, 1, 7), "a-cat-7.png");
  EXPECT_EQ(output_path("pictures/", "A cat", 0, 1, 7), "pictures/a-cat-7.png");
}

TEST(CommandLine, QuotesForAShell) {
  EXPECT_EQ(shell_quote("plain-1.5"), "plain-1.5");
  EXPECT_EQ(shell_quote(""), "''");
  EXPECT_EQ(shell_quote("-x"), "'-x'");
  EXPECT_EQ(shell_quote("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(shell_quote("two\nlines \\n"), "'two\nlines \\n'");
  EXPECT_EQ(shell_quote("it's \\ \x1b[31m\nred"), "$'it\\'s \\\\ \\x1b[31m\nred'");
}

TEST(PictureSettings, JsonKeepsEverything) {
  PictureSettings s;
  s.request = {.prompt = "a \"cat\"\nü",
               .negative = "dog",
               .size = {768, 1024},
               .use_bins = false,
               .steps = 7,
               .guidance = 1.1,
               .seed = ~0ull,
               .count = 3,
               .scheduler = "euler",
               .flow_shift = 0.1,
               .noise = NoiseSource::kTorchCuda,
               .joint_noise = true};
  s.index = 2;
  s.model = "/models/x y";
  s.dtype = "bf16";
  s.softcap = false;
  s.instruction_file = "none";
  const PictureSettings back = settings_from_json(to_json(s), "test");
  EXPECT_EQ(to_json(back), to_json(s));
  EXPECT_EQ(back.request.seed, ~0ull);
  EXPECT_EQ(back.request.flow_shift, 0.1);
  EXPECT_EQ(to_command_line(back), to_command_line(s));
  EXPECT_NE(to_command_line(s).find("--joint-noise --count 3"), std::string::npos);
  s.request.prompt = "--foo bar";  // not an option of the command
  EXPECT_TRUE(to_command_line(s).ends_with(" -- '--foo bar'")) << to_command_line(s);
  EXPECT_TRUE(to_command_line(s).starts_with("linea generate --model")) << to_command_line(s);
}

TEST(PictureSettings, BrokenJsonIsABadFile) {
  for (const char* text : {"", "[]", "{}", "{\"schema\":\"other\"}", "{\"schema\":\"linea.picture/1\",\"prompt\":3}",
                           R"({"schema":"linea.picture/1","prompt":"a","width":64,"height":64,"steps":1,"guidance":NaN,"seed":0})"}) {
    EXPECT_THROW(settings_from_json(text, "test"), Error) << text;
  }
}

// The published models' costs, in TFLOP a forward pass of one sample with 300 text tokens (their keys and values, which we make once a
// call, taken off), and of a decoded picture.
TEST(Cost, PublishedConfigurations) {
  SanaConfig big;  // the defaults are SANA-1.6B
  EXPECT_NEAR(1e-12 * transformer_step_flops(big, 32, 32, 300, 1), 2.97 - 0.12, 0.03);
  EXPECT_NEAR(1e-12 * transformer_step_flops(big, 128, 128, 300, 1), 45.6, 0.5);
  SanaConfig small;
  small.num_attention_heads = 36;
  small.num_layers = 28;
  EXPECT_NEAR(1e-12 * transformer_step_flops(small, 32, 32, 300, 1), 1.12 - 0.045, 0.02);
  // 2.024 G weights in products; attention adds 0.8 %.
  EXPECT_NEAR(1e-12 * text_flops(Gemma2Config(), 300), 1.2146 * 1.008, 0.001);
  const Json vae = {
      {"decoder_block_types", {"ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock", "EfficientViTBlock", "EfficientViTBlock"}},
      {"upsample_block_type", "interpolate"}};
  const double decode = 1e-12 * decoder_flops(DcAeConfig::from(Config(vae, "vae")), 1024, 1024);
  EXPECT_LT(decode, 8.37);  // that figure counts the enlarged maps' 3×3 convolutions
  EXPECT_GT(decode, 7.0);
}

TEST(Suggest, NearestWord) {
  EXPECT_EQ(cli::nearest_word("--sede", {"--size", "--seed", "--steps"}), "--seed");
  EXPECT_EQ(cli::nearest_word("genrate", {"generate", "info"}), "generate");
  EXPECT_EQ(cli::nearest_word("zzzzzz", {"generate", "info"}), "");
}

}  // namespace
}  // namespace linea
