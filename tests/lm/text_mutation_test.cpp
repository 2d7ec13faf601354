// Grammars, schemas and chat templates that were damaged: refused in one line, or understood; never anything else.
#include <gtest/gtest.h>

#include "lm/grammar/grammar.h"
#include "lm/grammar/json_schema.h"
#include "lm/template/chat_template.h"
#include "tests/core/mutation.h"

namespace linea {
namespace {

TEST(TextMutation, Grammars) {
  for (const char* grammar : {"root ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= [a-z]+ | \"\\u00e9\\x41\" | root # comment\n",
                              "root ::= (\"a\" | [^\\n\"] | .){2,5} x?\nx ::= \"b\"{3,} \"\" | (\"c\"*)+"}) {
    test::expect_survives(grammar, 1000, 17, [](const std::string& text) { parse_gbnf(text, "grammar"); });
  }
}

TEST(TextMutation, Schemas) {
  for (
      const char* schema :
      {R"({"type":"object","properties":{"a":{"type":"integer","minimum":-5,"maximum":12},"b":{"type":"string","pattern":"^[a-c]{2,3}x?$"}}})",
       R"({"anyOf":[{"items":{"$ref":"#/$defs/x"},"minItems":1,"maxItems":3},{"enum":[1,"a"]}],"$defs":{"x":{"type":["number","null"],"exclusiveMaximum":0.5}}})"}) {
    test::expect_survives(schema, 1000, 18, [](const std::string& text) { parse_gbnf(json_schema_to_gbnf(text, "schema"), "schema"); });
  }
}

TEST(TextMutation, ChatTemplates) {
  for (const char* chat_template : {"{% set ns = namespace(n=0) %}{%- for m in messages if m.role != 's' -%}{% set ns.n = ns.n + "
                                    "loop.index0 * 2 %}{{ m['role'] | upper ~ "
                                    "m.content[1:3] | trim }}\n{% else %}none{% endfor %}{{ ns.n // 3 }}{% if add_generation_prompt and "
                                    "not false %}A:{% elif x %}{{ x }}{% endif %}",
                                    "{% macro f(a, b=2) %}<{{ a }}{{ b | tojson(indent=2) }}>{% endmacro %}{{ f(messages | length) }}{{ "
                                    "f({'k': [1, 2.5, none]}, b=messages[0]) }}{# c #}"}) {
    test::expect_survives(chat_template, 1000, 19, [](const std::string& text) {
      ChatTemplate::jinja(text, "template", "<s>", "</s>")
          .render({{Role::kSystem, "s"}, {Role::kUser, "some text"}, {Role::kAssistant, "answer"}, {Role::kUser, "more"}}, true);
    });
  }
}

}  // namespace
}  // namespace linea
