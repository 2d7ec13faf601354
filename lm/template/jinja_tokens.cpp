#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "core/text.h"
#include "lm/template/jinja_syntax.h"

namespace linea::jinja {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool starts_name(char c) { return c == '_' || std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_name(char c) { return starts_name(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; }

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  std::vector<Token> run() {
    if (text_.size() > kMaxBytes) fail("is larger than 1 MiB");
    // One newline at the end of a template is dropped.
    if (text_.ends_with('\n')) text_.remove_suffix(1);
    while (at_ < text_.size()) read_text();
    add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::kModel, source_ + ": line " + std::to_string(line_) + ": " + what);
  }
  void add(Token::Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool at(std::string_view expected) const { return text_.substr(at_).starts_with(expected); }
  void skip(size_t count) {
    for (size_t i = 0; i < count && at_ < text_.size(); ++i) line_ += text_[at_++] == '\n';
  }

  // Text up to the next tag, and the tag.
  void read_text() {
    size_t open = at_;
    for (;; ++open) {
      open = text_.find('{', open);
      if (open == std::string_view::npos || open + 1 >= text_.size()) {
        open = text_.size();
        break;
      }
      if (std::string_view("{%#").find(text_[open + 1]) != std::string_view::npos) break;
    }
    std::string text(text_.substr(at_, open - at_));
    if (strip_next_) text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    bool begins_line = at_ == 0;
    if (drop_newline_ && text.starts_with('\n')) {
      text.erase(0, 1);
      begins_line = true;
    }
    strip_next_ = drop_newline_ = false;
    if (open == text_.size()) return finish_text(std::move(text), open);
    const char kind = text_[open + 1], control = open + 2 < text_.size() ? text_[open + 2] : '\0';
    if (control == '-') {
      while (!text.empty() && is_space(text.back())) text.pop_back();
    } else if (kind != '{' && control != '+') {               // lstrip_blocks: blanks of a line that a tag begins
      const size_t line_start = text.find_last_of('\n') + 1;  // 0 when there is none
      begins_line |= line_start > 0;
      if (begins_line && text.find_first_not_of(" \t", line_start) == std::string::npos) text.erase(line_start);
    }
    finish_text(std::move(text), open);
    skip(control == '-' || control == '+' ? 3 : 2);
    if (kind == '#') return read_comment();
    add(kind == '{' ? Token::Kind::kOpenOutput : Token::Kind::kOpenTag, "");
    read_code(kind == '{' ? "}}" : "%}");
  }

  void finish_text(std::string text, size_t end) {
    if (!text.empty()) add(Token::Kind::kText, std::move(text));
    skip(end - at_);
  }

  void close(bool is_block, size_t length) {
    skip(length);
    drop_newline_ = is_block;  // trim_blocks
  }

  void read_comment() {
    const size_t end = text_.find("#}", at_);
    if (end == std::string_view::npos) fail("a comment is not closed");
    strip_next_ = end > at_ && text_[end - 1] == '-';
    skip(end - at_);
    close(true, 2);
  }

  void read_code(std::string_view end) {
    for (;;) {
      while (at_ < text_.size() && is_space(text_[at_])) skip(1);
      if (at_ >= text_.size()) fail("a tag is not closed");
      if (at("-") && text_.substr(at_ + 1).starts_with(end)) {
        skip(1);
        strip_next_ = true;
      }
      if (at(end) && depth_ == 0) {
        add(Token::Kind::kClose, "");
        return close(end == "%}", 2);
      }
      read_token();
    }
  }

  void read_token() {
    const char c = text_[at_];
    size_t end = at_;
    if (starts_name(c)) {
      while (end < text_.size() && is_name(text_[end])) ++end;
      add(Token::Kind::kName, std::string(text_.substr(at_, end - at_)));
      return skip(end - at_);
    }
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      while (end < text_.size() && (std::isdigit(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_')) ++end;
      if (end + 1 < text_.size() && text_[end] == '.' && std::isdigit(static_cast<unsigned char>(text_[end + 1])) != 0) {
        ++end;
        while (end < text_.size() && std::isdigit(static_cast<unsigned char>(text_[end])) != 0) ++end;
      }
      add(Token::Kind::kNumber, std::string(text_.substr(at_, end - at_)));
      return skip(end - at_);
    }
    if (c == '\'' || c == '"') return read_string(c);
    for (const std::string_view symbol : {"//", "**", "==", "!=", "<=", ">="}) {
      if (at(symbol)) {
        add(Token::Kind::kSymbol, std::string(symbol));
        return skip(2);
      }
    }
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(c) == std::string_view::npos) {
      fail("unexpected '" + printable(text_.substr(at_, 1)) + "'");
    }
    if (c == '{' || c == '[' || c == '(') ++depth_;
    if ((c == '}' || c == ']' || c == ')') && depth_ > 0) --depth_;
    add(Token::Kind::kSymbol, std::string(1, c));
    skip(1);
  }

  void read_string(char quote) {
    std::string value;
    size_t end = at_ + 1;
    for (; end < text_.size() && text_[end] != quote; ++end) {
      if (text_[end] != '\\' || end + 1 >= text_.size()) {
        value += text_[end];
        continue;
      }
      const char escape = text_[++end];
      switch (escape) {
        case 'n': value += '\n'; break;
        case 't': value += '\t'; break;
        case 'r': value += '\r'; break;
        case '\\':
        case '\'':
        case '"': value += escape; break;
        case '\n': break;
        default: value += '\\', value += escape;
      }
    }
    if (end >= text_.size()) fail("a text is not closed");
    add(Token::Kind::kString, std::move(value));
    skip(end + 1 - at_);
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
  int line_ = 1, depth_ = 0;
  bool strip_next_ = false, drop_newline_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view text, const std::string& source) { return Lexer(text, source).run(); }

}  // namespace linea::jinja
