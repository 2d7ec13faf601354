// app/studio/create_view.h: the form, the picture that is being made or looked at, and the latest pictures.
#pragma once

#include <filesystem>
#include <vector>

#include "app/studio/create_form_panel.h"
#include "app/studio/picture_details.h"
#include "app/studio/viewer.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class CreateView {
 public:
  explicit CreateView(Workspace& ws);

  void draw(Ui& ui, const Rect& rect);
  void take_event(const EngineEvent& event);
  void show(const std::filesystem::path& path);
  void compare(const std::filesystem::path& path);
  void drop(const std::filesystem::path& path);  // settings back from a picture or a text
  void ask_for_picture();
  CreateFormPanel& form() { return form_; }
  bool loading() const { return loading_ > 0; }
  double view_seconds() const { return view_seconds_; }  // from asking for the last picture to its first view
  const std::filesystem::path& shown() const { return shown_; }

 private:
  void draw_center(Ui& ui, const Rect& rect);
  void draw_progress(Ui& ui, const Rect& rect, const RunningPicture& running);
  void draw_right(Ui& ui, const Rect& rect);
  void draw_history(Ui& ui, const Rect& area);
  void draw_empty(Ui& ui, const Rect& rect);
  void step_picture(int step);
  void refresh();
  void load_record();
  void leave_deleted(std::ptrdiff_t place);
  void follow_running();

  Workspace& ws_;
  CreateFormPanel form_;
  Viewer viewer_;
  std::filesystem::path shown_;
  std::optional<PictureRecord> record_;  // of the shown picture
  bool unreadable_ = false;              // its file is missing or damaged
  PictureRecord menu_record_;
  TagEditor tags_;
  std::vector<PictureRecord> latest_;
  uint64_t seen_version_ = ~uint64_t{0};
  bool following_ = true;  // new pictures are shown as they come
  int loading_ = 0;
  bool came_ = false;  // something of the picture that was asked for is there to be drawn
  double asked_at_ = -1, view_seconds_ = -1;
  const Image* seen_preview_ = nullptr;
};

}  // namespace linea::studio
