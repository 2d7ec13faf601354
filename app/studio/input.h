// app/studio/input.h: what the keyboard and the mouse did since the last frame, from the window or from a script.
//
// The studio reads the keyboard here and not from ImGui, whose ways of telling keys differ between releases; the mouse is passed on.
#pragma once

#include <imgui.h>

#include <string>
#include <vector>

namespace linea::studio {

// Modifiers, and keys by GLFW's numbers.
enum Modifier : int { kShift = 1, kControl = 2, kAlt = 4, kSuper = 8 };

struct KeyPress {
  int key = 0, modifiers = 0;
  bool used = false;
};

class Input {
 public:
  // Events, in order of arrival.
  void key(int key, bool down, int modifiers);  // down also for repeats
  void character(unsigned int codepoint);
  void mouse_at(float x, float y);
  void mouse_button(int button, bool down);
  void wheel(float x, float y);
  void mouse_left();

  // Once a frame: hands the mouse to ImGui (a press and a release never fall into the same frame); afterwards forgets the frame's keys.
  void begin_frame();
  void end_frame();

  // While covered, keys and text are kept from those who ask.
  void cover(bool covered) { covered_ = covered; }

  // True once for a press of this key with exactly these modifiers that nobody used before.
  bool pressed(int key, int modifiers = 0);
  // The text typed in this frame; empty once taken.
  std::string take_text();
  bool has_text() const { return !text_.empty(); }
  const std::vector<KeyPress>& presses() const { return presses_; }
  bool any() const { return activity_; }  // something arrived since the last end_frame
  bool pending() const { return !clicks_.empty(); }

  ImVec2 mouse() const { return mouse_; }
  int modifiers() const { return modifiers_; }
  bool down(int button) const { return down_[button]; }

 private:
  struct Click {
    int button;
    bool down;
    ImVec2 at;
  };
  std::vector<KeyPress> presses_;
  std::vector<Click> clicks_;
  std::string text_;
  ImVec2 mouse_{-1e9f, -1e9f}, wheel_{};
  bool down_[3] = {};
  int modifiers_ = 0;
  bool activity_ = false, covered_ = false;
};

}  // namespace linea::studio
