#include "app/studio/window.h"

#define GLFW_INCLUDE_NONE
#include <GL/gl.h>
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_opengl3.h>
#include <imgui.h>

#include <algorithm>
#include <cmath>

#include "app/studio/ui_guard.h"
#include "core/error.h"

namespace linea::studio {
namespace {

Input& input_of(GLFWwindow* window) { return *static_cast<Input*>(static_cast<void**>(glfwGetWindowUserPointer(window))[0]); }
Window& window_of(GLFWwindow* window) { return *static_cast<Window*>(static_cast<void**>(glfwGetWindowUserPointer(window))[1]); }

std::string last_glfw_error() {
  const char* text = nullptr;
  glfwGetError(&text);
  return text ? text : "unknown reason";
}

int modifiers_with(int key, int action, int modifiers) {
  // GLFW on X11 tells the modifiers from before the key itself.
  const auto apply = [&](int left, int right, int bit) {
    if (key == left || key == right) modifiers = action == GLFW_RELEASE ? modifiers & ~bit : modifiers | bit;
  };
  apply(GLFW_KEY_LEFT_SHIFT, GLFW_KEY_RIGHT_SHIFT, GLFW_MOD_SHIFT);
  apply(GLFW_KEY_LEFT_CONTROL, GLFW_KEY_RIGHT_CONTROL, GLFW_MOD_CONTROL);
  apply(GLFW_KEY_LEFT_ALT, GLFW_KEY_RIGHT_ALT, GLFW_MOD_ALT);
  return modifiers & 15;
}

}  // namespace

Window::Window(const WindowOptions& options, Input& input) : input_(input), real_input_(options.real_input) {
  const AllowWaiting allow;
  if (!glfwInit()) throw Error(ErrorKind::kDevice, "the studio found no display: " + last_glfw_error(), "start it in a desktop session");
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 2);
  glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
  glfwWindowHint(GLFW_OPENGL_FORWARD_COMPAT, GLFW_TRUE);
  glfwWindowHint(GLFW_MAXIMIZED, options.maximized);
  glfwWindowHintString(GLFW_X11_CLASS_NAME, "Linea");
  glfwWindowHintString(GLFW_X11_INSTANCE_NAME, "linea");
  window_ = glfwCreateWindow(options.width, options.height, "Linea Studio", nullptr, nullptr);
  if (!window_) {
    const std::string reason = last_glfw_error();
    glfwTerminate();
    throw Error(ErrorKind::kDevice, "the studio needs OpenGL 3.2, which this display does not offer: " + reason,
                "update the graphics driver, or install Mesa's software renderer");
  }
  glfwSetWindowSizeLimits(window_, 640, 480, GLFW_DONT_CARE, GLFW_DONT_CARE);
  glfwMakeContextCurrent(window_);
  glfwSwapInterval(real_input_ ? 1 : 0);
  install_callbacks();
  ImGui::GetIO().BackendFlags |= ImGuiBackendFlags_HasMouseCursors;
  ImGui_ImplOpenGL3_Init("#version 150");
  glfwGetFramebufferSize(window_, &width_, &height_);
  last_time_ = glfwGetTime();
}

Window::~Window() {
  const AllowWaiting allow;
  ImGui_ImplOpenGL3_Shutdown();
  delete[] static_cast<void**>(glfwGetWindowUserPointer(window_));
  glfwDestroyWindow(window_);
  glfwTerminate();
}

void Window::install_callbacks() {
  glfwSetWindowUserPointer(
      window_, new void* [2] { &input_, this });
  glfwSetDropCallback(window_, [](GLFWwindow* w, int count, const char** paths) {
    if (window_of(w).on_drop) window_of(w).on_drop({paths, paths + count});
  });
  glfwSetWindowRefreshCallback(window_, [](GLFWwindow* w) {
    if (window_of(w).on_refresh) window_of(w).on_refresh();
  });
  if (!real_input_) return;
  glfwSetKeyCallback(window_, [](GLFWwindow* w, int key, int, int action, int modifiers) {
    input_of(w).key(key, action != GLFW_RELEASE, modifiers_with(key, action, modifiers));
  });
  glfwSetCharCallback(window_, [](GLFWwindow* w, unsigned int codepoint) { input_of(w).character(codepoint); });
  glfwSetCursorPosCallback(window_, [](GLFWwindow* w, double x, double y) {
    const float ratio = window_of(w).ratio_;
    input_of(w).mouse_at(static_cast<float>(x) * ratio, static_cast<float>(y) * ratio);
  });
  glfwSetMouseButtonCallback(window_,
                             [](GLFWwindow* w, int button, int action, int) { input_of(w).mouse_button(button, action == GLFW_PRESS); });
  glfwSetScrollCallback(window_,
                        [](GLFWwindow* w, double x, double y) { input_of(w).wheel(static_cast<float>(x), static_cast<float>(y)); });
  glfwSetCursorEnterCallback(window_, [](GLFWwindow* w, int entered) {
    if (!entered && !input_of(w).down(0)) input_of(w).mouse_left();
  });
}

