#include "app/studio/viewer.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <cmath>

#include "app/studio/number_field.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

constexpr float kMostZoom = 64;

std::string zoom_text(float zoom) {
  const float percent = zoom * 100;
  return number_text(percent, percent < 10 ? 1 : 0) + " %";
}

}  // namespace

void Viewer::show(Pyramid picture, const std::filesystem::path& path) {
  preview_.reset();
  if (picture == current_pyramid_) return;
  if (current_) other_ = std::move(current_), other_pyramid_ = current_pyramid_;
  current_ = picture ? std::make_unique<PictureTexture>(picture) : nullptr;
  current_pyramid_ = std::move(picture);
  path_ = path;
  difference_.reset();
  if (mode_ == Mode::kDifference) start_difference();
}

void Viewer::show_preview(std::shared_ptr<const Image> preview, int64_t width, int64_t height) {
  preview_ = std::move(preview);
  preview_width_ = width, preview_height_ = height;
}

void Viewer::compare_with(Pyramid other) {
  other_ = std::make_unique<PictureTexture>(other);
  other_pyramid_ = std::move(other);
  difference_.reset();
  mode_ = Mode::kSlider;
}

std::pair<int64_t, int64_t> Viewer::size() const {
  if (preview_) return {preview_width_, preview_height_};
  return current_ ? std::pair{current_pyramid_->width(), current_pyramid_->height()} : std::pair<int64_t, int64_t>{1, 1};
}

float Viewer::fit_zoom(const Rect& area) const {
  const auto [w, h] = size();
  return std::min(area.w / static_cast<float>(w), area.h / static_cast<float>(h));
}

Rect Viewer::place(const Rect& area) const {
  const auto [w, h] = size();
  const float z = zoom(area), pw = static_cast<float>(w) * z, ph = static_cast<float>(h) * z;
  const ImVec2 c = fit_ ? ImVec2{0.5f, 0.5f} : center_;
  return {std::round(area.center().x - c.x * pw), std::round(area.center().y - c.y * ph), pw, ph};
}

Response Viewer::draw(Ui& ui, std::string_view id, const Rect& rect, UploadBudget& uploads, bool keys) {
  ui.fill(rect, ui.colors().surround);
  Rect tools = rect;
  tools = cut_bottom(tools, ui.px(40));
  Rect canvas = rect;
  canvas.h -= tools.h;
  const Rect area{canvas.x + ui.px(12), canvas.y + ui.px(12), canvas.w - ui.px(24), canvas.h - ui.px(12)};
  last_area_ = area;
  if (keys && !empty()) handle_keys(ui);
  const IdScope scope(id);
  const Response r =
      ui.item(id, canvas, ItemKind::kPicture, "picture", {.focusable = false, .enter_clicks = false, .value = path_.string()});
  if (r.pressed) ui.focus(0);  // single letters are the viewer's from now on
  if (!empty())
    handle_mouse(ui, {.rect = area, .hovered = r.hovered, .held = r.held, .pressed = r.pressed, .double_clicked = r.double_clicked});
  {
    const ClipScope clip(canvas);
    if (!empty()) paint(ui, area, uploads);
  }
  if (!empty()) {
    paint_status(ui, {rect.x, tools.y, rect.w, tools.h});
    toolbar(ui, {rect.x, tools.y, rect.w, tools.h});
  }
  return r;
}

void Viewer::handle_keys(Ui& ui) {
  Input& in = ui.input();
  if (ui.typing()) return;
  if (in.pressed(GLFW_KEY_F)) fit_ = true;
  if (in.pressed(GLFW_KEY_1)) fit_ = false, zoom_ = 1;
  if (in.pressed(GLFW_KEY_C) && other_) mode_ = mode_ == Mode::kSlider ? Mode::kSingle : Mode::kSlider;
  if (in.pressed(GLFW_KEY_D) && other_) {
    mode_ = mode_ == Mode::kDifference ? Mode::kSingle : Mode::kDifference;
    if (mode_ == Mode::kDifference) start_difference();
  }
}

