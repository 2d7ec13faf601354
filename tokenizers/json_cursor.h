// tokenizers/json_cursor.h: reading a large JSON text front to back without building a tree.
//
// A tokenizer.json of 256 000 pieces is 17 to 34 MB, nearly all of it two flat collections; a tree of it takes seconds and a gigabyte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace linea {

class JsonCursor {
 public:
  // `offset` is where `text` begins in the file, for messages. Neither text nor source is copied.
  JsonCursor(std::string_view text, const std::string& source, size_t offset = 0) : text_(text), source_(source), offset_(offset) {}

  char peek();        // the next character that is not blank; '\0' at the end
  bool take(char c);  // steps over it when it comes next
  void expect(char c);
  // Every member of a list or object: `for (bool more = cursor.open('['); more; more = cursor.next(']'))`
  bool open(char bracket);
  bool next(char closing);
  // The unescaped text of a string: a view of the file, or of `scratch` when it holds escapes.
  std::string_view string(std::string& scratch);
  int64_t integer();
  std::string_view skip_value();  // the raw text of the value stepped over; only its brackets and strings are checked
  size_t position() const { return at_; }
  [[noreturn]] void fail(const std::string& expected) const;  // kModel: "SOURCE: expected … at byte N"

 private:
  void unescape(std::string& scratch);
  uint32_t hex4();

  std::string_view text_;
  const std::string& source_;
  size_t offset_, at_ = 0;
};

}  // namespace linea