void Window::wait(double seconds) {
  const AllowWaiting allow;
  if (seconds > 0) {
    glfwWaitEventsTimeout(seconds);
  } else {
    glfwPollEvents();
  }
}

void Window::wake() { glfwPostEmptyEvent(); }
bool Window::closing() const { return glfwWindowShouldClose(window_); }
void Window::close() { glfwSetWindowShouldClose(window_, GLFW_TRUE); }
bool Window::iconified() const { return glfwGetWindowAttrib(window_, GLFW_ICONIFIED); }
bool Window::focused() const { return glfwGetWindowAttrib(window_, GLFW_FOCUSED); }
bool Window::maximized() const { return glfwGetWindowAttrib(window_, GLFW_MAXIMIZED); }
void Window::ask_attention() {
  if (!focused()) glfwRequestWindowAttention(window_);
}

float Window::content_scale() const {
  float x = 1, y = 1;
  glfwGetWindowContentScale(window_, &x, &y);
  return std::clamp(std::max(x, y), 0.5f, 8.0f);
}

void Window::resize(int width, int height) { glfwSetWindowSize(window_, width, height); }
void Window::set_title(const std::string& title) { glfwSetWindowTitle(window_, title.c_str()); }

void Window::begin_frame() {
  int window_width = 0, window_height = 0;
  glfwGetWindowSize(window_, &window_width, &window_height);
  glfwGetFramebufferSize(window_, &width_, &height_);
  ratio_ = window_width > 0 ? static_cast<float>(width_) / static_cast<float>(window_width) : 1;
  ImGuiIO& io = ImGui::GetIO();
  io.DisplaySize = {static_cast<float>(std::max(1, width_)), static_cast<float>(std::max(1, height_))};
  const double now = glfwGetTime();
  io.DeltaTime = static_cast<float>(std::clamp(now - last_time_, 1e-4, 0.1));
  last_time_ = now;
  input_.begin_frame();
  ImGui_ImplOpenGL3_NewFrame();
}

void Window::end_frame(uint32_t background, Image* keep) {
  const AllowWaiting allow;
  const auto channel = [&](int shift) { return static_cast<float>(background >> shift & 255) / 255; };
  glViewport(0, 0, width_, height_);
  glClearColor(channel(16), channel(8), channel(0), 1);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  if (keep) {
    *keep = {.width = width_, .height = height_, .pixels = std::vector<uint8_t>(static_cast<size_t>(width_) * height_ * 3)};
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    glReadPixels(0, 0, width_, height_, GL_RGB, GL_UNSIGNED_BYTE, keep->pixels.data());
    const size_t row = static_cast<size_t>(width_) * 3;
    for (int y = 0; y < height_ / 2; ++y) {
      std::swap_ranges(keep->pixels.begin() + static_cast<std::ptrdiff_t>(y * row),
                       keep->pixels.begin() + static_cast<std::ptrdiff_t>((y + 1) * row),
                       keep->pixels.begin() + static_cast<std::ptrdiff_t>((height_ - 1 - y) * row));
    }
  }
  glfwSwapBuffers(window_);
  update_cursor();
}

void Window::update_cursor() {
  const ImGuiMouseCursor wanted = ImGui::GetMouseCursor();
  constexpr int kShapes[9] = {GLFW_ARROW_CURSOR, GLFW_IBEAM_CURSOR, GLFW_ARROW_CURSOR, GLFW_VRESIZE_CURSOR, GLFW_HRESIZE_CURSOR,
                              GLFW_ARROW_CURSOR, GLFW_ARROW_CURSOR, GLFW_HAND_CURSOR,  GLFW_ARROW_CURSOR};
  if (wanted < 0 || wanted >= 9) return;
  if (!cursors_[wanted]) cursors_[wanted] = glfwCreateStandardCursor(kShapes[wanted]);
  glfwSetCursor(window_, cursors_[wanted]);
}

void Window::rebuild_font_texture() {
  const AllowWaiting allow;
#if IMGUI_VERSION_NUM < 19200
  ImGui_ImplOpenGL3_DestroyFontsTexture();
  ImGui_ImplOpenGL3_CreateFontsTexture();
#endif
}

std::string Window::clipboard() const {
  const AllowWaiting allow;
  const char* text = glfwGetClipboardString(window_);
  return text ? text : "";
}

void Window::set_clipboard(const std::string& text) {
  const AllowWaiting allow;
  glfwSetClipboardString(window_, text.c_str());
}

}  // namespace linea::studio
