// Chat templates: Jinja against jinja2 (data: tests/golden/make_lm_jinja.py), and the forms that need no template file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "lm/template/chat_template.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Jinja, RendersAsJinja2) {
  std::ifstream file(test::data_path("lm/jinja.json"));
  const JinjaValue cases = JinjaValue::parse(file);
  ASSERT_GE(cases.size(), 40u);
  for (const JinjaValue& c : cases) {
    const JinjaTemplate t(c.at("template").get<std::string>(), "template");
    if (c.at("text").is_null()) {
      EXPECT_THROW(t.render(c.at("variables")), Error) << c.at("name");
    } else {
      EXPECT_EQ(t.render(c.at("variables")), c.at("text").get<std::string>()) << c.at("name");
    }
  }
}

std::string error_of(const std::string& text, const JinjaValue& variables = JinjaValue::object()) {
  try {
    JinjaTemplate(text, "template").render(variables);
  } catch (const Error& error) {
    EXPECT_NE(error.kind(), ErrorKind::kInternal);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

TEST(Jinja, WhatIsNotUnderstoodIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\n{% include 'x' %}", "line 2: the tag 'include' is not supported"},
      {"{{ x | frobnicate }}", "the filter 'frobnicate' is not supported"},
      {"{{ 'a'.zap() }}", "the method '.zap()' is not supported"},
      {"{{ 1 is frabjous }}", "the test 'frabjous' is not supported"},
      {"{{ now() }}", "the function 'now' is not supported"},
      {"{{ x.y.z }}", "member y of something undefined"},
      {"{{ x + 1 }}", "undefined"},
      {"{{ 1 / 0 }}", "division by zero"},
      {"{{ raise_exception('no way') }}", "no way"},
      {"{% if x %}", "expected {% endif %}"},
      {"{% endif %}", "not supported here"},
      {"{{ 'a }}", "a text is not closed"},
      {"{{ a", "not closed"},
      {"{# a", "comment is not closed"},
      {"{{ (1 }}", "a tag is not closed"},
      {"{{ 1 2 }}", "unexpected '2' in a tag"},
      {"{{ ! }}", "unexpected '!'"},
      {"{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}", "too many steps"},
      {"{% for i in range(1000000) %}{% endfor %}", "range() is longer"},
      {"{% set ns = namespace(t='xxxxxxxxxxxxxxxx') %}{% for i in range(30) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}", "16 MiB"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too deeply"},
      {"{{ " + std::string(300, '(') + "1" + std::string(300, ')') + " }}", "nested too deeply"},
      {"{{ " + std::string(300, '[') + std::string(300, ']') + " }}", "nested too deeply"},
      {"{{ [1] | selectattr }}", "a selection by attribute needs its name"}};
  for (const auto& [text, part] : cases) EXPECT_THAT(error_of(text), HasSubstr(part)) << text.substr(0, 80);
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// Chains make trees as deep as parentheses do, loops make values as deep, and macros that call each other add their own levels up.
TEST(Jinja, WhatNestsWithoutEndIsRefused) {
  constexpr int kMany = 20000;
  const std::vector<std::string> chains = {".b", "[0]", "|trim", "+1", " or 1", " and 1", " == 1", " ~ 1", ".strip()", " is defined"};
  for (const std::string& link : chains) {
    EXPECT_EQ(error_of("{{ 'a'" + repeated(link, 20) + " }}").find("nested"), std::string::npos) << link;
    EXPECT_THAT(error_of("{{ 'a'" + repeated(link, kMany) + " }}"), HasSubstr("nested too deeply")) << link;
  }
  const std::vector<std::string> templates = {
      "{% set ns = namespace(x=[]) %}{% for i in range(30000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace() %}{% for i in range(30000) %}{% set ns.x = ns %}{% endfor %}",
      "{% set x = [] %}" + repeated("{% set x = [x] %}", kMany) + "{{ x }}",
      "{% macro m(x) %}" + repeated("{% for i in [1] %}", 90) + "{{ m(x) }}" + repeated("{% endfor %}", 90) + "{% endmacro %}{{ m(1) }}",
      "{% macro m(x) %}{{ " + std::string(90, '[') + "m(x)" + std::string(90, ']') + " }}{% endmacro %}{{ m(1) }}"};
  for (const std::string& text : templates) EXPECT_THAT(error_of(text), HasSubstr("nested too deeply")) << text.substr(0, 80);
  EXPECT_THAT(error_of("{{ [] | map(" + repeated("'map', ", kMany) + "'map') }}"), HasSubstr("more than 100 arguments"));
}

const std::vector<ChatMessage> kTalk = {
    {Role::kSystem, "Be brief."}, {Role::kUser, "Hi"}, {Role::kAssistant, "Hello."}, {Role::kUser, "Who?"}};

TEST(ChatTemplate, NamedForms) {
  const ChatTemplate world = ChatTemplate::named("world");
  EXPECT_EQ(world.render(kTalk, true), "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Who?\n\nAssistant:");
  EXPECT_THAT(world.stops(), ElementsAre("\n\n"));
  EXPECT_EQ(world.cleaned(" a\r\n\r\n\n b\nc \n"), "a\n b\nc");
  EXPECT_EQ(ChatTemplate::named("g1", Thinking::kOn).render({{Role::kUser, "Hi"}}, true), "User: Hi\n\nAssistant: <think");
  EXPECT_EQ(ChatTemplate::named("g1", Thinking::kFake).render({{Role::kUser, "Hi"}}, true), "User: Hi\n\nAssistant: <think>\n</think");
  EXPECT_EQ(ChatTemplate::named("chatml").render({{Role::kUser, "Hi"}}, true), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_THROW(ChatTemplate::named("word"), Error);
  EXPECT_THROW(ChatTemplate::named("chatml", Thinking::kOn), Error);
}

TEST(ChatTemplate, StopsAreLearntFromJinja) {
  const std::string turns =
      "{% for m in messages %}{{ m.role | capitalize + ': ' + m.content | trim + '\\n\\n' }}{% endfor %}{% if add_generation_prompt "
      "%}Assistant:{% endif %}";
  const ChatTemplate a = ChatTemplate::jinja(turns, "model", "", "");
  EXPECT_EQ(a.render(kTalk, true), ChatTemplate::named("world").render(kTalk, true));
  EXPECT_THAT(a.stops(), ElementsAre("\n\nUser:"));
  EXPECT_TRUE(a.joins_paragraphs());
  const ChatTemplate b =
      ChatTemplate::jinja("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}", "model", "", "");
  EXPECT_THAT(b.stops(), ElementsAre("<|end|>"));
  EXPECT_THAT(b.end_pieces(), ElementsAre("<|end|>"));
  EXPECT_FALSE(b.joins_paragraphs());
  EXPECT_EQ(b.cleaned("a\n\nb"), "a\n\nb");
}

}  // namespace
}  // namespace linea
