#include "lm/session/vocabulary.h"

#include <algorithm>

namespace linea {

Vocabulary::Vocabulary(const Tokenizer& tokenizer, int64_t size, std::vector<int32_t> ends)
    : tokenizer_(tokenizer), bytes_(static_cast<size_t>(size)), ends_(std::move(ends)), drawable_(size) {
  std::erase_if(ends_, [&](int32_t id) { return id < 0 || id >= size; });
  const auto known = static_cast<int32_t>(std::min<int64_t>(size, tokenizer.vocabulary_size()));
  for (int32_t id = 0; id < known; ++id) {
    std::string& bytes = bytes_[static_cast<size_t>(id)];
    if (!is_end(id)) bytes = tokenizer.token_bytes(id);
    if (bytes.find('\x02') != std::string::npos) bytes.clear();  // marks documents in the text of a conversation
    if (!bytes.empty()) drawable_.add(id);
  }
  for (const int32_t id : ends_) drawable_.add(id);
}

std::string_view Vocabulary::bytes(int32_t id) const {
  return id >= 0 && id < size() ? std::string_view(bytes_[static_cast<size_t>(id)]) : std::string_view();
}

bool Vocabulary::is_end(int32_t id) const { return std::find(ends_.begin(), ends_.end(), id) != ends_.end(); }

bool Vocabulary::add_end(const std::string& piece) {
  const int32_t id = tokenizer_.id_of(piece);
  if (id < 0 || id >= size()) return false;
  if (is_end(id)) return true;
  ends_.push_back(id);
  bytes_[static_cast<size_t>(id)].clear();
  drawable_.add(id);
  return true;
}

}  // namespace linea
