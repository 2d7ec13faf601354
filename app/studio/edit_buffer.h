// app/studio/edit_buffer.h: text being edited: cursor, selection and undo, without any drawing.
//
// Positions are bytes at the starts of characters. Text that arrives is made valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace linea::studio {

class EditBuffer {
 public:
  explicit EditBuffer(bool several_lines = true, size_t limit = 64 << 10) : several_lines_(several_lines), limit_(limit) {}

  const std::string& text() const { return text_; }
  void set_text(std::string_view text);  // forgets nothing: it can be undone
  uint64_t version() const { return version_; }

  size_t cursor() const { return cursor_; }
  size_t anchor() const { return anchor_; }
  bool has_selection() const { return cursor_ != anchor_; }
  size_t selection_start() const { return cursor_ < anchor_ ? cursor_ : anchor_; }
  size_t selection_end() const { return cursor_ < anchor_ ? anchor_ : cursor_; }
  std::string selected() const { return text_.substr(selection_start(), selection_end() - selection_start()); }

  // keep: the selection grows instead of being given up.
  void move_to(size_t position, bool keep);
  void move_character(int direction, bool keep);
  void move_word(int direction, bool keep);
  void select_all();
  void select_word_at(size_t position);

  void insert(std::string_view text);    // in place of the selection
  void erase(int direction, bool word);  // the selection, or a character or word before (-1) or after (1) the cursor

  bool undo();
  bool redo();

 private:
  enum class Kind { kNone, kTyping, kErasing, kOther };
  struct Snapshot {
    std::string text;
    size_t cursor, anchor;
  };
  void remember(Kind kind);
  void replace(size_t from, size_t to, std::string_view with);
  size_t word_edge(size_t from, int direction) const;

  bool several_lines_;
  size_t limit_;
  std::string text_;
  size_t cursor_ = 0, anchor_ = 0;
  uint64_t version_ = 0;
  Kind last_ = Kind::kNone;
  std::vector<Snapshot> undo_, redo_;
};

}  // namespace linea::studio
