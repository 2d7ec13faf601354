#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "core/error.h"
#include "core/text.h"
#include "lm/template/jinja_syntax.h"

namespace linea {
namespace jinja {
namespace {

using Kind = Expression::Kind;

constexpr int64_t kMaxSteps = 1'000'000;
constexpr int64_t kRoundSteps = 4;   // what a round of a loop costs besides its body
constexpr int kMaxCalls = 60;        // of macros in macros
constexpr int kMaxLevels = 400;      // of blocks and expressions within each other, through macros, too
constexpr int kMaxValueDepth = 100;  // of lists and dictionaries that have a name: they are copied, shown and compared by recursion
constexpr int64_t kMaxRange = 100'000;

enum class Flow { kNext, kBreak, kContinue };

class Evaluator {
 public:
  Evaluator(const std::string& source, const JinjaValue& variables) : source_(source) {
    scopes_.emplace_back();
    for (const auto& [name, value] : variables.items()) scopes_.back()[name] = value;
  }

  std::string render(const Block& block) {
    run(block);
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(int line, const std::string& what) const {
    throw Error(ErrorKind::kModel, source_ + ": line " + std::to_string(line) + ": " + what);
  }
  void count(int line, int64_t steps = 1) {
    steps_ += steps;
    if (steps_ > kMaxSteps) fail(line, "takes too many steps");
  }
  // Guards the recursion.
  struct Level {
    Level(Evaluator& evaluator, int line) : levels(evaluator.levels_) {
      if (++levels > kMaxLevels) evaluator.fail(line, "is nested too deeply");
    }
    ~Level() { --levels; }
    int& levels;
  };
  static bool is_deeper(const JinjaValue& value, int than) {
    if (!value.is_structured()) return false;
    return than == 0 || std::any_of(value.begin(), value.end(), [&](const JinjaValue& item) { return is_deeper(item, than - 1); });
  }
  const JinjaValue& checked(int line, const JinjaValue& value) const {
    if (is_deeper(value, kMaxValueDepth)) fail(line, "makes a value that is nested too deeply");
    return value;
  }
  void write(int line, std::string_view text) {
    if (out_.size() + text.size() > kMaxText) fail(line, "makes more than 16 MiB of text");
    out_ += text;
  }

  // ---- Variables: a scope for the template, each loop and each macro ----

  const JinjaValue* find(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return &found->second;
    }
    return nullptr;
  }
  JinjaValue* find(const std::string& name) { return const_cast<JinjaValue*>(std::as_const(*this).find(name)); }

  void assign(int line, const std::vector<std::string>& names, const JinjaValue& value) {
    checked(line, value);
    if (names.size() == 1) {
      scopes_.back()[names[0]] = value;
      return;
    }
    if (!value.is_array() || value.size() != names.size()) fail(line, "cannot take a value apart into " + std::to_string(names.size()));
    for (size_t i = 0; i < names.size(); ++i) scopes_.back()[names[i]] = value[i];
  }

  // ---- Statements ----

