#include "tokenizers/added_tokens.h"

#include <algorithm>

#include "tokenizers/unicode/case.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

bool word_character_before(std::string_view text, size_t position) {
  return position > 0 && is_word_character(previous_code_point(text, position));
}

bool word_character_after(std::string_view text, size_t position) {
  return position < text.size() && is_word_character(next_code_point(text, position));
}

size_t start_of_blanks_before(std::string_view text, size_t position) {
  for (size_t previous = position; previous > 0 && is_unicode_space(previous_code_point(text, previous));) position = previous;
  return position;
}

size_t end_of_blanks_after(std::string_view text, size_t position) {
  for (size_t next = position; next < text.size() && is_unicode_space(next_code_point(text, next));) position = next;
  return position;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    if (content.empty()) continue;
    starts_[static_cast<unsigned char>(content[0])] = true;
    uint32_t node = 0;
    for (const char c : content) {
      const auto byte = static_cast<unsigned char>(c);
      uint32_t child = child_of(node, byte);
      if (child == 0) {
        child = static_cast<uint32_t>(nodes_.size());
        nodes_[node].children.emplace_back(byte, child);
        nodes_.emplace_back();
      }
      node = child;
    }
    nodes_[node].token = static_cast<int32_t>(i);
  }
}

uint32_t AddedTokenMatcher::child_of(uint32_t node, unsigned char byte) const {
  for (const auto& [key, child] : nodes_[node].children)
    if (key == byte) return child;
  return 0;
}

int32_t AddedTokenMatcher::longest_match(std::string_view text, size_t begin) const {
  int32_t found = -1;
  uint32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    node = child_of(node, static_cast<unsigned char>(text[i]));
    if (node == 0) break;
    if (nodes_[node].token >= 0) found = nodes_[node].token;
  }
  return found;
}

std::vector<AddedTokenMatcher::Piece> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<Piece> pieces;
  size_t done = 0;  // everything before it is in `pieces`
  for (size_t i = 0; i < text.size();) {
    const int32_t found = starts_[static_cast<unsigned char>(text[i])] ? longest_match(text, i) : -1;
    if (found < 0) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(found)];
    size_t begin = i, end = i + token.content.size();
    i = end;
    if (token.single_word && (word_character_before(text, begin) || word_character_after(text, end))) continue;
    if (token.lstrip) begin = std::max(start_of_blanks_before(text, begin), done);
    if (token.rstrip) end = end_of_blanks_after(text, end);
    if (begin < done) continue;  // inside the blanks that the token before took
    if (done < begin) pieces.push_back({done, begin, -1});
    pieces.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({done, text.size(), -1});
  return pieces;
}

}  // namespace linea
