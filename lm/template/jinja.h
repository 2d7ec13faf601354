// lm/template/jinja.h: the part of Jinja that chat templates use.
//
// Understood: {{ }}, {% if/elif/else %}, {% for x, y in z if c %} with else, {% set %} also as a block and on attributes of namespace(),
// {% macro %}, {% break %}, {% continue %}, {% generation %}, {# #} and white-space control, as transformers sets them up (trim_blocks,
// lstrip_blocks); the operators, literals, slices and inline if of expressions; the filters, tests, methods and functions that
// jinja_calls.cpp lists. Anything else is refused by name when the template is read or met. Work and output are bounded. Reference: the
// jinja2 package; golden tests in tests/lm.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace linea {

using JinjaValue = nlohmann::ordered_json;

namespace jinja {
struct Block;
}

class JinjaTemplate {
 public:
  // Throws kModel: "SOURCE: line N: what".
  JinjaTemplate(std::string_view text, std::string source);
  ~JinjaTemplate();
  JinjaTemplate(JinjaTemplate&&) noexcept;
  JinjaTemplate& operator=(JinjaTemplate&&) noexcept;

  // `variables` is an object. Throws kUsage with the template's own words for raise_exception, and kModel for what it does not understand,
  // for undefined values that are used and for more than a million steps or 16 MiB of text.
  std::string render(const JinjaValue& variables) const;

 private:
  std::string source_;
  std::unique_ptr<jinja::Block> root_;
};

}  // namespace linea
