#include "lm/session/document.h"

#include <fstream>

#include "core/text.h"
#include "lm/session/text_stream.h"

namespace linea {
namespace {

constexpr size_t kBlock = 1 << 16;

class ContentHash {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value_));
    return digits;
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

// Calls block(bytes) for all of the file.
template <class Block> void for_each_block(const std::filesystem::path& path, const Block& block) {
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::kBadFile, path.string() + ": " + what); };
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) fail(std::filesystem::exists(path, error) ? "is not a file" : "no such file");
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot be read");
  std::string buffer(kBlock, '\0');
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    block(std::string_view(buffer).substr(0, static_cast<size_t>(file.gcount())));
  }
  if (file.bad()) fail("cannot be read to its end");
}

// Where a text may be cut so that tokens differ least from those of the whole.
size_t last_break(std::string_view text) {
  for (const char* breaks : {"\n", " "}) {
    const size_t at = text.find_last_of(breaks);
    if (at != std::string_view::npos && at > 0) return at;
  }
  return text.size();
}

}  // namespace

Document open_document(const std::filesystem::path& path, bool twice) {
  Document document{.path = std::filesystem::absolute(path).string(), .hash = {}, .twice = twice};
  ContentHash hash;
  bool blank = true;
  for_each_block(path, [&](std::string_view block) {
    hash.add(block);
    document.bytes += static_cast<int64_t>(block.size());
    blank &= block.find_first_not_of(" \t\r\n") == std::string_view::npos;
  });
  if (blank) throw Error(ErrorKind::kBadFile, path.string() + ": is empty");
  document.hash = hash.text();
  return document;
}

void read_document(const Document& document, bool join_paragraphs,
                   const std::function<void(const std::string& text, int64_t bytes_read)>& piece) {
  ContentHash hash;
  TextStream stream;
  std::string ready, blanks;  // white space waits: at the end of the text it is dropped
  bool begun = false;
  int64_t bytes = 0;
  const auto add = [&](const std::string& text) {
    for (const char c : text) {
      if (c == '\r' || c == '\x02') continue;
      if (join_paragraphs && (c == '\n' || c == ' ' || c == '\t')) {
        if (begun && !(c == '\n' && blanks.ends_with('\n'))) blanks += c;
        continue;
      }
      begun = true;
      ready += blanks;
      blanks.clear();
      ready += c;
    }
  };
  for_each_block(document.path, [&](std::string_view block) {
    hash.add(block);
    bytes += static_cast<int64_t>(block.size());
    add(stream.push(block));
    if (ready.size() < kBlock) return;
    const size_t end = last_break(ready);
    piece(ready.substr(0, end), bytes);
    ready.erase(0, end);
  });
  add(stream.finish());
  if (hash.text() != document.hash) throw Error(ErrorKind::kBadFile, document.path + ": has changed since it was read first");
  if (!ready.empty()) piece(ready, bytes);
}

}  // namespace linea
