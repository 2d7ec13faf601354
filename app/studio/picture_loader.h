// app/studio/picture_loader.h: whole pictures for the viewer, read and reduced in the background; the last ones are kept.
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "app/studio/background.h"
#include "app/studio/picture_pyramid.h"

namespace linea::studio {

class PictureLoader {
 public:
  explicit PictureLoader(Background& background) : background_(background) {}

  using Pyramid = std::shared_ptr<const PicturePyramid>;
  using Done = std::function<void(Pyramid, const std::string& problem)>;
  // A coarse picture of what has been read so far, and the size of the whole.
  using Partial = std::function<void(std::shared_ptr<const Image>, int64_t width, int64_t height)>;
  // Calls `done` at once when the picture is kept, else later on the drawing thread; null and a reason when it cannot be read. A newer
  // request in the same `slot` replaces one that has not begun. `partial` hears of pictures that take their time.
  void load(int slot, const std::filesystem::path& path, Done done, Partial partial = {});
  // Known already, because it has just been made.
  void keep(const std::filesystem::path& path, Pyramid pyramid);
  void forget(const std::filesystem::path& path);
  void prefetch(const std::filesystem::path& path);

 private:
  Pyramid find(const std::filesystem::path& path);

  Background& background_;
  std::list<std::pair<std::string, Pyramid>> kept_;  // most recent first
  std::shared_ptr<std::array<std::atomic<uint64_t>, 8>> newest_ = std::make_shared<std::array<std::atomic<uint64_t>, 8>>();
};

}  // namespace linea::studio
