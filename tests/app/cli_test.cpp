// The command line as its users meet it: what works, and what each mistake says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/image.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "tests/app/process.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using testing::HasSubstr;
using testing::StartsWith;

class Cli : public testing::Test {
 protected:
  Outcome run(const std::vector<std::string>& arguments, const std::string& input = {}) { return test::run(work_, arguments, input); }
  // A quick picture of the small model, with further arguments.
  std::vector<std::string> generate(const std::vector<std::string>& more = {}, const std::string& prompt = "a red apple") {
    std::vector<std::string> arguments = {"generate", prompt,    "--model", work_ / "model", "--size", "32x64",   "--bins",
                                          "off",      "--steps", "2",       "--seed",        "3",      "--dtype", "fp32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string out(const std::string& name = "a.png") { return work_ / ("out/" + name); }

  void expect_refused(const Outcome& outcome, int status, const std::string& part) { test::expect_refused(work_, outcome, status, part); }

  test::Workspace work_;
};

TEST_F(Cli, GenerateWritesAPictureThatSaysHowItWasMade) {
  const Outcome outcome = run(generate({"-o", out()}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, out() + "\n");
  const Image image = read_image(out());
  EXPECT_EQ(image.width, 32);
  EXPECT_EQ(image.height, 64);
  const Outcome info = run({"info", out(), "--json"});
  ASSERT_EQ(info.status, 0) << info.err;
  const Json json = parse_json(info.out, "info");
  EXPECT_EQ(json.at("settings").at("prompt"), "a red apple");
  EXPECT_EQ(json.at("settings").at("seed"), 3);
  EXPECT_THAT(json.at("parameters").get<std::string>(), HasSubstr("Steps: 2, Sampler: DPM++ 2M, CFG scale: 4.5, Seed: 3, Size: 32x64"));
  EXPECT_THAT(json.at("command").get<std::string>(), StartsWith("linea generate 'a red apple'"));
}

TEST_F(Cli, TheCommandInAPictureMakesItAgainToTheByte) {
  ASSERT_EQ(run(generate({"-o", out(), "--negative", "it's \"dark\"", "--shift", "2.5", "--guidance", "3.3"}, "a cat's\nhat — ü")).status,
            0);
  const std::string command = parse_json(run({"info", out(), "--json"}).out, "info").at("command");
  const std::string shell =
      std::string("set -- ") + command.substr(command.find(' ')) + "; exec '" + LINEA_PROGRAM + "' \"$@\" -q -o '" + out("b.png") + "'";

  std::ofstream(work_ / "again.sh") << shell;
  ASSERT_EQ(std::system(("sh " + (work_ / "again.sh").string()).c_str()), 0);
  EXPECT_EQ(test::read_file(out()), test::read_file(out("b.png")));
}

TEST_F(Cli, PicturesOfACallAreThoseOfTheirSeeds) {
  const Outcome outcome = run(generate({"-o", out(), "--count", "3", "--json"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 3);
  for (int k = 0; k < 3; ++k) {
    std::vector<std::string> alone = generate({"-q", "-o", out("alone.png")});
    *(std::find(alone.begin(), alone.end(), "--seed") + 1) = std::to_string(3 + k);
    ASSERT_EQ(run(alone).status, 0);
    EXPECT_EQ(test::read_file(out("a-" + std::to_string(k + 1) + ".png")), test::read_file(out("alone.png")));
  }
}

TEST_F(Cli, SeedIsRandomAndPrinted) {
  std::vector<std::string> arguments = generate({"-o", work_ / "out/"});
  const auto seed = std::find(arguments.begin(), arguments.end(), "--seed");
  arguments.erase(seed, seed + 2);
  const Outcome first = run(arguments), second = run(arguments);
  EXPECT_THAT(first.err, StartsWith("seed "));
  EXPECT_NE(first.err, second.err);
  EXPECT_THAT(first.out, HasSubstr("out/a-red-apple-" + first.err.substr(5, first.err.size() - 6) + ".png"));
}

TEST_F(Cli, PromptFromStandardInputAndPictureToStandardOutput) {
  const Outcome outcome = run(generate({"-o", "-"}, "-"), "a red apple\n");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  ASSERT_EQ(run(generate({"-o", out()})).status, 0);
  EXPECT_EQ(outcome.out, test::read_file(out()));
}

TEST_F(Cli, NoMetadataKeepsSettingsOut) {
  ASSERT_EQ(run(generate({"-o", out(), "--no-metadata"})).status, 0);
  EXPECT_TRUE(read_png_text(out()).empty());
}

TEST_F(Cli, JpegAndWebp) {
  for (const char* name : {"a.jpg", "a.webp"}) {
    ASSERT_EQ(run(generate({"-o", out(name)})).status, 0);
    EXPECT_EQ(read_image(out(name)).width, 32);
  }
}

TEST_F(Cli, TraceHoldsTheNamedTensors) {
  ASSERT_EQ(run(generate({"-o", out(), "--trace", work_ / "trace"})).status, 0);
  const SafetensorsFile file(work_ / "trace/trace.safetensors");
  for (const char* name : {"prompt_ids", "prompt_embeds", "prompt_mask", "negative_ids", "negative_embeds", "negative_mask", "timesteps",
                           "sigmas", "latents_init", "latents_001", "latents_002", "image"}) {
    EXPECT_TRUE(file.tensors().contains(name)) << name;
  }
  ASSERT_EQ(run({"reconstruct", out(), "-o", out("b.png"), "--model", work_ / "model", "--trace", work_ / "trace"}).status, 0);
  const SafetensorsFile again(work_ / "trace/trace.safetensors");
  for (const char* name : {"image", "latent", "latent_scaled", "reconstruction"}) EXPECT_TRUE(again.tensors().contains(name)) << name;
}

TEST_F(Cli, ReconstructPrintsPsnr) {
  ASSERT_EQ(run(generate({"-o", out()})).status, 0);
  const Outcome outcome = run({"reconstruct", out(), "-o", out("b.png"), "--model", work_ / "model"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("PSNR "));
}

TEST_F(Cli, InfoDescribesModelsAndFiles) {
  const Outcome model = run({"info", work_ / "model", "--json"});
  ASSERT_EQ(model.status, 0) << model.err;
  EXPECT_EQ(parse_json(model.out, "info").at("compression"), 4);
  const Outcome torch = run({"info", test::data_path("checkpoints/plain.pth")});
  EXPECT_EQ(torch.status, 0) << torch.err;
  EXPECT_THAT(torch.out, HasSubstr("plain.pth: "));
  const Outcome chat = run({"info", "rwkv7-chat"});
  EXPECT_EQ(chat.status, 0) << chat.err;
  EXPECT_THAT(chat.out, HasSubstr("linea-chat-rwkv7.gguf: "));
  const Outcome file = run({"info", work_ / "model/vae/diffusion_pytorch_model.safetensors"});
  EXPECT_EQ(file.status, 0);
  EXPECT_THAT(file.out, HasSubstr("decoder.conv_in.weight"));
}

TEST_F(Cli, HelpAndVersion) {
  EXPECT_THAT(run({"--help"}).out, HasSubstr("generate"));
  EXPECT_THAT(run({"generate", "--help"}).out, HasSubstr("--joint-noise"));
  EXPECT_THAT(run({"--version"}).out, StartsWith("linea "));
  EXPECT_EQ(run({}).status, 2);
}

TEST_F(Cli, MisspeltWordsGetTheNearest) {
  expect_refused(run({"genrate", "x"}), 2, "did you mean 'generate'?");
  expect_refused(run(generate({"--sede", "4"})), 2, "did you mean '--seed'?");
  expect_refused(run(generate({"--noise", "cdua"})), 2, "did you mean 'cuda'?");
  expect_refused(run(generate({"--scheduler", "eular"})), 2, "did you mean 'euler'?");
  expect_refused(run({"generate", "a", "red", "apple"}), 2, "quotes");
}

TEST_F(Cli, ValuesOutOfRange) {
  expect_refused(run(generate({"-o", out()}, "")), 2, "prompt is empty");
  expect_refused(run(generate({"-o", out()}, " \n ")), 2, "prompt is empty");
  expect_refused(run(generate({"-o", out()}, "caf\xe9")), 2, "the prompt is not UTF-8");
  expect_refused(run(generate({"-o", out()}, "-"), std::string("a\0b", 3)), 2, "NUL");
  expect_refused(run(generate({"-o", out()}, "-"), std::string((1 << 20) + 1, 'a')), 2, "more than 1048576 bytes");
  expect_refused(run(generate({"-o", out(), "--negative", "\xff"})), 2, "--negative is not UTF-8");
  const auto with = [&](const char* option, const char* value) {
    std::vector<std::string> arguments = generate({"-o", out()});
    const auto found = std::find(arguments.begin(), arguments.end(), option);
    if (found == arguments.end()) {
      arguments.insert(arguments.end(), {option, value});
    } else {
      *(found + 1) = value;
    }
    return run(arguments);
  };
  for (const char* size : {"0", "513", "100000", "32x", "-64", "axb", "32x33", "9999999999999999999999"}) {
    expect_refused(with("--size", size), 2, "--size");
  }
  for (const char* steps : {"-3", "0", "1.5", "x", "99999999999"}) expect_refused(with("--steps", steps), 2, "--steps");
  for (const char* seed : {"-1", "x", "18446744073709551616"}) expect_refused(with("--seed", seed), 2, "--seed");
  for (const char* guidance : {"-1", "nan", "x", "1e9"}) expect_refused(with("--guidance", guidance), 2, "--guidance");
  expect_refused(with("--shift", "0"), 2, "--shift");
  expect_refused(with("--count", "0"), 2, "--count");
  expect_refused(with("--threads", "-2"), 2, "--threads");
  expect_refused(with("--dtype", "fp23"), 2, "did you mean 'fp32'?");
  expect_refused(with("--device", "gpu"), 2, "--device");
  expect_refused(with("--instruction", "/nonexistent"), 2, "/nonexistent");
  expect_refused(with("--instruction", "/tmp"), 2, "/tmp: is a folder");
  expect_refused(with("--steps", "two\nlines"), 2, "two\\x0alines");
  expect_refused(run(generate({"-o", out(), "--seed", "4"})), 2, "--seed: given more than once");
}

TEST_F(Cli, OutputsThatCannotBeWritten) {
  expect_refused(run(generate({"-o", work_ / "missing/a.png"})), 2, "missing");
  expect_refused(run(generate({"-o", out("a.gif")})), 2, ".png");
  expect_refused(run(generate({"-q", "-o", "/dev/full"})), 1, "/dev/full");
  expect_refused(run(generate({"-q", "-o", out(), "--trace", "/dev/full"})), 2, "--trace: /dev/full is not a folder");
  const std::string told = work_ / "told";
  EXPECT_EQ(WEXITSTATUS(std::system(("'" LINEA_PROGRAM "' --help > /dev/full 2> '" + told + "'").c_str())), 1);
  EXPECT_THAT(test::read_file(told), HasSubstr("standard output: cannot write: No space left on device"));
  fs::create_directory(out("folder.png"));
  ASSERT_EQ(run(generate({"-q", "-o", out("folder.png")})).status, 0) << "a folder takes pictures";
}

TEST_F(Cli, LongPromptsAreCutWithAWarning) {
  const Outcome outcome = run(generate({"-o", out()}, std::string(100000, 'q')));
  EXPECT_EQ(outcome.status, 0) << outcome.err.substr(0, 300);
  EXPECT_THAT(outcome.err, HasSubstr("warning: the prompt is longer than 300 tokens"));
}

TEST_F(Cli, BrokenModels) {
  const auto refused = [&](const std::string& part) { expect_refused(run(generate({"-o", out()})), 5, part); };
  const auto mend = [&](const std::string& part, const std::string& from) {
    fs::remove_all(work_ / ("model/" + part));
    fs::copy(test::data_path(from), work_ / ("model/" + part), fs::copy_options::recursive);
  };
  const std::string weights = work_ / "model/transformer/diffusion_pytorch_model.safetensors";
  const std::string valid = test::read_file(weights);
  const auto write = [&](const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; };

  write(work_ / "model/model_index.json", "{\"_class_name\": ");
  refused("model_index.json");
  write(work_ / "model/model_index.json", R"({"_class_name": "FluxPipeline"})");
  refused("'FluxPipeline' is no SANA pipeline");
  fs::remove(work_ / "model/model_index.json");

  fs::remove(weights);
  refused("transformer");
  write(weights, valid.substr(0, valid.size() / 2));
  refused("diffusion_pytorch_model.safetensors");
  write(weights, "");
  refused("diffusion_pytorch_model.safetensors");
  std::string huge = valid;
  huge.replace(0, 8, std::string("\0\0\0\0\0\0\0\x80", 8));
  write(weights, huge);
  refused("not a safetensors file");
  std::string renamed = valid;
  renamed.replace(renamed.find("caption_norm.weight"), 19, "caption_norm.waight");
  write(weights, renamed);
  refused("caption_norm.weight");
  std::string reshaped = valid;
  const size_t shape = reshaped.find("[2,32]");
  ASSERT_NE(shape, std::string::npos);
  reshaped.replace(shape, 6, "[32,2]");
  write(weights, reshaped);
  refused("scale_shift_table");
  mend("transformer", "pipeline/model/transformer");

  const auto fill_with_nan = [&](const std::string& path) {
    std::string content = test::read_file(path);
    uint64_t header = 0;
    std::memcpy(&header, content.data(), sizeof header);
    std::fill(content.begin() + static_cast<std::ptrdiff_t>(sizeof header + header), content.end(), '\xff');
    write(path, content);
  };
  const std::string text_weights = work_ / "model/text_encoder/model.safetensors", valid_text = test::read_file(text_weights);
  fill_with_nan(text_weights);
  refused("the text encoder of");
  write(text_weights, valid_text);
  fill_with_nan(weights);
  refused("the transformer of");
  write(weights, valid);

  write(work_ / "model/tokenizer/tokenizer.json", "{\"model\": {\"type\": \"BPE\", \"vocab\": [");
  refused("tokenizer.json");
  mend("tokenizer", "textenc/tokenizer");
  write(work_ / "model/vae/config.json", "{}}");
  refused("config.json");
  mend("vae", "pipeline/model/vae");

  fs::remove(weights);
  write(weights + ".index.json",
        R"({"metadata": {}, "weight_map": {"caption_norm.weight": "../vae/diffusion_pytorch_model.safetensors"}})");
  refused("../vae");
  expect_refused(run({"generate", "x", "--model", work_ / "nowhere", "-o", out()}), 5, "nowhere");
}

TEST_F(Cli, ImagesThatAreNone) {
  std::ofstream(work_ / "x.png") << "not a picture";
  expect_refused(run({"info", work_ / "x.png"}), 2, "x.png");
  expect_refused(run({"info", work_ / "nowhere"}), 2, "no such file, folder or built-in model");
  expect_refused(run({"reconstruct", work_ / "x.png", "-o", out(), "--model", work_ / "model"}), 2, "x.png");
}

// ---- Memory and devices -----------------------------------------------------------------------------------------------------------

TEST_F(Cli, PlanSaysStageByStageWhatLiesWhere) {
  const std::vector<std::string> plan = {"plan", "--model", "random:sana-1.6b", "--device", "cpu", "--dtype", "fp32", "--size", "1024"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = plan;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  const Outcome roomy = with({"--vram", "40GB", "--json"});
  ASSERT_EQ(roomy.status, 0) << roomy.err;
  const Json json = parse_json(roomy.out, "plan");
  ASSERT_EQ(json.at("stages").size(), 3u);
  EXPECT_EQ(json.at("stages")[0].at("weights"), "resident");
  EXPECT_LE(json.at("peak_bytes").get<int64_t>(), int64_t{40000000000});
  const Outcome tight = with({"--vram", "13GB"});
  ASSERT_EQ(tight.status, 0) << tight.err;
  EXPECT_THAT(tight.out, HasSubstr("offloaded"));
  expect_refused(with({"--vram", "1GiB"}), 4, "needs at least");
  expect_refused(with({"--vram", "lots"}), 2, "--vram");
  expect_refused(run({"plan", "--model", "random:sana-9b", "--vram", "8GiB"}), 2, "sana-9b");
}

TEST_F(Cli, MemoryThatDoesNotSufficeIsToldBeforeAnyWork) {
  expect_refused(run(generate({"-o", out(), "--vram", "100kB"})), 4, "needs at least");
  expect_refused(run(generate({"-o", out(), "--vram", "200%"})), 2, "--vram");
  EXPECT_EQ(run(generate({"-o", out(), "--vram", "90%"})).status, 0);
}

TEST_F(Cli, LoadingIsTimedForFoldersAndGraphicsProcessors) {
  expect_refused(run({"bench", "loading", "--device", "cpu"}), 2, "--device");
  expect_refused(run({"bench", "loadng", "--device", "cpu"}), 2, "loading");
}

// oneDNN plans for a number of threads: were there fewer, a part of each product would be missing.
TEST_F(Cli, FewerThreadsThanAskedForMakeTheSamePicture) {
  ASSERT_EQ(run(generate({"-o", out(), "--threads", "3"})).status, 0);
  for (const auto& [name, value] : {std::pair("OMP_THREAD_LIMIT", "1"), std::pair("OMP_DYNAMIC", "true")}) {
    setenv(name, value, 1);
    const Outcome outcome = run(generate({"-o", out("fewer.png"), "--threads", "3"}));
    unsetenv(name);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_TRUE(test::read_file(out()) == test::read_file(out("fewer.png"))) << name;
  }
}

TEST_F(Cli, DevicesShareTheNumberedPictures) {
  ASSERT_EQ(run(generate({"-o", out("one.png"), "--count", "3", "--device", "cpu"})).status, 0);
  const Outcome outcome = run(generate({"-o", out("two.png"), "--count", "3", "--device", "cpu,cpu"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  for (const char* number : {"1", "2", "3"}) {
    EXPECT_EQ(test::read_file(out(std::string("one-") + number + ".png")), test::read_file(out(std::string("two-") + number + ".png")));
  }
  EXPECT_EQ(run(generate({"-o", out(), "--device", "cpu,gpu"})).status, 2);
  EXPECT_EQ(run(generate({"-o", out(), "--device", "cpu,"})).status, 2);
}

}  // namespace
}  // namespace linea
