#include "app/studio/input.h"

#include <cfloat>
#include <utility>

#include "app/studio/utf8.h"

namespace linea::studio {

void Input::key(int key, bool down, int modifiers) {
  activity_ = true;
  modifiers_ = modifiers;
  if (down) presses_.push_back({key, modifiers});
}

void Input::character(unsigned int codepoint) {
  activity_ = true;
  if (codepoint >= 32 && codepoint != 127) append_utf8(text_, codepoint);
}

void Input::mouse_at(float x, float y) {
  activity_ = true;
  mouse_ = {x, y};
}

void Input::mouse_button(int button, bool down) {
  activity_ = true;
  if (button < 0 || button > 2) return;
  clicks_.push_back({button, down, mouse_});
}

void Input::wheel(float x, float y) {
  activity_ = true;
  wheel_.x += x, wheel_.y += y;
}

void Input::mouse_left() { mouse_at(-1e9f, -1e9f); }

void Input::begin_frame() {
  ImVec2 at = mouse_;
  // One change of a button a frame, at the place where it happened: fast clicks are not lost.
  if (!clicks_.empty()) {
    const Click click = clicks_.front();
    clicks_.erase(clicks_.begin());
    down_[click.button] = click.down;
    at = click.at;
  }
  ImGuiIO& io = ImGui::GetIO();
#if IMGUI_VERSION_NUM >= 18700
  io.AddMousePosEvent(at.x, at.y);
  for (int i = 0; i < 3; ++i) io.AddMouseButtonEvent(i, down_[i]);
  if (wheel_.x != 0 || wheel_.y != 0) io.AddMouseWheelEvent(wheel_.x, wheel_.y);
#else
  io.MousePos = at.x < -1e8f ? ImVec2(-FLT_MAX, -FLT_MAX) : at;
  for (int i = 0; i < 3; ++i) io.MouseDown[i] = down_[i];
  io.MouseWheel += wheel_.y;
  io.MouseWheelH += wheel_.x;
#endif
  wheel_ = {};
}

void Input::end_frame() {
  presses_.clear();
  text_.clear();
  activity_ = false;
}

bool Input::pressed(int key, int modifiers) {
  if (covered_) return false;
  for (KeyPress& press : presses_) {
    if (press.used || press.key != key || (press.modifiers & 15) != modifiers) continue;
    press.used = true;
    return true;
  }
  return false;
}

std::string Input::take_text() { return covered_ ? std::string() : std::exchange(text_, {}); }

}  // namespace linea::studio
