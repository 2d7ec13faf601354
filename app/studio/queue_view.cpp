#include "app/studio/queue_view.h"

#include <cmath>
#include <utility>

#include "app/studio/clock.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

constexpr float kRowHeight = 64;

}  // namespace

void QueueView::draw(Ui& ui, const Rect& rect) {
  Rect rest = rect;
  const float width = std::min(rest.w - ui.px(48), ui.px(1180));
  rest = {rest.center().x - width / 2, rest.y, width, rest.h};
  draw_head(ui, cut_top(rest, ui.px(64)));
  const ChildScope child("jobs", rest, {0, 0});
  if (ws_.queue->jobs.empty()) {
    const Rect box{rest.x, rest.y + rest.h * 0.3f, rest.w, ui.px(100)};
    ui.icon(Icon::kQueue, {box.x, box.y, box.w, ui.px(48)}, ui.colors().quiet, 40);
    ui.text_in({box.x, box.y + ui.px(52), box.w, ui.px(30)}, "Nothing to do", Face::kTitle, ui.colors().text, 0.5f);
    ui.text_in({box.x, box.y + ui.px(82), box.w, ui.px(22)}, "Pictures that you ask for wait here until it is their turn.", Face::kText,
               ui.colors().quiet, 0.5f);
    return;
  }
  if (std::exchange(menu_ready_, false)) ImGui::OpenPopup("picture-menu");
  draw_picture_menu(ui, ws_, menu_record_);
  int waiting = 0;
  drop_at_ = -1;
  for (const auto& job : ws_.queue->jobs) {
    const Rect row = ui.place(0, ui.px(kRowHeight));
    draw_row(ui, *job, row, job->state == JobState::kQueued ? waiting++ : -1);
    ui.gap(6);
  }
  if (dragged_ != 0 && !ui.input().down(0)) {
    if (drop_at_ >= 0) ws_.engine->move(dragged_, drop_at_);
    dragged_ = 0;
  }
  ui.gap(16);
}

void QueueView::draw_head(Ui& ui, Rect row) {
  row = {row.x, row.y + ui.px(16), row.w, ui.px(kControlHeight)};
  const Rect title = cut_left(row, ui.px(90));
  ui.text_in(title, "Queue", Face::kTitle, ui.colors().text);
  const QueueSnapshot& q = *ws_.queue;
  const std::string state =
      std::to_string(q.waiting) + " waiting · " + std::to_string(q.running.size()) + " running" + (q.paused ? " · paused" : "");
  ui.text_in(cut_left(row, ui.px(240)), state, Face::kSmall, ui.colors().quiet);
  ui.readable("queue/state", title, state);
  const bool able = ws_.engine != nullptr;
  const auto tool = [&](const char* id, const char* text, Icon icon, const char* tip, ButtonLook look, bool enabled) {
    const Rect r = cut_right(row, button_width(ui, text, icon));
    cut_right(row, ui.px(8));
    return button(ui, id, r, text, {.icon = icon, .look = look, .enabled = able && enabled, .tip = tip}).clicked;
  };
  if (tool("queue/pause", q.paused ? "Resume" : "Pause", q.paused ? Icon::kPlay : Icon::kPause,
           "What runs ends its picture; nothing new starts.", ButtonLook::kPrimary, true)) {
    if (q.paused) {
      ws_.engine->resume();
    } else {
      ws_.engine->pause();
    }
  }
  if (tool("queue/cancel-all", "Cancel all", Icon::kStop, "Stops what runs and takes out what waits; finished pictures stay.",
           ButtonLook::kOutlined, q.waiting > 0 || !q.running.empty()))
    ws_.engine->cancel_all();
  if (tool("queue/clear", "Clear finished", Icon::kCheck, "Takes finished jobs off the list; their pictures stay.", ButtonLook::kOutlined,
           q.jobs.size() > static_cast<size_t>(q.waiting) + q.running.size()))
    ws_.engine->clear_finished();
}

void QueueView::draw_row(Ui& ui, const JobView& job, const Rect& rect, int waiting_index) {
  const PictureRequest& request = job.job->settings.request;
  const std::string name = std::to_string(job.id);
  const IdScope scope("job" + name);
  const bool movable = waiting_index >= 0;
  // The actions lie on the row and come first, so that they get the mouse.
  Rect content = rect.inset(ui.px(8));
  const bool hovered = rect.contains(ImGui::GetIO().MousePos);
  ui.fill(rect, dragged_ == job.id ? ui.colors().hover : ui.colors().panel, 8);
  ui.frame(rect, ui.colors().line, 8);
  const Rect grip = cut_left(content, ui.px(24));
  if (movable) ui.icon(Icon::kDrag, grip, hovered ? ui.colors().text : ui.colors().quiet, 15);
  const Rect thumbnail = cut_left(content, ui.px(kRowHeight - 16));
  if (!job.pictures.empty() && job.pictures.back().library_id != 0) {
    draw_thumbnail(ui, ws_.thumbnails, job.pictures.back().library_id, thumbnail, true);
  } else {
    ui.fill(thumbnail, ui.colors().hover, 4);
    ui.icon(Icon::kImage, thumbnail, ui.colors().quiet, 18);
  }
  cut_left(content, ui.px(12));
  draw_actions(ui, job, cut_right(content, ui.px(132)));
  draw_state(ui, job, cut_right(content, std::min(ui.px(400), content.w * 0.42f)), waiting_index);
  cut_right(content, ui.px(16));
  const Rect first{content.x, content.y + ui.px(2), content.w, ui.px(22)}, second{content.x, content.y + ui.px(24), content.w, ui.px(20)};
  ui.text_in(first, request.prompt, Face::kText, ui.colors().text);
  std::string facts =
      request.size.width > 0 ? std::to_string(request.size.width) + " × " + std::to_string(request.size.height) + "   " : "";
  facts += model_title(ws_, job.job->settings.model);
  if (job.job->count > 1) facts += "   " + std::to_string(job.done()) + " of " + std::to_string(job.job->count) + " pictures";
  ui.text_in(second, facts, Face::kSmall, ui.colors().quiet);
  const Response r = ui.item("queue/row/" + name, {rect.x, rect.y, rect.w - ui.px(140), rect.h}, ItemKind::kRow, request.prompt,
                             {.enter_clicks = false, .value = name_of(job.state)});
  if (r.focused) ui.focus_ring(rect, 8);
  if (dragged_ == 0) ui.tip_where_cut(r, request.prompt, Face::kText, first.w);
  drag_rows(ui, r, job, waiting_index);
  if (r.right_clicked && !job.pictures.empty()) {
    with_record(ws_, job.pictures.back().library_id, [this](const PictureRecord& record) { menu_record_ = record, menu_ready_ = true; });
  }
  if (r.double_clicked && !job.pictures.empty()) ws_.show_picture(job.pictures.back().path);
}

