#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/text.h"
#include "lm/template/jinja_syntax.h"

namespace linea::jinja {
namespace {

using Kind = Expression::Kind;

constexpr int kMaxDepth = 100;   // of blocks in blocks and parentheses in parentheses
constexpr int kMaxHeight = 250;  // of a tree, which chains of operators, filters and members make as well
constexpr size_t kMaxArguments = 100;

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& source) : tokens_(std::move(tokens)), source_(source) {}

  Block run() {
    Block block = parse_block({});
    if (peek().kind != Token::Kind::kEnd) fail("unexpected end of a block");
    return block;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::kModel, source_ + ": line " + std::to_string(peek().line) + ": " + what);
  }

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool is_symbol(const char* text, size_t ahead = 0) const { return peek(ahead).kind == Token::Kind::kSymbol && peek(ahead).text == text; }
  bool is_word(const char* text, size_t ahead = 0) const { return peek(ahead).kind == Token::Kind::kName && peek(ahead).text == text; }
  bool take_symbol(const char* text) { return is_symbol(text) && (++at_, true); }
  bool take_word(const char* text) { return is_word(text) && (++at_, true); }
  std::string shown() const { return peek().kind == Token::Kind::kEnd ? "the end" : "'" + printable(peek().text, 40) + "'"; }
  void expect_symbol(const char* text) {
    if (!take_symbol(text)) fail(std::string("expected ") + text + " before " + shown());
  }
  void expect_close() {
    if (peek().kind != Token::Kind::kClose) fail("unexpected " + shown() + " in a tag");
    ++at_;
  }
  std::string expect_name() {
    if (peek().kind != Token::Kind::kName) fail("expected a name before " + shown());
    return tokens_[at_++].text;
  }

  // Guards the recursion.
  struct Level {
    explicit Level(Parser& parser) : depth(parser.depth_) {
      if (++depth > kMaxDepth) parser.fail("is nested too deeply");
    }
    ~Level() { --depth; }
    int& depth;
  };

  // ---- Statements ----

  // Up to a tag that begins with one of `ends`, which is left to the caller with its opening mark taken.
  Block parse_block(const std::set<std::string>& ends) {
    const Level level(*this);
    Block block;
    for (;;) {
      const Token& token = peek();
      if (token.kind == Token::Kind::kEnd) return block;
      ++at_;
      if (token.kind == Token::Kind::kText) {
        auto statement = make(Statement::Kind::kText, token.line);
        statement->text = token.text;
        block.statements.push_back(std::move(statement));
      } else if (token.kind == Token::Kind::kOpenOutput) {
        auto statement = make(Statement::Kind::kOutput, token.line);
        statement->value = parse_expression();
        expect_close();
        block.statements.push_back(std::move(statement));
      } else {
        if (ends.contains(peek().text)) return block;
        parse_tag(block);
      }
    }
  }

  static std::unique_ptr<Statement> make(Statement::Kind kind, int line) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = line;
    return statement;
  }

  void end_tag(const char* name) {
    if (!take_word(name)) fail(std::string("expected {% ") + name + " %} before " + shown());
    expect_close();
  }

  void parse_tag(Block& block) {
    const int line = peek().line;
    const std::string name = expect_name();
    if (name == "if") {
      block.statements.push_back(parse_if(line));
    } else if (name == "for") {
      block.statements.push_back(parse_for(line));
    } else if (name == "set") {
      block.statements.push_back(parse_set(line));
    } else if (name == "macro") {
      block.statements.push_back(parse_macro(line));
    } else if (name == "break" || name == "continue") {
      expect_close();
      block.statements.push_back(make(name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue, line));
    } else if (name == "generation") {  // marks what is learned from: nothing to do
      expect_close();
      Block inner = parse_block({"endgeneration"});
      end_tag("endgeneration");
      std::move(inner.statements.begin(), inner.statements.end(), std::back_inserter(block.statements));
    } else {
      --at_;
      fail("the tag '" + printable(name, 40) + "' is not supported here");
    }
  }

  std::unique_ptr<Statement> parse_if(int line) {
    auto statement = make(Statement::Kind::kIf, line);
    ExpressionPtr condition = parse_expression();
    expect_close();
    for (;;) {
      Block body = parse_block({"elif", "else", "endif"});
      statement->branches.emplace_back(std::move(condition), std::move(body));
      if (take_word("elif")) {
        condition = parse_expression();
        expect_close();
      } else if (take_word("else")) {
        expect_close();
        statement->branches.emplace_back(nullptr, parse_block({"endif"}));
        break;
      } else {
        break;
      }
    }
    end_tag("endif");
    return statement;
  }

  std::unique_ptr<Statement> parse_for(int line) {
    auto statement = make(Statement::Kind::kFor, line);
    const bool parenthesis = take_symbol("(");
    do {
      statement->names.push_back(expect_name());
    } while (take_symbol(","));
    if (parenthesis) expect_symbol(")");
    if (!take_word("in")) fail("expected 'in' before " + shown());
    statement->value = parse_or();
    if (take_word("if")) statement->filter = parse_expression();
    if (is_word("recursive")) fail("recursive loops are not supported");
    expect_close();
    statement->body = parse_block({"else", "endfor"});
    if (take_word("else")) {
      expect_close();
      statement->otherwise = parse_block({"endfor"});
    }
    end_tag("endfor");
    return statement;
  }

  std::unique_ptr<Statement> parse_set(int line) {
    auto statement = make(Statement::Kind::kSet, line);
    statement->names.push_back(expect_name());
    if (take_symbol(".")) {
      statement->names.push_back(expect_name());
      statement->is_attribute = true;
    }
    while (!statement->is_attribute && take_symbol(",")) statement->names.push_back(expect_name());
    if (take_symbol("=")) {
      statement->value = parse_expression();
      expect_close();
      return statement;
    }
    if (statement->is_attribute || statement->names.size() > 1) fail("expected = before " + shown());
    statement->kind = Statement::Kind::kSetBlock;
    expect_close();
    statement->body = parse_block({"endset"});
    end_tag("endset");
    return statement;
  }

  std::unique_ptr<Statement> parse_macro(int line) {
    auto statement = make(Statement::Kind::kMacro, line);
    statement->text = expect_name();
    expect_symbol("(");
    while (!take_symbol(")")) {
      statement->names.push_back(expect_name());
      statement->defaults.push_back(take_symbol("=") ? parse_expression() : nullptr);
      if (!is_symbol(")")) expect_symbol(",");
    }
    expect_close();
    statement->body = parse_block({"endmacro"});
    end_tag("endmacro");
    return statement;
  }

  // ---- Expressions, loosest first ----

  ExpressionPtr node(Kind kind, std::string name = {}) const {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->line = peek().line;
    expression->name = std::move(name);
    return expression;
  }
  // Trees are evaluated and taken down by recursion.
  void grow(Expression& above, const ExpressionPtr& below) const {
    if (below) above.height = std::max(above.height, below->height + 1);
    if (above.height > kMaxHeight) fail("is nested too deeply");
  }
  void add_child(Expression& above, ExpressionPtr child) const {
    grow(above, child);
    above.children.push_back(std::move(child));
  }
  ExpressionPtr binary(Kind kind, std::string name, ExpressionPtr left, ExpressionPtr right) const {
    ExpressionPtr expression = node(kind, std::move(name));
    add_child(*expression, std::move(left));
    add_child(*expression, std::move(right));
    return expression;
  }

  ExpressionPtr parse_expression() {
    const Level level(*this);
    ExpressionPtr value = parse_or();
    if (!take_word("if")) return value;
    ExpressionPtr choice = node(Kind::kChoice);
    ExpressionPtr condition = parse_or();
    add_child(*choice, std::move(value));
    add_child(*choice, std::move(condition));
    add_child(*choice, take_word("else") ? parse_expression() : nullptr);
    return choice;
  }

  ExpressionPtr parse_or() {
    ExpressionPtr left = parse_and();
    while (take_word("or")) left = binary(Kind::kBinary, "or", std::move(left), parse_and());
    return left;
  }

  ExpressionPtr parse_and() {
    ExpressionPtr left = parse_not();
    while (take_word("and")) left = binary(Kind::kBinary, "and", std::move(left), parse_not());
    return left;
  }

  ExpressionPtr parse_not() {
    if (!take_word("not")) return parse_comparison();
    const Level level(*this);
    ExpressionPtr expression = node(Kind::kUnary, "not");
    add_child(*expression, parse_not());
    return expression;
  }

  ExpressionPtr parse_comparison() {
    ExpressionPtr left = parse_sum();
    for (;;) {
      std::string name;
      for (const char* symbol : {"==", "!=", "<=", ">=", "<", ">"}) {
        if (name.empty() && take_symbol(symbol)) name = symbol;
      }
      if (name.empty() && take_word("in")) name = "in";
      if (name.empty() && is_word("not") && is_word("in", 1)) {
        at_ += 2;
        name = "not in";
      }
      if (name.empty()) return left;
      left = binary(Kind::kCompare, name, std::move(left), parse_sum());
    }
  }

  ExpressionPtr parse_sum() {
    ExpressionPtr left = parse_concatenation();
    while (is_symbol("+") || is_symbol("-")) {
      const std::string name = tokens_[at_++].text;
      left = binary(Kind::kBinary, name, std::move(left), parse_concatenation());
    }
    return left;
  }

  ExpressionPtr parse_concatenation() {
    ExpressionPtr left = parse_product();
    while (take_symbol("~")) left = binary(Kind::kBinary, "~", std::move(left), parse_product());
    return left;
  }

  ExpressionPtr parse_product() {
    ExpressionPtr left = parse_unary();
    while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
      const std::string name = tokens_[at_++].text;
      left = binary(Kind::kBinary, name, std::move(left), parse_unary());
    }
    return left;
  }

  ExpressionPtr parse_unary() {
    if (take_symbol("-")) {
      const Level level(*this);
      ExpressionPtr expression = node(Kind::kUnary, "-");
      add_child(*expression, parse_unary());
      return expression;
    }
    return parse_filters(parse_postfix(parse_primary()));
  }

  ExpressionPtr parse_filters(ExpressionPtr value) {
    for (;;) {
      if (take_symbol("|")) {
        ExpressionPtr filter = node(Kind::kFilter, expect_name());
        add_child(*filter, std::move(value));
        if (take_symbol("(")) parse_arguments(*filter);
        value = parse_postfix(std::move(filter));
      } else if (take_word("is")) {
        const bool inverted = take_word("not");
        ExpressionPtr test = node(Kind::kTest, expect_name());
        add_child(*test, std::move(value));
        if (take_symbol("(")) {
          parse_arguments(*test);
        } else if (test->name == "in" || test->name == "equalto" || test->name == "divisibleby" || test->name == "eq") {
          add_argument(*test, "", parse_postfix(parse_primary()));
        }
        value = std::move(test);
        if (inverted) {
          ExpressionPtr negation = node(Kind::kUnary, "not");
          add_child(*negation, std::move(value));
          value = std::move(negation);
        }
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_postfix(ExpressionPtr value) {
    for (;;) {
      if (take_symbol(".")) {
        ExpressionPtr attribute = node(Kind::kAttribute, expect_name());
        add_child(*attribute, std::move(value));
        value = std::move(attribute);
      } else if (take_symbol("[")) {
        value = parse_subscript(std::move(value));
      } else if (take_symbol("(")) {
        ExpressionPtr call = node(Kind::kCall);
        add_child(*call, std::move(value));
        parse_arguments(*call);
        value = std::move(call);
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_subscript(ExpressionPtr base) {
    ExpressionPtr index = node(Kind::kIndex);
    add_child(*index, std::move(base));
    const auto part = [&]() -> ExpressionPtr { return is_symbol(":") || is_symbol("]") ? nullptr : parse_expression(); };
    add_child(*index, part());
    while (take_symbol(":")) {
      index->kind = Kind::kSlice;
      add_child(*index, part());
    }
    if (index->kind == Kind::kIndex && !index->children[1]) fail("expected an index before ]");
    if (index->children.size() > 4) fail("a slice has more than three parts");
    index->children.resize(index->kind == Kind::kSlice ? 4 : 2);
    expect_symbol("]");
    return index;
  }

  void add_argument(Expression& above, std::string name, ExpressionPtr value) const {
    grow(above, value);
    above.arguments.push_back({std::move(name), std::move(value)});
  }

  void parse_arguments(Expression& above) {
    while (!take_symbol(")")) {
      if (above.arguments.size() == kMaxArguments) fail("more than " + std::to_string(kMaxArguments) + " arguments");
      std::string name;
      if (peek().kind == Token::Kind::kName && is_symbol("=", 1)) {
        name = expect_name();
        ++at_;
      }
      add_argument(above, std::move(name), parse_expression());
      if (!is_symbol(")")) expect_symbol(",");
    }
  }

  ExpressionPtr literal(JinjaValue value) {
    ExpressionPtr expression = node(Kind::kLiteral);
    expression->literal = std::move(value);
    return expression;
  }

  ExpressionPtr parse_primary() {
    const Token token = peek();
    switch (token.kind) {
      case Token::Kind::kString: {
        std::string text;
        while (peek().kind == Token::Kind::kString) text += tokens_[at_++].text;
        return literal(text);
      }
      case Token::Kind::kNumber: return parse_number();
      case Token::Kind::kName: {
        ++at_;
        if (token.text == "true" || token.text == "True") return literal(true);
        if (token.text == "false" || token.text == "False") return literal(false);
        if (token.text == "none" || token.text == "None") return literal(nullptr);
        return node(Kind::kName, token.text);
      }
      default: break;
    }
    if (take_symbol("(")) return parse_parenthesis();
    if (take_symbol("[")) {
      ExpressionPtr list = node(Kind::kList);
      parse_items(*list, "]");
      return list;
    }
    if (take_symbol("{")) return parse_dict();
    fail("expected a value before " + shown());
  }

  ExpressionPtr parse_number() {
    std::string text = tokens_[at_++].text;
    std::erase(text, '_');
    if (text.size() > 18) fail("the number " + printable(text, 40) + " is too long");
    if (text.find('.') != std::string::npos) return literal(std::stod(text));
    return literal(std::stoll(text));
  }

  void parse_items(Expression& list, const char* end) {
    while (!take_symbol(end)) {
      add_child(list, parse_expression());
      if (!is_symbol(end)) expect_symbol(",");
    }
  }

  ExpressionPtr parse_parenthesis() {
    if (!is_symbol(")")) {
      ExpressionPtr inner = parse_expression();
      if (take_symbol(")")) return inner;
      ExpressionPtr tuple = node(Kind::kList);
      add_child(*tuple, std::move(inner));
      expect_symbol(",");
      parse_items(*tuple, ")");
      return tuple;
    }
    ++at_;
    return node(Kind::kList);
  }

  ExpressionPtr parse_dict() {
    ExpressionPtr dict = node(Kind::kDict);
    while (!take_symbol("}")) {
      add_child(*dict, parse_expression());
      expect_symbol(":");
      add_child(*dict, parse_expression());
      if (!is_symbol("}")) expect_symbol(",");
    }
    return dict;
  }

  std::vector<Token> tokens_;
  const std::string& source_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Block parse(std::vector<Token> tokens, const std::string& source) { return Parser(std::move(tokens), source).run(); }

}  // namespace linea::jinja
