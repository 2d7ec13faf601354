#include "app/studio/undo_history.h"

#include <gtest/gtest.h>

namespace linea::studio {
namespace {

TEST(UndoHistory, ChangesInQuickSuccessionAreOneStep) {
  UndoHistory<int> history;
  history.look(1, 0);
  history.look(2, 10);
  history.look(3, 10.1);
  history.look(4, 20);
  int value = 4;
  EXPECT_TRUE(history.undo(value));
  EXPECT_EQ(value, 3);
  history.look(value, 20.1);  // the undone value is not a change of its own
  EXPECT_TRUE(history.undo(value));
  EXPECT_EQ(value, 1);
  EXPECT_FALSE(history.undo(value));
  EXPECT_TRUE(history.redo(value));
  EXPECT_TRUE(history.redo(value));
  EXPECT_EQ(value, 4);
  EXPECT_FALSE(history.redo(value));
}

TEST(UndoHistory, ANewChangeEndsRedo) {
  UndoHistory<int> history;
  int value = 1;
  history.look(value, 0);
  history.look(value = 2, 10);
  EXPECT_TRUE(history.undo(value));
  history.look(value = 5, 20);
  EXPECT_FALSE(history.can_redo());
  EXPECT_TRUE(history.undo(value));
  EXPECT_EQ(value, 1);
}

}  // namespace
}  // namespace linea::studio