// The row that the mouse is over while another is dragged shows where it will go.
void QueueView::drag_rows(Ui& ui, const Response& r, const JobView& job, int waiting_index) {
  if (waiting_index < 0) return;
  if (r.hovered && dragged_ == 0) ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  if (r.pressed) drag_y_ = mouse.y;
  if (r.held && dragged_ == 0 && std::abs(mouse.y - drag_y_) > ui.px(6)) dragged_ = job.id;
  const Rect zone{r.rect.x, r.rect.y - ui.px(3), r.rect.w, r.rect.h + ui.px(6)};
  if (dragged_ == 0 || !zone.contains(mouse)) return;
  drop_at_ = waiting_index;
  const bool upper = mouse.y < r.rect.center().y;
  if (dragged_ != job.id)
    ui.fill({r.rect.x, upper ? r.rect.y - ui.px(4) : r.rect.bottom() + ui.px(2), r.rect.w, ui.px(2)}, ui.colors().accent);
}

void QueueView::draw_state(Ui& ui, const JobView& job, Rect rect, int waiting_index) {
  const Rect first{rect.x, rect.y + ui.px(2), rect.w, ui.px(22)}, second{rect.x, rect.y + ui.px(24), rect.w, ui.px(20)};
  switch (job.state) {
    case JobState::kQueued: {
      const std::string place = ws_.queue->paused    ? "until the queue is resumed"
                                : waiting_index == 0 ? "next"
                                                     : "number " + std::to_string(waiting_index + 1) + " in line";
      ui.text_in(first, "waiting", Face::kText, ui.colors().text);
      ui.text_in(second, place, Face::kSmall, ui.colors().quiet);
      ui.readable("queue/place", second, place);
      break;
    }
    case JobState::kRunning: {
      for (const RunningPicture& running : ws_.queue->running) {
        if (running.job != job.id) continue;
        const Progress& p = running.progress;
        std::string text = p.stage == "denoise" ? "step " + std::to_string(p.step) + "/" + std::to_string(p.steps)
                           : p.stage.empty()    ? "starting"
                                                : p.stage;
        if (running.seconds_left >= 0) text += " · " + time_text(running.seconds_left) + " left";
        ui.text_in(first, text, Face::kText, ui.colors().text);
        const float part = p.steps > 0 ? static_cast<float>(p.step) / static_cast<float>(p.steps) : 0;
        const float whole = (static_cast<float>(job.done()) + part) / static_cast<float>(std::max(1, job.job->count));
        progress_bar(ui, {second.x, second.center().y - ui.px(2), second.w, ui.px(5)}, whole, ui.colors().accent);
      }
      break;
    }
    case JobState::kDone:
      ui.text_in(first, "done in " + time_text(job.finished - job.started), Face::kText, ui.colors().good);
      ui.text_in(second, when_text(job.finished), Face::kSmall, ui.colors().quiet);
      break;
    case JobState::kCancelled:
      ui.text_in(first, "cancelled", Face::kText, ui.colors().quiet);
      ui.text_in(second, when_text(job.finished > 0 ? job.finished : clock_seconds()), Face::kSmall, ui.colors().quiet);
      break;
    case JobState::kFailed:
      ui.text_in(first, job.failure, Face::kText, ui.colors().bad);
      ui.text_in(second, job.hint, Face::kSmall, ui.colors().quiet);
      ui.tip(ui.item("queue/why", rect, ItemKind::kArea, job.failure, {.focusable = false}),
             job.hint.empty() ? job.failure : job.failure + "\n" + job.hint);
      break;
  }
}

void QueueView::draw_actions(Ui& ui, const JobView& job, Rect rect) {
  rect = {rect.x, rect.center().y - ui.px(16), rect.w, ui.px(32)};
  const auto tool = [&](const char* id, Icon icon, const char* label) {
    const Rect r = cut_right(rect, ui.px(36));
    return icon_button(ui, id, {r.x, r.y, ui.px(32), r.h}, icon, label).clicked;
  };
  if (is_finished(job.state)) {
    if (tool("queue/remove", Icon::kClose, "Take off the list")) ws_.engine->remove(job.id);
  } else if (tool("queue/cancel", Icon::kStop, "Cancel")) {
    ws_.engine->cancel(job.id);
  }
  if (tool("queue/duplicate", Icon::kCopy, "Duplicate")) ws_.engine->duplicate(job.id);
  if (job.state == JobState::kFailed || job.state == JobState::kCancelled) {
    if (tool("queue/retry", Icon::kRefresh, "Retry")) ws_.engine->retry(job.id);
  }
}

}  // namespace linea::studio