void Viewer::zoom_at(const Rect& area, ImVec2 at, float factor) {
  const Rect before = place(area);
  const float old = zoom(area), low = std::min(fit_zoom(area), 1.0f) * 0.5f;
  const float now = std::clamp(old * factor, low, kMostZoom);
  const auto [w, h] = size();
  const ImVec2 spot{(at.x - before.x) / before.w, (at.y - before.y) / before.h};  // stays under the cursor
  zoom_ = now, fit_ = false;
  const float pw = static_cast<float>(w) * now, ph = static_cast<float>(h) * now;
  center_ = {spot.x - (at.x - area.center().x) / pw, spot.y - (at.y - area.center().y) / ph};
  center_ = {std::clamp(center_.x, 0.0f, 1.0f), std::clamp(center_.y, 0.0f, 1.0f)};
}

void Viewer::handle_mouse(Ui& ui, const Response& r) {
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  if (r.hovered && ImGui::GetIO().MouseWheel != 0) zoom_at(r.rect, mouse, std::pow(1.2f, ImGui::GetIO().MouseWheel));
  const float edge = r.rect.x + slider_ * r.rect.w;
  if (r.pressed) drags_slider_ = mode_ == Mode::kSlider && std::abs(mouse.x - edge) < ui.px(12);
  if (mode_ == Mode::kSlider && r.hovered && std::abs(mouse.x - edge) < ui.px(12)) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);
  if (r.held) {
    const ImVec2 moved = ImGui::GetIO().MouseDelta;
    if (drags_slider_) {
      slider_ = std::clamp((mouse.x - r.rect.x) / std::max(1.0f, r.rect.w), 0.0f, 1.0f);
    } else if (!fit_) {
      const Rect p = place(r.rect);
      center_ = {std::clamp(center_.x - moved.x / p.w, 0.0f, 1.0f), std::clamp(center_.y - moved.y / p.h, 0.0f, 1.0f)};
    }
  }
  if (r.double_clicked) {
    if (fit_) {
      zoom_at(r.rect, mouse, 1 / fit_zoom(r.rect));
    } else {
      fit_ = true;
    }
  }
}

void Viewer::start_difference() {
  if (!current_ || !other_) return;
  const uint64_t ticket = ++difference_ticket_;
  background_.run_first(Background::kPictures, [this, ticket, a = current_pyramid_, b = other_pyramid_]() -> Background::Done {
    const auto pyramid = std::make_shared<const PicturePyramid>(difference_picture(a->level(0), b->level(0)));
    return [this, ticket, pyramid] {
      if (ticket == difference_ticket_) difference_ = std::make_unique<PictureTexture>(pyramid);
    };
  });
}

void Viewer::paint(Ui& ui, const Rect& area, UploadBudget& uploads) {
  const Rect picture = place(area);
  const Rect seen = area.inset(-ui.px(12));
  if (preview_) {
    if (uploaded_preview_ != preview_.get()) {
      preview_texture_ = make_texture(*preview_);
      uploaded_preview_ = preview_.get();
    }
    ui.list().AddImage(preview_texture_.id(), picture.min(), picture.max());
  } else if (mode_ == Mode::kSlider && other_) {
    paint_slider(ui, area, picture, uploads);
  } else if (mode_ == Mode::kDifference && difference_) {
    difference_->draw(ui.list(), picture, seen, uploads);
  } else {
    current_->draw(ui.list(), picture, seen, uploads);
  }
  if (uploads.missed()) ui.animate();
}

