#include "app/studio/edit_buffer.h"

#include <gtest/gtest.h>

#include <random>

#include "app/studio/utf8.h"
#include "core/text.h"

namespace linea::studio {
namespace {

TEST(Utf8, DecodesAndEncodesEveryLength) {
  for (const unsigned int c : {0x41u, 0xE4u, 0x4E2Du, 0x1F600u}) {
    std::string text;
    append_utf8(text, c);
    size_t at = 0;
    EXPECT_EQ(decode_utf8(text, at), c);
    EXPECT_EQ(at, text.size());
    EXPECT_EQ(previous_character(text, at), 0u);
  }
}

TEST(Utf8, MalformedBytesAreOneCharacterEach) {
  const std::string text = "\xC3(\xFF\xE4\xB8";
  std::vector<unsigned int> seen;
  for (size_t at = 0; at < text.size();) seen.push_back(decode_utf8(text, at));
  EXPECT_EQ(seen, (std::vector<unsigned int>{0xFFFD, '(', 0xFFFD, 0xFFFD, 0xFFFD}));
}

TEST(EditBuffer, TypesSelectsAndReplaces) {
  EditBuffer b;
  b.insert("a red ");
  b.insert("apple");
  b.move_word(-1, true);
  EXPECT_EQ(b.selected(), "apple");
  b.insert("pear");
  EXPECT_EQ(b.text(), "a red pear");
  b.select_word_at(3);
  EXPECT_EQ(b.selected(), "red");
  b.erase(-1, false);
  EXPECT_EQ(b.text(), "a  pear");
}

TEST(EditBuffer, MovesByWholeCharacters) {
  EditBuffer b;
  b.insert("aäb");
  b.move_character(-1, false);
  b.move_character(-1, false);
  EXPECT_EQ(b.cursor(), 1u);
  b.erase(1, false);
  EXPECT_EQ(b.text(), "ab");
}

TEST(EditBuffer, UndoTakesBackRunsOfTyping) {
  EditBuffer b;
  for (const char* c : {"o", "n", "e", " ", "t", "w", "o"}) b.insert(c);
  EXPECT_TRUE(b.undo());
  EXPECT_EQ(b.text(), "one ");
  EXPECT_TRUE(b.undo());
  EXPECT_EQ(b.text(), "");
  EXPECT_FALSE(b.undo());
  EXPECT_TRUE(b.redo());
  EXPECT_TRUE(b.redo());
  EXPECT_EQ(b.text(), "one two");
  EXPECT_FALSE(b.redo());
}

TEST(EditBuffer, OneLineHasNoBreaks) {
  EditBuffer b(false);
  b.insert("a\nb\r\nc");
  EXPECT_EQ(b.text(), "a b c");
}

TEST(EditBuffer, KeepsToItsLimitWithoutCuttingCharacters) {
  EditBuffer b(true, 4);
  b.insert("abc\xE4\xB8\xAD");
  EXPECT_EQ(b.text(), "abc");
}

TEST(EditBuffer, ControlCharactersAndBadBytesDoNotEnter) {
  EditBuffer b;
  b.insert(std::string("a\0b\x1B\xFFz", 6));
  EXPECT_EQ(b.text(), "ab\xEF\xBF\xBDz");
}

// Whatever is done, the text stays valid and the positions stay at the starts of characters; undoing everything gives the start back.
TEST(EditBuffer, RandomEditsKeepTheInvariants) {
  std::mt19937 random(7);
  EditBuffer b(true, 400);
  const char* const pieces[] = {"a", " ", "中", "\n", "äöü", "word and word", "\xF0\x9F\x98\x80", "\xFF"};
  for (int i = 0; i < 5000; ++i) {
    const bool keep = random() % 2;
    const int direction = random() % 2 ? 1 : -1;
    switch (random() % 7) {
      case 0:
      case 1: b.insert(pieces[random() % std::size(pieces)]); break;
      case 2: b.erase(direction, keep); break;
      case 3: b.move_character(direction, keep); break;
      case 4: b.move_word(direction, keep); break;
      case 5: b.move_to(random() % (b.text().size() + 2), keep); break;
      case 6: (void)(keep ? b.undo() : b.redo()); break;
    }
    ASSERT_TRUE(is_utf8(b.text()));
    ASSERT_LE(b.text().size(), 400u);
    for (const size_t at : {b.cursor(), b.anchor()}) {
      ASSERT_LE(at, b.text().size());
      ASSERT_TRUE(at == b.text().size() || (static_cast<unsigned char>(b.text()[at]) & 0xC0) != 0x80);
    }
  }
}

}  // namespace
}  // namespace linea::studio
