#include "app/studio/shortcuts_view.h"

#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

struct Shortcut {
  const char *keys, *what;
};
struct Group {
  const char* title;
  std::vector<Shortcut> shortcuts;
};

const std::vector<Group>& groups() {
  static const std::vector<Group> kGroups = {
      {"Everywhere",
       {{"Ctrl+Enter", "generate"},
        {"Ctrl+Shift+Enter", "generate, first in line"},
        {"Esc", "stop what runs; leave a field"},
        {"Ctrl+1 … Ctrl+5", "Create, Gallery, Chat, Queue, Models"},
        {"Ctrl+P", "pause or resume the queue"},
        {"Ctrl+F", "search the gallery"},
        {"Ctrl+L", "write the prompt"},
        {"Ctrl+O", "open a picture, with its settings"},
        {"Tab, Shift+Tab", "next, previous control"},
        {"Ctrl+,   Ctrl+/", "settings, this page"},
        {"Ctrl+Q", "quit; work goes on at the next start"}}},
      {"Create",
       {{"Alt+↑, Alt+↓", "earlier, later prompts"},
        {"Ctrl+Z, Ctrl+Shift+Z", "undo, redo any setting"},
        {"F1, F2", "left, right panel"},
        {"F11", "picture only"},
        {"↑ ↓ on a number", "by one step; Shift: by ten"}}},
      {"Picture",
       {{"F", "fit into the window"},
        {"1", "a screen pixel for every pixel"},
        {"Wheel, double click", "zoom to the cursor"},
        {"C", "compare with the last picture"},
        {"D", "difference to the last picture"},
        {"I", "settings of the picture"},
        {"← →", "newer, older picture"},
        {"Del", "delete; can be undone"}}},
      {"Gallery",
       {{"Arrows, Home, End", "move"},
        {"Enter", "open"},
        {"0 … 5", "stars"},
        {"T", "tag what is chosen"},
        {"C", "compare"},
        {"Del", "delete; can be undone"},
        {"Ctrl+click, Shift+click, Ctrl+A", "choose several"}}},
      {"Chat",
       {{"Enter", "send"},
        {"Shift+Enter", "new line"},
        {"Esc", "stop the answer"},
        {"Ctrl+N", "new chat"},
        {"Ctrl+C", "copy what is selected"}}},
  };
  return kGroups;
}

}  // namespace

void ShortcutsView::draw(Ui& ui, const Rect& rect) {
  const float width = std::min(rect.w - ui.px(48), ui.px(1080));
  const ChildScope child("shortcuts", rect, {(rect.w - width) / 2, ui.px(16)});
  line(ui, "Keyboard shortcuts", Face::kTitle, ui.colors().text);
  ui.gap(16);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  const int columns = width > ui.px(860) ? 2 : 1;
  const float column_width = (width - ui.px(40) * static_cast<float>(columns - 1)) / static_cast<float>(columns);
  float y[2] = {origin.y, origin.y};
  for (const Group& group : groups()) {
    const int column = columns == 2 && y[1] < y[0] ? 1 : 0;
    const float x = origin.x + static_cast<float>(column) * (column_width + ui.px(40));
    float& at = y[column];
    ui.text_in({x, at, column_width, ui.px(28)}, group.title, Face::kHeading, ui.colors().text);
    at += ui.px(34);
    for (const Shortcut& s : group.shortcuts) {
      const Rect row{x, at, column_width, ui.px(28)};
      const float keys = text_width(ui.style(Face::kMonoSmall), s.keys) + ui.px(16);
      const Rect cap{row.x, row.y + ui.px(2), keys, ui.px(24)};
      ui.fill(cap, ui.colors().raised, 5);
      ui.frame(cap, ui.colors().line, 5);
      ui.text_in(cap, s.keys, Face::kMonoSmall, ui.colors().text, 0.5f);
      const float left = std::max(keys + ui.px(12), ui.px(222));
      ui.text_in({row.x + left, row.y, row.w - left, row.h}, s.what, Face::kText, ui.colors().quiet);
      ui.readable("shortcut", row, s.what, s.keys);
      at += ui.px(30);
    }
    at += ui.px(18);
  }
  ImGui::Dummy({1, std::max(y[0], y[1]) - origin.y});
}

}  // namespace linea::studio
