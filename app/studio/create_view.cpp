#include "app/studio/create_view.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/studio/clock.h"
#include "app/studio/picture_details.h"
#include "app/studio/widgets.h"
#include "core/mapped_file.h"

namespace linea::studio {
namespace {

constexpr int64_t kLatest = 60;
constexpr int kViewerSlot = 0, kCompareSlot = 1;

}  // namespace

CreateView::CreateView(Workspace& ws) : ws_(ws), form_(ws), viewer_(ws.background) {
  if (!ws.settings.last_picture.empty()) show(ws.settings.last_picture);
}

void CreateView::show(const std::filesystem::path& path) {
  shown_ = path;
  ws_.settings.last_picture = path.string();
  ++loading_;
  asked_at_ = now_seconds();
  unreadable_ = false;
  const auto done = [this, path](const PictureLoader::Pyramid& pyramid, const std::string& problem) {
    loading_ = 0;
    if (path != shown_) return;  // deleted meanwhile
    if (pyramid) {
      viewer_.show(pyramid, path);
      came_ = true;
      return;
    }
    unreadable_ = true;
    viewer_.show(nullptr, path);
    ws_.toasts.error("The picture cannot be shown.", problem);
  };
  ws_.pictures.load(kViewerSlot, path, done, [this](const std::shared_ptr<const Image>& image, int64_t width, int64_t height) {
    viewer_.show_preview(image, width, height);
    came_ = true;
  });
  load_record();
}

void CreateView::load_record() {
  record_.reset();
  ws_.background.with_library([this, path = shown_](Library& library) -> Background::Done {
    const std::optional<PictureRecord> record = library.picture_at(path);
    return [this, path, record] {
      if (path == shown_) record_ = record;
    };
  });
}

void CreateView::compare(const std::filesystem::path& path) {
  if (path == shown_ || viewer_.empty()) return show(path);
  ws_.pictures.load(kCompareSlot, path, [this](const PictureLoader::Pyramid& pyramid, const std::string& problem) {
    if (pyramid) {
      viewer_.compare_with(pyramid);
    } else {
      ws_.toasts.error("The picture cannot be shown.", problem);
    }
  });
}

void CreateView::refresh() {
  if (seen_version_ == ws_.library_version) return;
  seen_version_ = ws_.library_version;
  ws_.background.with_library(
      [this](Library& library) -> Background::Done { return [this, latest = library.pictures({}, 0, kLatest)] { latest_ = latest; }; });
  if (shown_.empty()) return;
  const auto at = std::find_if(latest_.begin(), latest_.end(), [&](const PictureRecord& r) { return r.path == shown_; });
  ws_.background.with_library([this, path = shown_, place = at - latest_.begin()](Library& library) -> Background::Done {
    const std::optional<PictureRecord> record = library.picture_at(path);
    return [this, path, place, record] {
      if (path != shown_) return;
      record_ = record;
      if (record && record->deleted) leave_deleted(place);
    };
  });
}

// The shown picture has been deleted: the one that took its place among the latest is shown, or nothing.
void CreateView::leave_deleted(std::ptrdiff_t place) {
  if (!latest_.empty()) return show(latest_[static_cast<size_t>(std::min(place, std::ssize(latest_) - 1))].path);
  shown_.clear();
  ws_.settings.last_picture.clear();
  record_.reset();
  viewer_.show(nullptr, {});
}

void CreateView::take_event(const EngineEvent& event) {
  if (event.kind == EngineEvent::Kind::kPlan) form_.take_plan(event.plan);
  if (event.kind == EngineEvent::Kind::kPictureDone && following_) show(event.result.path);
  if (event.kind == EngineEvent::Kind::kStarted) following_ = true;
}

// The running picture's preview stands in for what is shown, as long as nobody looks at something else.
void CreateView::follow_running() {
  if (ws_.queue->running.empty() || !following_) {
    if (ws_.queue->running.empty() && seen_preview_ && loading_ == 0) {
      viewer_.show_preview(nullptr, 0, 0);
      seen_preview_ = nullptr;
    }
    return;
  }
  const RunningPicture& running = ws_.queue->running.front();
  const JobView* job = ws_.queue->find(running.job);
  if (!running.preview || !job || running.preview.get() == seen_preview_) return;
  seen_preview_ = running.preview.get();
  const PictureSize size = job->job->settings.request.size;
  const int64_t width = size.width > 0 ? size.width : running.preview->width * 32,
                height = size.height > 0 ? size.height : running.preview->height * 32;
  viewer_.show_preview(running.preview, width, height);
}

void CreateView::draw(Ui& ui, const Rect& rect) {
  refresh();
  follow_running();
  StudioSettings& s = ws_.settings;
  Rect rest = rect;
  float left = static_cast<float>(s.left_width), right = static_cast<float>(s.right_width);
  const bool overlay = !ws_.wide;
  if (s.left_open) {
    form_.draw(ui, cut_left(rest, ui.px(left)));
    const Rect edge{rest.x - ui.px(3), rest.y, ui.px(6), rest.h};
    drag_edge(ui, "edge/left", edge, left, 240, 560, 1);
    s.left_width = left;
  }
  if (s.right_open && !overlay) {
    const Rect panel = cut_right(rest, ui.px(right));
    draw_right(ui, panel);
    drag_edge(ui, "edge/right", {panel.x - ui.px(3), panel.y, ui.px(6), panel.h}, right, 200, 560, -1);
    s.right_width = right;
  }
  draw_center(ui, rest);
  if (s.right_open && overlay) {
    const Rect panel{rect.right() - ui.px(right), rect.y, ui.px(right), rect.h};
    const ChildScope over("right-overlay", panel, {0, 0}, false);
    draw_right(ui, panel);
  }
  if (!ui.typing()) {
    if (ui.input().pressed(GLFW_KEY_LEFT)) step_picture(-1);
    if (ui.input().pressed(GLFW_KEY_RIGHT)) step_picture(1);
    if (ui.input().pressed(GLFW_KEY_DELETE) && record_) delete_pictures(ws_, {record_->id});
    if (ui.input().pressed(GLFW_KEY_I)) ws_.settings.right_open = !ws_.settings.right_open;
    for (int star = 2; star <= 5; ++star) {  // 1 is the viewer's
      if (record_ && ui.input().pressed(GLFW_KEY_0 + star)) set_stars(ws_, {record_->id}, star);
    }
    if (ui.input().pressed(GLFW_KEY_Z, kControl)) form_.undo();
    if (ui.input().pressed(GLFW_KEY_Z, kControl | kShift) || ui.input().pressed(GLFW_KEY_Y, kControl)) form_.redo();
  }
}

void CreateView::step_picture(int step) {
  const auto at = std::find_if(latest_.begin(), latest_.end(), [&](const PictureRecord& r) { return r.path == shown_; });
  if (latest_.empty()) return;
  const std::ptrdiff_t index =
      at == latest_.end() ? 0 : std::clamp<std::ptrdiff_t>(at - latest_.begin() + step, 0, std::ssize(latest_) - 1);
  following_ = false;
  viewer_.show_preview(nullptr, 0, 0);
  show(latest_[static_cast<size_t>(index)].path);
}

void CreateView::draw_center(Ui& ui, const Rect& rect) {
  const IdScope scope("center");
  const Response r = viewer_.draw(ui, "viewer/picture", rect, ws_.uploads, true);
  if (std::exchange(came_, false) && asked_at_ >= 0) view_seconds_ = now_seconds() - std::exchange(asked_at_, -1);
  if (viewer_.empty() && !ws_.busy()) draw_empty(ui, rect);
  if (!ws_.queue->running.empty()) {
    // Over the picture, so that the picture stays where it is.
    const float width = std::min(ui.px(600), rect.w - ui.px(32));
    const Rect card{rect.center().x - width / 2, rect.bottom() - ui.px(116), width, ui.px(60)};
    const ChildScope over("progress", card, {0, 0}, false);
    draw_progress(ui, card, ws_.queue->running.front());
  }
  if (r.right_clicked && record_) {
    menu_record_ = *record_;
    ImGui::OpenPopup("picture-menu");
  }
  draw_picture_menu(ui, ws_, menu_record_);
}

void CreateView::draw_empty(Ui& ui, const Rect& rect) {
  const float width = std::min(ui.px(440), rect.w - ui.px(48));
  const Rect box{rect.center().x - width / 2, rect.center().y - ui.px(90), width, ui.px(180)};
  ui.icon(Icon::kImage, {box.x, box.y, box.w, ui.px(56)}, ui.colors().quiet, 44);
  const bool first = ws_.settings.first_start && !unreadable_;
  const Rect title{box.x, box.y + ui.px(64), box.w, ui.px(28)};
  const char* what = unreadable_ ? "This picture cannot be shown" : first ? "Press Generate" : "No picture yet";
  ui.text_in(title, what, Face::kTitle, ui.colors().text, 0.5f);
  ui.readable("create/empty", title, what);
  std::vector<std::string> lines = {"Write a prompt and press Ctrl+Enter.", "Drop a picture here to get its settings back."};
  if (first) {
    lines = {"This model was trained by Linea itself and needs no download;", "add SANA for real work: drop its folder onto this window,",
             "or name it in Models."};
  } else if (unreadable_) {
    lines = {shown_.filename().string(), "is missing or damaged."};
  }
  float y = box.y + ui.px(98);
  for (const std::string& text : lines) {
    ui.text_in({box.x, y, box.w, ui.px(21)}, text, Face::kText, ui.colors().quiet, 0.5f);
    ui.readable("create/welcome", {box.x, y, box.w, ui.px(21)}, text);
    y += ui.px(21);
  }
}

void CreateView::draw_progress(Ui& ui, const Rect& rect, const RunningPicture& running) {
  ui.fill(rect, ui.colors().panel, 8);
  ui.frame(rect, ui.colors().line, 8);
  Rect row{rect.x + ui.px(16), rect.y + ui.px(10), rect.w - ui.px(28), ui.px(40)};
  const Rect cancel = cut_right(row, ui.px(96));
  cut_right(row, ui.px(12));
  const Progress& p = running.progress;
  const JobView* job = ws_.queue->find(running.job);
  std::string text = p.stage == "denoise"  ? "step " + std::to_string(p.step) + "/" + std::to_string(p.steps)
                     : p.stage == "load"   ? "loading the model"
                     : p.stage == "text"   ? "reading the prompt"
                     : p.stage == "decode" ? "decoding"
                     : p.stage.empty()     ? "starting"
                                           : p.stage;
  if (job && job->job->count > 1)
    text = "picture " + std::to_string(running.picture + 1) + "/" + std::to_string(job->job->count) + "   " + text;
  Rect labels = cut_top(row, ui.px(22));
  ui.text_in(labels, text, Face::kMonoSmall, ui.colors().quiet);
  ui.readable("create/progress", labels, text);
  if (running.seconds_left >= 0) ui.text_in(labels, time_text(running.seconds_left) + " left", Face::kMonoSmall, ui.colors().quiet, 1);
  const float fraction = p.steps > 0 && p.stage == "denoise" ? static_cast<float>(p.step) / static_cast<float>(p.steps)
                         : p.stage == "decode"               ? 1.0f
                                                             : -1.0f;
  progress_bar(ui, {row.x, row.y + ui.px(4), row.w, ui.px(5)}, fraction, ui.colors().accent);
  if (fraction < 0) ui.animate();
  if (button(ui, "create/cancel", {cancel.x, cancel.y + ui.px(4), cancel.w, ui.px(32)}, "Cancel",
             {.icon = Icon::kStop, .look = ButtonLook::kOutlined, .tip = "Stops within a step.", .shortcut = "Esc"})
          .clicked)
    ws_.engine->cancel(running.job);
}

void CreateView::draw_right(Ui& ui, const Rect& rect) {
  ui.fill(rect, ui.colors().panel);
  const ChildScope child("right", rect, {ui.px(16), ui.px(12)});
  const float details = record_ ? ui.px(520) : 0;
  Rect head = ui.place(0, ui.px(26));
  const Rect open = cut_right(head, ui.px(26));
  ui.text_in(head, "Latest", Face::kSmall, ui.colors().quiet);
  ui.readable("create/latest", head, "Latest");
  if (icon_button(ui, "create/open", open, Icon::kFolder, "Open a picture and use its settings", {.shortcut = "Ctrl+O"}).clicked)
    ask_for_picture();
  ui.gap(4);
  const float room = rect.w - ui.px(32), columns = std::max(2.0f, std::floor(room / ui.px(92)));
  const float rows = std::ceil(static_cast<float>(latest_.size()) / columns), cell = (room + ui.px(8)) / columns;
  const Rect area = ui.place(0, std::clamp(rows * cell, ui.px(40), std::max(ui.px(148), rect.h - details - ui.px(60))));
  draw_history(ui, area);
  ImGui::SetCursorScreenPos({area.x, area.bottom()});
  if (!record_) return;
  separator(ui);
  line(ui, "On this picture", Face::kSmall, ui.colors().quiet);
  ui.gap(6);
  draw_picture_details(ui, ws_, tags_, *record_);
}

void CreateView::draw_history(Ui& ui, const Rect& area) {
  const float edge = ui.px(4);  // room for the frames around pictures
  const ChildScope child("history", {area.x - edge, area.y - edge, area.w + 2 * edge, area.h + 2 * edge}, {edge, edge});
  const int columns = std::max(2, static_cast<int>(area.w / ui.px(92)));
  const float gap = ui.px(8), side = (ui.rest() - gap * static_cast<float>(columns - 1)) / static_cast<float>(columns);
  if (latest_.empty()) paragraph(ui, "Pictures appear here, the newest first.", Face::kSmall, ui.colors().quiet);
  for (size_t i = 0; i < latest_.size(); i += static_cast<size_t>(columns)) {
    const Rect row = ui.place(0, side);
    for (size_t c = 0; c < static_cast<size_t>(columns) && i + c < latest_.size(); ++c) {
      const PictureRecord& record = latest_[i + c];
      const Rect cell{row.x + static_cast<float>(c) * (side + gap), row.y, side, side};
      const Response r = ui.item("history/" + std::to_string(record.id), cell, ItemKind::kPicture, record.prompt);
      draw_thumbnail(ui, ws_.thumbnails, record.id, cell, true);
      if (record.path == shown_) ui.list().AddRect(cell.min(), cell.max(), ui.color(ui.colors().accent), ui.px(4), 0, ui.px(2));
      if (r.focused) ui.focus_ring(cell, 4);
      ui.tip(r, record.prompt, std::to_string(record.width) + " × " + std::to_string(record.height));
      if (r.clicked) {
        following_ = false;
        viewer_.show_preview(nullptr, 0, 0);
        show(record.path);
      }
      if (r.double_clicked) use_settings(ws_, record);
      if (r.right_clicked) {
        menu_record_ = record;
        ImGui::OpenPopup("picture-menu");
      }
    }
    ui.gap(8);
  }
  draw_picture_menu(ui, ws_, menu_record_);
}

void CreateView::ask_for_picture() {
  ws_.ask_file({.title = "Open a picture, with its settings",
                .endings = {".png", ".jpg", ".jpeg", ".webp", ".txt"},
                .start = shown_.empty() ? ws_.output_folder() : shown_.parent_path(),
                .done = [this](const std::filesystem::path& path) { drop(path); }});
}

// A picture gives its settings, a text file its A1111 lines.
void CreateView::drop(const std::filesystem::path& path) {
  ws_.background.run(Background::kFiles, [this, path, base = form_.form()]() -> Background::Done {
    std::optional<RestoredForm> restored;
    bool picture = true;
    if (path.extension() == ".txt") {
      picture = false;
      restored = restore_infotext(read_file(path, 4 << 20, ErrorKind::kBadFile), base);
    } else if (image_format_of_content(path) == ImageFormat::kPng) {
      restored = restore_form(read_png_text(path), base);
    }
    return [this, path, restored, picture] {
      ws_.go(ViewKind::kCreate);
      if (picture) following_ = false, show(path);
      if (!restored) {
        ws_.toasts.show({.kind = ToastKind::kWarning, .text = path.filename().string() + " does not say how it was made."});
        return;
      }
      form_.set_form(restored->form);
      std::string missing;
      for (const std::string& field : restored->not_mapped) missing += field + "\n";
      const size_t count = restored->not_mapped.size();
      ws_.toasts.show({.kind = count ? ToastKind::kWarning : ToastKind::kGood,
                       .text = "Settings restored from " + restored->source +
                               (count == 0   ? "."
                                : count == 1 ? "; one of them has no meaning here."
                                             : "; " + std::to_string(count) + " of them have no meaning here."),
                       .details = missing.empty() ? "" : "Not restored:\n" + missing});
    };
  });
}

}  // namespace linea::studio