void Viewer::paint_slider(Ui& ui, const Rect& area, const Rect& picture, UploadBudget& uploads) {
  const float edge = std::round(area.x + slider_ * area.w);
  const Rect left{area.x - ui.px(12), area.y, edge - area.x + ui.px(12), area.h}, right{edge, area.y, area.right() - edge, area.h};
  {
    const ClipScope clip(left);
    other_->draw(ui.list(), picture, left, uploads);
  }
  {
    const ClipScope clip(right);
    current_->draw(ui.list(), picture, right, uploads);
  }
  // A dark rim, or nothing of it would be seen on white.
  ui.fill({edge - ui.px(2), area.y, ui.px(4), area.h}, 0x000000, 0, 0.4f);
  ui.list().AddCircleFilled({edge, area.center().y}, ui.px(14), ui.color(0x000000, 0.4f));
  ui.fill({edge - ui.px(1), area.y, ui.px(2), area.h}, 0xFFFFFF);
  ui.list().AddCircleFilled({edge, area.center().y}, ui.px(13), ui.color(0xFFFFFF));
  draw_icon(ui.list(), Icon::kCompare, {edge, area.center().y}, ui.px(15), ui.color(0x20242C));
  const auto tag = [&](const Rect& half, std::string_view text, float align) {
    const float width = text_width(ui.style(Face::kSmall), text) + ui.px(16);
    const Rect box{align == 0 ? half.x + ui.px(16) : half.right() - width, half.y + ui.px(4), width, ui.px(24)};
    ui.fill(box, 0x000000, 12, 0.6f);
    ui.text_in(box, text, Face::kSmall, 0xFFFFFF, 0.5f);
  };
  tag(left, "before", 0);
  tag(right, "now", 1);
}

void Viewer::paint_status(Ui& ui, const Rect& area) {
  const Rect canvas{area.x + ui.px(12), area.y, area.w, area.h};
  const auto [w, h] = size();
  std::string text = std::to_string(w) + " × " + std::to_string(h);
  if (current_ && !preview_) {
    const ImVec2 mouse = ImGui::GetIO().MousePos;
    const Rect whole = last_area_;
    const Rect p = place(whole);
    text = zoom_text(zoom(whole)) + "   " + text;
    if (whole.contains(mouse) && p.contains(mouse)) {
      const int64_t x = std::min<int64_t>(w - 1, static_cast<int64_t>((mouse.x - p.x) / p.w * static_cast<float>(w)));
      const int64_t y = std::min<int64_t>(h - 1, static_cast<int64_t>((mouse.y - p.y) / p.h * static_cast<float>(h)));
      const uint8_t* pixel = current_pyramid_->level(0).pixels.data() + (y * w + x) * 3;
      text += "   " + std::to_string(x) + ", " + std::to_string(y) + "   " + std::to_string(pixel[0]) + " " + std::to_string(pixel[1]) +
              " " + std::to_string(pixel[2]);
    }
  }
  ui.text_in({canvas.x, canvas.y, area.w - ui.px(190), canvas.h}, text, Face::kMonoSmall, ui.colors().quiet);
  ui.readable("viewer/status", canvas, text);
}

void Viewer::toolbar(Ui& ui, const Rect& area) {
  Rect row{area.x, area.y + ui.px(4), area.w - ui.px(10), ui.px(32)};
  const auto tool = [&](std::string_view id, Icon icon, std::string_view label, std::string_view key, bool on, bool enabled) {
    const Rect r = cut_right(row, ui.px(34));
    return icon_button(ui, id, {r.x, r.y, ui.px(32), r.h}, icon, label,
                       {.look = on ? ButtonLook::kSelected : ButtonLook::kQuiet, .enabled = enabled, .shortcut = key})
        .clicked;
  };
  const bool both = current_ && other_ && !preview_;
  if (tool("viewer/difference", Icon::kDifference, "Difference to the last picture, four times as bright", "D", mode_ == Mode::kDifference,
           both)) {
    mode_ = mode_ == Mode::kDifference ? Mode::kSingle : Mode::kDifference;
    if (mode_ == Mode::kDifference) start_difference();
  }
  if (tool("viewer/compare", Icon::kCompare, "Compare with the last picture", "C", mode_ == Mode::kSlider, both))
    mode_ = mode_ == Mode::kSlider ? Mode::kSingle : Mode::kSlider;
  if (tool("viewer/actual", Icon::kExpand, "A screen pixel for every pixel", "1", !fit_ && zoom_ == 1, true)) fit_ = false, zoom_ = 1;
  if (tool("viewer/fit", Icon::kFit, "Fit into the window", "F", fit_, true)) fit_ = true;
}

}  // namespace linea::studio