  Flow run(const Block& block) {
    for (const auto& statement : block.statements) {
      if (const Flow flow = run(*statement); flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Flow run(const Statement& s) {
    const Level level(*this, s.line);
    count(s.line);
    switch (s.kind) {
      case Statement::Kind::kText: write(s.line, s.text); break;
      case Statement::Kind::kOutput: {
        const JinjaValue value = evaluate(*s.value);
        write(s.line, to_text(value));
        break;
      }
      case Statement::Kind::kIf:
        for (const auto& [condition, body] : s.branches) {
          if (!condition || truth(evaluate(*condition))) return run(body);
        }
        break;
      case Statement::Kind::kFor: run_for(s); break;
      case Statement::Kind::kSet: set(s); break;
      case Statement::Kind::kSetBlock: scopes_.back()[s.names[0]] = captured(s.body); break;
      case Statement::Kind::kMacro: macros_[s.text] = &s; break;
      case Statement::Kind::kBreak: return Flow::kBreak;
      case Statement::Kind::kContinue: return Flow::kContinue;
    }
    return Flow::kNext;
  }

  void set(const Statement& s) {
    JinjaValue value = evaluate(*s.value);
    if (!s.is_attribute) return assign(s.line, s.names, value);
    JinjaValue* space = find(s.names[0]);
    if (!space || !space->is_object()) fail(s.line, "'" + printable(s.names[0], 40) + "' is not a namespace");
    checked(s.line, value);
    (*space)[s.names[1]] = std::move(value);
  }

  std::string captured(const Block& body) {
    std::string outer = std::move(out_);
    out_.clear();
    run(body);
    std::string text = std::move(out_);
    out_ = std::move(outer);
    return text;
  }

  JinjaValue items_of(int line, const JinjaValue& value) {
    if (value.is_array()) return value;
    JinjaValue items = JinjaValue::array();
    if (value.is_object()) {
      for (const auto& [key, unused] : value.items()) items.push_back(key);
    } else if (value.is_string()) {
      items = call_filter("list", value, {});
    } else if (!is_undefined(value)) {
      fail(line, "cannot loop over " + printable(to_text(value), 40));
    }
    return items;
  }

  void run_for(const Statement& s) {
    JinjaValue items = items_of(s.line, evaluate(*s.value));
    scopes_.emplace_back();
    if (s.filter) {
      JinjaValue kept = JinjaValue::array();
      for (const JinjaValue& item : items) {
        count(s.line);
        assign(s.line, s.names, item);
        if (truth(evaluate(*s.filter))) kept.push_back(item);
      }
      items = std::move(kept);
    }
    for (size_t i = 0; i < items.size(); ++i) {
      count(s.line, kRoundSteps);
      scopes_.back().clear();  // what is set in one round is gone in the next
      assign(s.line, s.names, items[i]);
      scopes_.back()["loop"] = {{"index", i + 1},
                                {"index0", i},
                                {"first", i == 0},
                                {"last", i + 1 == items.size()},
                                {"length", items.size()},
                                {"revindex", items.size() - i},
                                {"revindex0", items.size() - i - 1}};
      scopes_.back()["loop"]["previtem"] = i > 0 ? items[i - 1] : undefined();
      scopes_.back()["loop"]["nextitem"] = i + 1 < items.size() ? items[i + 1] : undefined();
      if (run(s.body) == Flow::kBreak) break;
    }
    scopes_.pop_back();
    if (items.empty()) run(s.otherwise);
  }

  // ---- Expressions ----

  // A variable where it lies, which may be a whole conversation; any other value in `made`.
  const JinjaValue& operand(const Expression& e, JinjaValue& made) {
    if (const JinjaValue* variable = e.kind == Kind::kName ? find(e.name) : nullptr) {
      count(e.line);
      return *variable;
    }
    return made = evaluate(e);
  }

  JinjaValue evaluate(const Expression& e) {
    const Level level(*this, e.line);
    count(e.line);
    switch (e.kind) {
      case Kind::kLiteral: return e.literal;
      case Kind::kName: {
        const JinjaValue* value = find(e.name);
        return value ? *value : undefined();
      }
      case Kind::kList: {
        JinjaValue list = JinjaValue::array();
        for (const ExpressionPtr& item : e.children) list.push_back(evaluate(*item));
        return list;
      }
      case Kind::kDict: {
        JinjaValue dict = JinjaValue::object();
        for (size_t i = 0; i + 1 < e.children.size(); i += 2) dict[to_text(evaluate(*e.children[i]))] = evaluate(*e.children[i + 1]);
        return dict;
      }
      case Kind::kUnary: return unary(e);
      case Kind::kBinary: return binary(e);
      case Kind::kCompare: return compare(e);
      case Kind::kAttribute: {
        JinjaValue made;
        return member(e, operand(*e.children[0], made), e.name);
      }
      case Kind::kIndex: {
        JinjaValue made;
        const JinjaValue key = evaluate(*e.children[1]);
        return member(e, operand(*e.children[0], made), key);
      }
      case Kind::kSlice: return slice(e);
      case Kind::kCall: return call(e);
      case Kind::kFilter: return filter(e);
      case Kind::kTest: return test(e);
      case Kind::kChoice:
        if (truth(evaluate(*e.children[1]))) return evaluate(*e.children[0]);
        return e.children[2] ? evaluate(*e.children[2]) : JinjaValue("");
    }
    return undefined();
  }

  JinjaValue unary(const Expression& e) {
    const JinjaValue value = evaluate(*e.children[0]);
    if (e.name == "not") return !truth(value);
    if (value.is_number_float()) return -value.get<double>();
    if (value.is_number()) return -value.get<int64_t>();
    fail(e.line, "cannot negate " + printable(to_text(value), 40));
  }

  JinjaValue binary(const Expression& e) {
    JinjaValue left = evaluate(*e.children[0]);
    if (e.name == "or") return truth(left) ? left : evaluate(*e.children[1]);
    if (e.name == "and") return truth(left) ? evaluate(*e.children[1]) : left;
    JinjaValue right = evaluate(*e.children[1]);
    if (e.name == "~" || (e.name == "+" && left.is_string() && right.is_string())) {
      std::string text = to_text(left) + to_text(right);
      if (text.size() > kMaxText) fail(e.line, "makes more than 16 MiB of text");
      count(e.line, static_cast<int64_t>(text.size() / 1024));
      return text;
    }
    if (e.name == "+" && left.is_array() && right.is_array()) {
      count(e.line, static_cast<int64_t>(left.size() + right.size()));
      for (const JinjaValue& item : right) left.push_back(item);
      return left;
    }
    const auto is_number = [](const JinjaValue& v) { return v.is_number() || v.is_boolean(); };
    if (!is_number(left) || !is_number(right)) {
      fail(e.line, "cannot compute " + printable(to_text(left), 40) + " " + e.name + " " + printable(to_text(right), 40) +
                       (is_undefined(left) || is_undefined(right) ? " (undefined)" : ""));
    }
    if (left.is_number_float() || right.is_number_float() || e.name == "/") return real(e, number(left), number(right));
    return whole(e, left.is_boolean() ? left.get<bool>() : left.get<int64_t>(),
                 right.is_boolean() ? right.get<bool>() : right.get<int64_t>());
  }

  static double number(const JinjaValue& value) {
    return value.is_boolean() ? static_cast<double>(value.get<bool>()) : value.get<double>();
  }

  JinjaValue real(const Expression& e, double a, double b) const {
    if (e.name == "+") return a + b;
    if (e.name == "-") return a - b;
    if (e.name == "*") return a * b;
    if (b == 0) fail(e.line, "division by zero");
    if (e.name == "/") return a / b;
    if (e.name == "//") return std::floor(a / b);
    return a - b * std::floor(a / b);
  }

  // As Python's: quotients are rounded down. Sums wrap instead of growing without end.
  JinjaValue whole(const Expression& e, int64_t a, int64_t b) const {
    const auto wrapped = [](uint64_t value) { return static_cast<int64_t>(value); };
    if (e.name == "+") return wrapped(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    if (e.name == "-") return wrapped(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
    if (e.name == "*") return wrapped(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    if (b == 0) fail(e.line, "division by zero");
    if (b == -1) return e.name == "//" ? wrapped(0 - static_cast<uint64_t>(a)) : int64_t{0};
    const int64_t remainder = a % b, adjusted = remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
    return e.name == "//" ? (a - adjusted) / b : adjusted;
  }

  JinjaValue compare(const Expression& e) {
    const JinjaValue left = evaluate(*e.children[0]), right = evaluate(*e.children[1]);
    if (e.name == "==") return equal(left, right);
    if (e.name == "!=") return !equal(left, right);
    if (e.name == "in") return contains(e, right, left);
    if (e.name == "not in") return !contains(e, right, left);
    const bool comparable = (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
    if (!comparable) fail(e.line, "cannot compare " + printable(to_text(left), 40) + " with " + printable(to_text(right), 40));
    if (e.name == "<") return left < right;
    if (e.name == "<=") return left <= right;
    if (e.name == ">") return left > right;
    return left >= right;
  }

  static bool equal(const JinjaValue& a, const JinjaValue& b) {
    if (is_undefined(a) || is_undefined(b)) return is_undefined(a) && is_undefined(b);
    return a == b;
  }

  bool contains(const Expression& e, const JinjaValue& container, const JinjaValue& value) {
    if (is_undefined(container)) return false;
    if (container.is_string())
      return value.is_string() && container.get_ref<const std::string&>().find(value.get_ref<const std::string&>()) != std::string::npos;
    if (container.is_object()) return value.is_string() && container.contains(value.get_ref<const std::string&>());
    if (!container.is_array()) fail(e.line, "cannot look into " + printable(to_text(container), 40));
    count(e.line, static_cast<int64_t>(container.size()));
    return std::any_of(container.begin(), container.end(), [&](const JinjaValue& item) { return equal(item, value); });
  }

  // What is not there is undefined, as in Jinja; members of what is undefined are an error.
  JinjaValue member(const Expression& e, const JinjaValue& base, const JinjaValue& key) {
    if (is_undefined(base)) fail(e.line, "member " + printable(to_text(key), 40) + " of something undefined");
    if (base.is_object() && key.is_string()) {
      const auto found = base.find(key.get_ref<const std::string&>());
      return found == base.end() ? undefined() : *found;
    }
    if (!key.is_number_integer()) return undefined();
    const int64_t index = key.get<int64_t>();
    JinjaValue characters;
    const JinjaValue& items = base.is_string() ? characters = call_filter("list", base, {}) : base;
    if (!items.is_array()) return undefined();
    const auto size = static_cast<int64_t>(items.size());
    const int64_t from_start = index < 0 ? index + size : index;
    return from_start >= 0 && from_start < size ? items[static_cast<size_t>(from_start)] : undefined();
  }

  JinjaValue slice(const Expression& e) {
    const JinjaValue base = evaluate(*e.children[0]);
    const bool is_text = base.is_string();
    const JinjaValue items = is_text ? call_filter("list", base, {}) : base;
    if (!items.is_array()) fail(e.line, "cannot cut a slice out of " + printable(to_text(base), 40));
    const auto size = static_cast<int64_t>(items.size());
    const auto part = [&](size_t index) -> std::optional<int64_t> {
      if (!e.children[index]) return std::nullopt;
      const JinjaValue value = evaluate(*e.children[index]);
      if (value.is_null() || is_undefined(value)) return std::nullopt;
      if (!value.is_number_integer()) fail(e.line, "a slice needs whole numbers");
      return std::clamp<int64_t>(value.get<int64_t>(), -kMaxRange * 1000, kMaxRange * 1000);
    };
    const int64_t step = part(3).value_or(1);
    if (step == 0) fail(e.line, "a slice has step 0");
    const auto clamped = [&](std::optional<int64_t> value, int64_t fallback) {
      if (!value) return fallback;
      const int64_t at = *value < 0 ? *value + size : *value;
      return step > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
    };
    const int64_t start = clamped(part(1), step > 0 ? 0 : size - 1), stop = clamped(part(2), step > 0 ? size : -1);
    JinjaValue result = JinjaValue::array();
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) result.push_back(items[static_cast<size_t>(i)]);
    count(e.line, size);
    return is_text ? call_filter("join", result, {}) : result;
  }

  Arguments evaluate(const std::vector<Argument>& arguments) {
    Arguments result;
    for (const Argument& argument : arguments) {
      JinjaValue value = evaluate(*argument.value);
      if (argument.name.empty()) {
        result.values.push_back(std::move(value));
      } else {
        result.named[argument.name] = std::move(value);
      }
    }
    return result;
  }

  // Runs a builtin, whose complaints get the line.
  template <class Builtin> auto guarded(int line, const JinjaValue& value, const Builtin& builtin) {
    count(line, static_cast<int64_t>(value.is_string() ? value.get_ref<const std::string&>().size() / 256 : value.size()));
    try {
      return builtin();
    } catch (const std::string& what) {
      fail(line, what);
    } catch (const JinjaValue::exception& error) {
      fail(line, printable(error.what(), 120));
    }
  }

  JinjaValue filter(const Expression& e) {
    const Arguments arguments = evaluate(e.arguments);
    JinjaValue made;
    const JinjaValue& value = operand(*e.children[0], made);
    return guarded(e.line, value, [&] { return call_filter(e.name, value, arguments); });
  }

  JinjaValue test(const Expression& e) {
    const Arguments arguments = evaluate(e.arguments);
    JinjaValue made;
    const JinjaValue& value = operand(*e.children[0], made);
    return guarded(e.line, value, [&] { return call_test(e.name, value, arguments); });
  }

  JinjaValue call(const Expression& e) {
    const Expression& callee = *e.children[0];
    const Arguments arguments = evaluate(e.arguments);
    if (callee.kind == Kind::kAttribute) {
      JinjaValue made;
      const JinjaValue& base = operand(*callee.children[0], made);
      if (is_undefined(base)) fail(e.line, "." + printable(callee.name, 40) + "() of something undefined");
      return guarded(e.line, base, [&] { return call_method(callee.name, base, arguments); });
    }
    if (callee.kind != Kind::kName) fail(e.line, "only names can be called");
    if (const auto macro = macros_.find(callee.name); macro != macros_.end()) return call_macro(e.line, *macro->second, arguments);
    return call_function(e.line, callee.name, arguments);
  }

  JinjaValue call_macro(int line, const Statement& macro, const Arguments& arguments) {
    if (++calls_ > kMaxCalls) fail(line, "macros call each other too deeply");
    std::map<std::string, JinjaValue> scope;
    for (size_t i = 0; i < macro.names.size(); ++i) {
      const std::string& name = macro.names[i];
      if (i < arguments.values.size()) {
        scope[name] = checked(line, arguments.values[i]);
      } else if (arguments.named.contains(name)) {
        scope[name] = checked(line, arguments.named.at(name));
      } else {
        scope[name] = macro.defaults[i] ? checked(line, evaluate(*macro.defaults[i])) : undefined();
      }
    }
    scopes_.push_back(std::move(scope));
    std::string text = captured(macro.body);
    scopes_.pop_back();
    --calls_;
    return text;
  }

  JinjaValue call_function(int line, const std::string& name, const Arguments& arguments) {
    const std::vector<JinjaValue>& values = arguments.values;
    if (name == "raise_exception") {
      throw Error(ErrorKind::kUsage,
                  "the chat template refuses this conversation: " + printable(values.empty() ? "" : to_text(values[0]), 300));
    }
    if (name == "namespace" || name == "dict") {
      JinjaValue result = values.empty() || !values[0].is_object() ? JinjaValue::object() : values[0];
      for (const auto& [key, value] : arguments.named.items()) result[key] = value;
      return result;
    }
    if (name == "range") return range(line, values);
    if (name == "strftime_now") return "1970-01-01";  // a text must not depend on the day, or no kept state would fit tomorrow
    fail(line, "the function '" + printable(name, 40) + "' is not supported");
  }

  JinjaValue range(int line, const std::vector<JinjaValue>& values) {
    std::vector<int64_t> numbers;
    for (const JinjaValue& value : values) {
      if (!value.is_number_integer()) fail(line, "range() needs whole numbers");
      numbers.push_back(value.get<int64_t>());
    }
    if (numbers.empty() || numbers.size() > 3) fail(line, "range() needs one to three numbers");
    const int64_t start = numbers.size() > 1 ? numbers[0] : 0, stop = numbers.size() > 1 ? numbers[1] : numbers[0];
    const int64_t step = numbers.size() > 2 ? numbers[2] : 1;
    if (step == 0) fail(line, "range() has step 0");
    JinjaValue list = JinjaValue::array();
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
      if (list.size() >= static_cast<size_t>(kMaxRange)) fail(line, "range() is longer than " + std::to_string(kMaxRange));
      list.push_back(i);
      if (__builtin_add_overflow(i, step, &i)) break;
    }
    count(line, static_cast<int64_t>(list.size()));
    return list;
  }

  const std::string& source_;
  std::vector<std::map<std::string, JinjaValue>> scopes_;
  std::map<std::string, const Statement*> macros_;
  std::string out_;
  int64_t steps_ = 0;
  int calls_ = 0, levels_ = 0;
};

}  // namespace
}  // namespace jinja

JinjaTemplate::JinjaTemplate(std::string_view text, std::string source)
    : source_(std::move(source)), root_(std::make_unique<jinja::Block>(jinja::parse(jinja::tokenize(text, source_), source_))) {}
JinjaTemplate::~JinjaTemplate() = default;
JinjaTemplate::JinjaTemplate(JinjaTemplate&&) noexcept = default;
JinjaTemplate& JinjaTemplate::operator=(JinjaTemplate&&) noexcept = default;

std::string JinjaTemplate::render(const JinjaValue& variables) const { return jinja::Evaluator(source_, variables).render(*root_); }

}  // namespace linea
