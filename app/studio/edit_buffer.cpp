#include "app/studio/edit_buffer.h"

#include <algorithm>
#include <utility>

#include "app/studio/utf8.h"
#include "core/text.h"

namespace linea::studio {
namespace {

constexpr size_t kUndoSteps = 200;

bool is_space(unsigned int c) { return c == ' ' || c == '\t' || c == '\n' || c == 0xA0; }

bool is_word(unsigned int c) { return c == '_' || c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

unsigned int character_at(std::string_view text, size_t at) { return decode_utf8(text, at); }

}  // namespace

void EditBuffer::set_text(std::string_view text) {
  if (text == text_) return;
  remember(Kind::kOther);
  cursor_ = anchor_ = 0;
  replace(0, text_.size(), text);
}

// One step of undo for a run of typing or of erasing.
void EditBuffer::remember(Kind kind) {
  redo_.clear();
  if (kind == last_ && kind != Kind::kOther) return;
  last_ = kind;
  undo_.push_back({text_, cursor_, anchor_});
  if (undo_.size() > kUndoSteps) undo_.erase(undo_.begin());
}

void EditBuffer::replace(size_t from, size_t to, std::string_view with) {
  std::string clean = to_valid_utf8(with);
  std::erase_if(clean, [&](char c) { return c == '\r' || (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t') || c == 127; });
  if (!several_lines_) std::replace(clean.begin(), clean.end(), '\n', ' ');
  const size_t room = limit_ - std::min(limit_, text_.size() - (to - from));
  if (clean.size() > room) {
    clean.resize(room);
    while (!clean.empty() && !is_utf8(clean)) clean.pop_back();
  }
  text_.replace(from, to - from, clean);
  cursor_ = anchor_ = from + clean.size();
  ++version_;
}

void EditBuffer::move_to(size_t position, bool keep) {
  cursor_ = std::min(position, text_.size());
  while (cursor_ > 0 && cursor_ < text_.size() && (static_cast<unsigned char>(text_[cursor_]) & 0xC0) == 0x80) --cursor_;
  if (!keep) anchor_ = cursor_;
  last_ = Kind::kNone;
}

void EditBuffer::move_character(int direction, bool keep) {
  if (has_selection() && !keep) return move_to(direction < 0 ? selection_start() : selection_end(), false);
  move_to(direction < 0 ? previous_character(text_, cursor_) : next_character(text_, cursor_), keep);
}

size_t EditBuffer::word_edge(size_t at, int direction) const {
  if (direction < 0) {
    while (at > 0 && is_space(character_at(text_, previous_character(text_, at)))) at = previous_character(text_, at);
    if (at == 0) return 0;
    const bool word = is_word(character_at(text_, previous_character(text_, at)));
    for (size_t before = at; before > 0; at = before) {
      before = previous_character(text_, before);
      const unsigned int c = character_at(text_, before);
      if (is_space(c) || is_word(c) != word) break;
    }
    return at;
  }
  if (at < text_.size() && !is_space(character_at(text_, at))) {
    const bool word = is_word(character_at(text_, at));
    while (at < text_.size() && !is_space(character_at(text_, at)) && is_word(character_at(text_, at)) == word)
      at = next_character(text_, at);
  }
  while (at < text_.size() && is_space(character_at(text_, at))) at = next_character(text_, at);
  return at;
}

void EditBuffer::move_word(int direction, bool keep) { move_to(word_edge(cursor_, direction), keep); }

void EditBuffer::select_all() {
  anchor_ = 0;
  cursor_ = text_.size();
  last_ = Kind::kNone;
}

void EditBuffer::select_word_at(size_t position) {
  move_to(position, false);
  const auto belongs = [&](size_t at) { return is_word(character_at(text_, at)); };
  while (anchor_ > 0 && belongs(previous_character(text_, anchor_))) anchor_ = previous_character(text_, anchor_);
  while (cursor_ < text_.size() && belongs(cursor_)) cursor_ = next_character(text_, cursor_);
}

void EditBuffer::insert(std::string_view text) {
  remember(text.size() <= 4 && text != "\n" && !has_selection() ? Kind::kTyping : Kind::kOther);
  if (text == " ") last_ = Kind::kNone;  // a step of undo for each word
  replace(selection_start(), selection_end(), text);
}

void EditBuffer::erase(int direction, bool word) {
  size_t from = selection_start(), to = selection_end();
  if (from == to) {
    const size_t other = word            ? word_edge(cursor_, direction)
                         : direction < 0 ? previous_character(text_, cursor_)
                                         : next_character(text_, cursor_);
    from = std::min(cursor_, other), to = std::max(cursor_, other);
  }
  if (from == to) return;
  remember(has_selection() || word ? Kind::kOther : Kind::kErasing);
  replace(from, to, "");
}

bool EditBuffer::undo() {
  if (undo_.empty()) return false;
  redo_.push_back({std::move(text_), cursor_, anchor_});
  text_ = std::move(undo_.back().text);
  cursor_ = undo_.back().cursor, anchor_ = undo_.back().anchor;
  undo_.pop_back();
  last_ = Kind::kNone;
  ++version_;
  return true;
}

bool EditBuffer::redo() {
  if (redo_.empty()) return false;
  undo_.push_back({std::move(text_), cursor_, anchor_});
  text_ = std::move(redo_.back().text);
  cursor_ = redo_.back().cursor, anchor_ = redo_.back().anchor;
  redo_.pop_back();
  last_ = Kind::kNone;
  ++version_;
  return true;
}

}  // namespace linea::studio
