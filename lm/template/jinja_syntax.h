// lm/template/jinja_syntax.h: templates as trees. Private to lm/template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lm/template/jinja.h"

namespace linea::jinja {

struct Token {
  enum class Kind { kText, kName, kNumber, kString, kSymbol, kOpenOutput, kOpenTag, kClose, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // of a string: what it stands for
  int line = 1;
};
// The tokens of a template; the last is kEnd.
std::vector<Token> tokenize(std::string_view text, const std::string& source);

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
  std::string name;  // empty for a positional one
  ExpressionPtr value;
};

struct Expression {
  enum class Kind { kLiteral, kName, kList, kDict, kUnary, kBinary, kCompare, kAttribute, kIndex, kSlice, kCall, kFilter, kTest, kChoice };
  Kind kind = Kind::kLiteral;
  int line = 1;
  int height = 1;  // levels of the tree from here on down
  JinjaValue literal{};
  std::string name{};  // variable, attribute, filter, test, operator
  std::vector<ExpressionPtr>
      children{};  // operands; base first. kSlice: base, start, stop, step (may be null). kChoice: value, condition, other
  std::vector<Argument> arguments{};  // of calls, filters and tests
};

struct Statement;
struct Block {
  std::vector<std::unique_ptr<Statement>> statements;
};

struct Statement {
  enum class Kind { kText, kOutput, kIf, kFor, kSet, kSetBlock, kMacro, kBreak, kContinue };
  Kind kind = Kind::kText;
  int line = 1;
  std::string text{};                // kText; name of the macro
  std::vector<std::string> names{};  // kFor, kSet: variables; kSet of an attribute: namespace, attribute; kMacro: parameters
  bool is_attribute = false;         // kSet
  ExpressionPtr value{};             // kOutput, kFor, kSet
  ExpressionPtr filter{};            // kFor: after if
  std::vector<std::pair<ExpressionPtr, Block>> branches{};  // kIf: a null condition is else
  Block body{}, otherwise{};                                // kFor, kSetBlock, kMacro
  std::vector<ExpressionPtr> defaults{};                    // kMacro, by parameter; may be null
};

Block parse(std::vector<Token> tokens, const std::string& source);

// What a template does to values. `keywords` is an object of the named arguments. They throw std::string with what is wrong.
struct Arguments {
  std::vector<JinjaValue> values;
  JinjaValue named = JinjaValue::object();
  const JinjaValue& at(size_t index, const char* name, const JinjaValue& fallback) const;
};
JinjaValue call_filter(const std::string& name, const JinjaValue& value, const Arguments& arguments);
JinjaValue call_method(const std::string& name, const JinjaValue& value, const Arguments& arguments);
bool call_test(const std::string& name, const JinjaValue& value, const Arguments& arguments);

JinjaValue undefined();
inline bool is_undefined(const JinjaValue& value) { return value.is_discarded(); }
bool truth(const JinjaValue& value);
std::string to_text(const JinjaValue& value);              // as Python's str
std::string to_json(const JinjaValue& value, int indent);  // as Python's json.dumps without ASCII escapes; indent < 0: one line

inline constexpr size_t kMaxText = 16 << 20;

}  // namespace linea::jinja
