// app/studio/queue_view.h: the jobs in their order: drag to reorder, pause, cancel, retry, duplicate.
#pragma once

#include "app/studio/picture_details.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class QueueView {
 public:
  explicit QueueView(Workspace& ws) : ws_(ws) {}
  void draw(Ui& ui, const Rect& rect);

 private:
  void draw_head(Ui& ui, Rect row);
  void draw_row(Ui& ui, const JobView& job, const Rect& rect, int waiting_index);
  void draw_state(Ui& ui, const JobView& job, Rect rect, int waiting_index);
  void draw_actions(Ui& ui, const JobView& job, Rect rect);
  void drag_rows(Ui& ui, const Response& r, const JobView& job, int waiting_index);

  Workspace& ws_;
  JobId dragged_ = 0;
  int drop_at_ = -1;
  float drag_y_ = 0;
  PictureRecord menu_record_;
  bool menu_ready_ = false;
};

}  // namespace linea::studio
