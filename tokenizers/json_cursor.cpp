#include "tokenizers/json_cursor.h"

#include <charconv>
#include <cstring>

#include "core/error.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {

void JsonCursor::fail(const std::string& expected) const {
  throw Error(ErrorKind::kModel, source_ + ": expected " + expected + " at byte " + std::to_string(offset_ + at_));
}

char JsonCursor::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonCursor::take(char c) {
  if (peek() != c || at_ == text_.size()) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char c) {
  if (!take(c)) fail(std::string("'") + c + "'");
}

bool JsonCursor::open(char bracket) {
  expect(bracket);
  return !take(bracket == '[' ? ']' : '}');
}

bool JsonCursor::next(char closing) {
  if (take(closing)) return false;
  expect(',');
  return true;
}

std::string_view JsonCursor::string(std::string& scratch) {
  expect('"');
  const size_t begin = at_;
  for (; at_ < text_.size(); ++at_) {
    if (text_[at_] == '"') return text_.substr(begin, at_++ - begin);
    if (text_[at_] == '\\') break;
    if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("no control character in a string");
  }
  scratch.assign(text_.substr(begin, at_ - begin));
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\') {
      ++at_;
      unescape(scratch);
    } else {
      scratch.push_back(text_[at_++]);
    }
  }
  expect('"');
  return scratch;
}

void JsonCursor::unescape(std::string& scratch) {
  const char c = at_ < text_.size() ? text_[at_++] : '\0';
  constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  if (const size_t found = kNames.find(c); c != '\0' && found != std::string_view::npos) {
    scratch.push_back(kValues[found]);
    return;
  }
  if (c != 'u') fail("a known escape");
  char32_t point = hex4();
  if (point >= 0xd800 && point < 0xdc00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("the second half of a surrogate pair");
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
  }
  if (point >= 0xd800 && point < 0xe000) fail("no lone surrogate");
  append_utf8(scratch, point);
}

uint32_t JsonCursor::hex4() {
  uint32_t value = 0;
  const std::string_view digits = text_.substr(at_, 4);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4) fail("four hexadecimal digits");
  at_ += 4;
  return value;
}

int64_t JsonCursor::integer() {
  peek();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) fail("an integer");
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

std::string_view JsonCursor::skip_value() {
  peek();
  const size_t begin = at_;
  for (int64_t depth = 0; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '"') {
      for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
        if (text_[at_] == '\\') ++at_;
      if (at_ >= text_.size()) fail("the end of a string");
      if (depth == 0) {
        ++at_;
        return text_.substr(begin, at_ - begin);
      }
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (depth == 0) return text_.substr(begin, at_ - begin);  // the end of a bare value
      if (--depth == 0) {
        ++at_;
        return text_.substr(begin, at_ - begin);
      }
    } else if (c == ',' && depth == 0) {
      return text_.substr(begin, at_ - begin);
    }
  }
  fail("the end of a value");
}

}  // namespace linea
