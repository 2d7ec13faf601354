// app/studio/viewer.h: one picture as large as wanted: zoom to the cursor, fit, 1:1, pixel values, before/after and difference.
//
// The place that is looked at is kept in parts of the picture, so a preview and the finished picture of any size share it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "app/studio/background.h"
#include "app/studio/picture_texture.h"
#include "app/studio/ui.h"

namespace linea::studio {

class Viewer {
 public:
  explicit Viewer(Background& background) : background_(background) {}

  using Pyramid = std::shared_ptr<const PicturePyramid>;
  // The picture that is shown from now on; what was shown before becomes what C compares with.
  void show(Pyramid picture, const std::filesystem::path& path);
  // A coarse stand-in for a picture of width × height that is being made or read; null ends it.
  void show_preview(std::shared_ptr<const Image> preview, int64_t width, int64_t height);
  void compare_with(Pyramid other);  // as if it had been shown before
  bool empty() const { return !current_ && !preview_; }
  const std::filesystem::path& path() const { return path_; }
  Pyramid picture() const { return current_ ? current_pyramid_ : nullptr; }
  bool comparing() const { return mode_ == Mode::kSlider; }

  // `keys`: single letters act on this viewer. Returns the response of the picture's area (for menus).
  Response draw(Ui& ui, std::string_view id, const Rect& rect, UploadBudget& uploads, bool keys);

 private:
  enum class Mode : uint8_t { kSingle, kSlider, kDifference };
  void handle_keys(Ui& ui);
  void handle_mouse(Ui& ui, const Response& r);
  void zoom_at(const Rect& area, ImVec2 at, float factor);
  void paint(Ui& ui, const Rect& area, UploadBudget& uploads);
  void paint_slider(Ui& ui, const Rect& area, const Rect& picture, UploadBudget& uploads);
  void paint_status(Ui& ui, const Rect& area);
  void toolbar(Ui& ui, const Rect& area);
  void start_difference();
  Rect place(const Rect& area) const;
  float fit_zoom(const Rect& area) const;
  float zoom(const Rect& area) const { return fit_ ? fit_zoom(area) : zoom_; }
  std::pair<int64_t, int64_t> size() const;

  Background& background_;
  Pyramid current_pyramid_, other_pyramid_;
  std::unique_ptr<PictureTexture> current_, other_, difference_;
  std::filesystem::path path_;
  std::shared_ptr<const Image> preview_;
  Texture preview_texture_;
  const Image* uploaded_preview_ = nullptr;
  int64_t preview_width_ = 0, preview_height_ = 0;

  Mode mode_ = Mode::kSingle;
  uint64_t difference_ticket_ = 0;
  bool fit_ = true;
  float zoom_ = 1;             // screen pixels a picture pixel
  ImVec2 center_{0.5f, 0.5f};  // in parts of the picture
  float slider_ = 0.5f;        // in parts of the area
  bool drags_slider_ = false;
  Rect last_area_;  // where the picture was drawn
};

}  // namespace linea::studio
