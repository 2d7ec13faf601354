// app/studio/window.h: the window, its OpenGL context and ImGui's renderer.
//
// Thread rule: everything on the main thread, but wake(). Sizes are pixels of the framebuffer.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/studio/input.h"
#include "core/image.h"

struct GLFWwindow;
struct GLFWcursor;

namespace linea::studio {

struct WindowOptions {
  int width = 1280, height = 800;
  bool maximized = false;
  bool real_input = true;  // false: only a script moves the mouse and presses keys
};

class Window {
 public:
  // Throws kDevice: no display, or no OpenGL 3.
  Window(const WindowOptions& options, Input& input);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  void wait(double seconds);  // for events, at most so long; 0 = only looks
  static void wake();         // from any thread: ends a wait

  bool closing() const;
  void close();
  bool iconified() const;
  bool focused() const;
  void ask_attention();
  int width() const { return width_; }
  int height() const { return height_; }
  float content_scale() const;
  void resize(int width, int height);
  bool maximized() const;
  void set_title(const std::string& title);

  void begin_frame();  // tells ImGui size, time and mouse
  // Draws what ImGui::Render() prepared. `keep` is filled with the picture of the window when it is not null.
  void end_frame(uint32_t background, Image* keep);
  void rebuild_font_texture();

  std::string clipboard() const;
  void set_clipboard(const std::string& text);

  std::function<void(const std::vector<std::filesystem::path>&)> on_drop;
  std::function<void()> on_refresh;  // the system wants the content again

 private:
  void install_callbacks();
  void update_cursor();

  Input& input_;
  bool real_input_;
  GLFWwindow* window_ = nullptr;
  GLFWcursor* cursors_[9] = {};
  int width_ = 0, height_ = 0;
  float ratio_ = 1;  // framebuffer pixels a screen coordinate
  double last_time_ = 0;
};

}  // namespace linea::studio
