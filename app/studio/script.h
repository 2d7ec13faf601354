// app/studio/script.h: scripts that act on the studio as a person does: one command a line, "#" begins a comment.
//
//   click "Generate"              double-click, right-click; an item by its label, or by its id: click #create/generate
//   type "a red apple"            into what has the keyboard
//   key Ctrl+Enter                letters, digits, F1 … F12, Enter, Esc, Tab, Space, Up, Down, Left, Right, Home, End, Delete, Backspace
//   drag #viewer/picture 100 0    from the item's middle by so many pixels; or to another item: drag #a #b
//   wheel #viewer/picture 3       turns up (or down, negative) over the item
//   move #id                      the mouse over it
//   drop "file.png" "other.png"   files onto the window
//   wait item "Cancel" | gone "Cancel" | value #id "text" | text "Saved" | idle | frames 3 | seconds 0.5 | picture
//   expect (the same conditions, which must hold now)
//   screenshot "create.png"       of the window
//   resize 1280 800 | scale 2 | theme light | view gallery
//   monkey 1000 7                 so many random events, from this seed
//   report "times.json"           times of frames so far
//   quit
#pragma once

#include <string>
#include <vector>

namespace linea::studio {

struct ScriptCommand {
  int line = 0;
  std::string name;
  std::vector<std::string> words;  // "#id" keeps its mark; texts are without quotes
};

// Throws kUsage naming the line: an unknown command, an open quote, too many or too few words.
std::vector<ScriptCommand> parse_script(const std::string& text, const std::string& source);

struct KeyChord {
  int key = 0, modifiers = 0;  // GLFW's numbers
};
KeyChord parse_chord(const std::string& text);  // throws kUsage

}  // namespace linea::studio
