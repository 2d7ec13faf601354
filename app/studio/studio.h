// app/studio/studio.h: the studio as a whole: its services, its views, and the loop that draws them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/studio/chat_view.h"
#include "app/studio/create_view.h"
#include "app/studio/frame_times.h"
#include "app/studio/gallery_view.h"
#include "app/studio/instance.h"
#include "app/studio/models_view.h"
#include "app/studio/queue_view.h"
#include "app/studio/script_driver.h"
#include "app/studio/settings_view.h"
#include "app/studio/shortcuts_view.h"
#include "app/studio/window.h"
#include "app/studio/workspace.h"

namespace linea::studio {

struct StudioOptions {
  std::filesystem::path settings, library, script;  // script: empty = a person
  std::vector<std::filesystem::path> files;         // opened at the start
  std::optional<double> scale;
  int width = 0, height = 0;  // 0 = the last session's
};

// ImGui's context, for as long as the studio lives.
struct ImGuiScope {
  ImGuiScope();
  ~ImGuiScope();
  ImGuiScope(const ImGuiScope&) = delete;
  ImGuiScope& operator=(const ImGuiScope&) = delete;
};

class Studio {
 public:
  // `started`: when the program began, for the time to the first frame. Throws kDevice without a display or OpenGL 3.
  Studio(StudioOptions options, double started);
  ~Studio();
  Studio(const Studio&) = delete;
  Studio& operator=(const Studio&) = delete;

  int run();  // until the window is closed; the exit status

 private:
  void connect_workspace();
  void start_engine();
  void start_script();
  void scan_models();
  bool take_events();  // true when there were any
  bool has_news(double now);
  void watch_library();
  void frame(double start);
  void draw_frame();
  void cover_content(bool covered);
  void draw_content(const Rect& rect);
  void draw_bar(const Rect& rect);
  void draw_status(const Rect& rect);
  void status_part(Rect& row, const std::string& text, uint32_t rgb, bool ruled = false);
  void draw_residency(Rect& row);
  void handle_shortcuts();
  void open_files(const std::vector<std::filesystem::path>& files);
  void go(ViewKind view);
  void save_settings_soon();
  void keep_screenshot(const Image& image, const std::filesystem::path& path);
  double wait_seconds(double now) const;
  bool idle() const;
  float scale() const;
  const Palette& palette() const;

  StudioOptions options_;
  double started_, first_frame_ = -1;
  StudioSettings settings_;
  std::string settings_problem_, saved_settings_;
  ImGuiScope imgui_;
  Input input_;
  Window window_;
  Fonts fonts_;
  Ui ui_;
  UiQueue queue_;
  Toasts toasts_;
  Background background_;
  Thumbnails thumbnails_;
  PictureLoader pictures_;
  UploadBudget uploads_;
  FileDialog file_dialog_;
  std::shared_ptr<Engine> engine_;
  Workspace ws_;

  CreateView create_;
  GalleryView gallery_;
  ChatView chat_;
  QueueView queue_view_;
  ModelsView models_;
  SettingsView settings_view_;
  ShortcutsView shortcuts_;
  ViewKind view_ = ViewKind::kCreate, view_before_ = ViewKind::kCreate;
  TextEditor search_{false, 400};
  bool picture_only_ = false;

  std::unique_ptr<Instance> instance_;
  std::unique_ptr<ScriptDriver> script_;
  std::string script_failure_;
  FrameTimes times_;
  long pictures_done_ = 0, frames_ = 0;
  double last_activity_ = 0, last_frame_ = 0, next_library_look_ = 0, next_save_ = 0;
  std::shared_ptr<int64_t> library_changes_ = std::make_shared<int64_t>(-1);  // of the library's lane
  long queue_done_ = 0, shown_minute_ = 0;
  uint64_t shown_queue_ = 0;
  bool engine_starting_ = true, scanning_ = false, redraw_ = true, queue_left_ = false;
  int failed_frames_ = 0;
};

}  // namespace linea::studio
