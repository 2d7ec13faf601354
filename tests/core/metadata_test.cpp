#include "core/metadata.h"

#include <random>

#include "tests/core/fixtures.h"

namespace linea {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kFields{{"Steps", "20"}, {"Sampler", "DPM++ 2M"}, {"CFG scale", "4.5"}, {"Seed", "7"}, {"Size", "512x512"}};

TEST(Infotext, WritesTheGrammar) {
  const Infotext infotext{"a red apple\non a plate", "blurry", {{"Steps", "20"}, {"Model", "a, b: \"c\""}, {"Note", "x\ny"}}};
  EXPECT_EQ(format_infotext(infotext),
            "a red apple\non a plate\nNegative prompt: blurry\nSteps: 20, Model: \"a, b: \\\"c\\\"\", Note: \"x\\ny\"");
  EXPECT_EQ(format_infotext({"p", "", kFields}), "p\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 4.5, Seed: 7, Size: 512x512");
}

TEST(Infotext, ReadsWhatOthersWrite) {
  const Infotext infotext = parse_infotext(
      "masterpiece, (cat:1.2)\nsecond line  \nNegative prompt: lowres, bad\nworse\n"
      "Steps: 28, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 123, Size: 512x768, Model hash: 6ce0161689, "
      "Lora hashes: \"detail: 1234, style: 5678\", Version: v1.10.1");
  EXPECT_EQ(infotext.prompt, "masterpiece, (cat:1.2)\nsecond line");
  EXPECT_EQ(infotext.negative, "lowres, bad\nworse");
  ASSERT_EQ(infotext.fields.size(), 9u);
  EXPECT_EQ(*infotext.find("Lora hashes"), "detail: 1234, style: 5678");
  EXPECT_EQ(*infotext.find("Size"), "512x768");
  EXPECT_EQ(infotext.find("Absent"), nullptr);
}

TEST(Infotext, FewerThanThreeFieldsArePrompt) {
  EXPECT_EQ(parse_infotext("a cat\nSteps: 20, Seed: 1"), (Infotext{"a cat\nSteps: 20, Seed: 1", "", {}}));
  EXPECT_EQ(parse_infotext("Steps: 20, Seed: 1, Size: 1x1"), (Infotext{"", "", {{"Steps", "20"}, {"Seed", "1"}, {"Size", "1x1"}}}));
  EXPECT_EQ(parse_infotext(""), Infotext{});
  EXPECT_EQ(parse_infotext("Negative prompt: x"), (Infotext{"", "x", {}}));
}

TEST(Infotext, StopsAtAppendedJson) {
  const Infotext infotext = parse_infotext("p\nSteps: 1, Seed: 2, Size: 3x3, Version: sd.cpp, SDCPP: {\"a\": 1, \"bb\": 2}");
  EXPECT_EQ(infotext.fields, (Fields{{"Steps", "1"}, {"Seed", "2"}, {"Size", "3x3"}, {"Version", "sd.cpp"}}));
}

TEST(Infotext, OddFieldsAreReadAsTheReferenceReadsThem) {
  const auto fields = [](const std::string& line) { return parse_infotext("p\naa: 1, bb: 2, cc: 3, " + line).fields; };
  const auto last = [&](const std::string& line) { return fields(line).back(); };
  using Field = std::pair<std::string, std::string>;
  EXPECT_EQ(last("dd: \"unterminated, ee: 5"), (Field{"ee", "5"}));
  EXPECT_EQ(last("dd: \"closed\" but more"), (Field{"dd", "\"closed\" but more"}));
  EXPECT_EQ(last("dd: \"not json \\q\""), (Field{"dd", "\"not json \\q\""}));
  EXPECT_EQ(last("dd: \"\""), (Field{"dd", ""}));
  EXPECT_EQ(last("dd:"), (Field{"dd", ""}));
  EXPECT_EQ(last("x: 1"), (Field{"cc", "3"}));  // a key has two characters or more
  EXPECT_EQ(last("(dd): 4"), (Field{"cc", "3"}));
  EXPECT_EQ(last("(dd ee/f-g: 4"), (Field{"dd ee/f-g", "4"}));
  EXPECT_EQ(last("dd: a: b"), (Field{"dd", "a: b"}));
  EXPECT_EQ(last("größe: 1"), (Field{"größe", "1"}));
}

void expect_round_trip(const std::string& prompt, const std::string& negative) {
  const Infotext infotext{prompt, negative, kFields};
  EXPECT_EQ(parse_infotext(format_infotext(infotext)), infotext) << format_infotext(infotext);
}

TEST(Infotext, RoundTripsAwkwardPrompts) {
  const std::vector<std::string> prompts{
      "",
      "a cat",
      "two\nlines",
      "\n",
      " leading and trailing ",
      "line with spaces at its end  \nnext",
      "a\n\nb",
      "Negative prompt: not really",
      "a\nNegative prompt: b\nNegative prompt: c",
      "Steps: 1, Sampler: x, Seed: 2, Size: 1x1",
      "p\nSteps: 1, Sampler: x, Seed: 2, Size: 1x1",
      "say \"hello\", he: said \\ \"",
      "水墨画, 山 🎨 é",
      "tab\there\r\nwindows",
      "p, SDCPP: {\"a\": 1}",
      "Exact prompt: x, yy: 1, zz: 2",
      std::string("nul \0 inside", 12),
      "\xe3\x80\x80ideographic space\xe3\x80\x80",
  };
  for (const std::string& prompt : prompts) {
    for (const std::string& negative : prompts) expect_round_trip(prompt, negative);
  }
}

TEST(Infotext, RoundTripsRandomText) {
  const std::vector<std::string> pieces{
      "a", " ", "\n", ":", ",", "\"", "\\", "Negative prompt:", "Steps: 1", "é", "{", "\t", "Seed: 2, ", "x y", "\r"};
  std::mt19937 random(1);
  const auto text = [&] {
    std::string result;
    for (unsigned n = random() % 12; n > 0; --n) result += pieces[random() % pieces.size()];
    return result;
  };
  for (int i = 0; i < 5000; ++i) {
    const Infotext infotext{text(), text(), {{"Steps", text()}, {"Model", text()}, {"Size", text()}, {"A b", text()}}};
    ASSERT_EQ(parse_infotext(format_infotext(infotext)), infotext) << format_infotext(infotext);
  }
}

TEST(Infotext, OrdinaryPromptsCarryNoExtraFields) {
  EXPECT_EQ(format_infotext({"a cat, sitting: calm", "dog\nbird", kFields}).find("Exact"), std::string::npos);
}

TEST(Infotext, RefusesWhatCannotBeWritten) {
  EXPECT_THROW(format_infotext({"p", "", {{"Steps", "1"}, {"Seed", "2"}}}), Error);
  for (const char* key : {"", "a", " ab", "ab ", "a:b", "a,b", "-ab", "Exact prompt"}) {
    EXPECT_THROW(format_infotext({"p", "", {{"Steps", "1"}, {"Seed", "2"}, {key, "3"}}}), Error) << key;
  }
}

TEST(Infotext, IsBoundedAndLinear) {
  test::expect_error(ErrorKind::kBadFile, "at most 4194304 are read", [] { parse_infotext(std::string((4 << 20) + 1, 'a')); });
  for (const std::string piece : {"a", "aa:", "aa: \"", "aa: \"\\", "\"", " ", "a ", "aa: b,", "\n", "\\"}) {
    std::string text;
    while (text.size() + piece.size() <= size_t{1} << 20) text += piece;
    EXPECT_NO_THROW(parse_infotext(text)) << piece;  // quadratic scanning would take minutes here
  }
}

}  // namespace
}  // namespace linea
