// lm/session/document.h: long files as text, in pieces of bounded size.
#pragma once

#include <filesystem>
#include <functional>

#include "lm/session/conversation.h"

namespace linea {

// Reads the file once for its hash. Throws kBadFile when it cannot be read, is empty or is no regular file.
Document open_document(const std::filesystem::path& path, bool twice);

// Hands out the content as valid UTF-8 without carriage returns, in pieces of some 64 KiB that end at a line's or a word's end where there
// is one. `join_paragraphs` makes one line break of several, and drops white space at both ends. Throws kBadFile when the content is not
// what the document says any more.
void read_document(const Document& document, bool join_paragraphs,
                   const std::function<void(const std::string& text, int64_t bytes_read)>& piece);

}  // namespace linea
