#include "app/studio/picture_loader.h"

#include <utility>

namespace linea::studio {
namespace {

constexpr int64_t kKeptPixels = int64_t{150} << 20;  // about 600 MB with the smaller levels

}  // namespace

PictureLoader::Pyramid PictureLoader::find(const std::filesystem::path& path) {
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    if (it->first != path.string()) continue;
    kept_.splice(kept_.begin(), kept_, it);
    return kept_.front().second;
  }
  return nullptr;
}

void PictureLoader::keep(const std::filesystem::path& path, Pyramid pyramid) {
  forget(path);
  kept_.emplace_front(path.string(), std::move(pyramid));
  int64_t pixels = 0;
  size_t count = 0;
  for (const auto& [name, kept] : kept_) {
    pixels += kept->width() * kept->height();
    if (pixels > kKeptPixels && count >= 2) break;
    ++count;
  }
  kept_.resize(count);
}

void PictureLoader::forget(const std::filesystem::path& path) {
  kept_.remove_if([&](const auto& entry) { return entry.first == path.string(); });
}

void PictureLoader::load(int slot, const std::filesystem::path& path, std::function<void(Pyramid, const std::string&)> done) {
  const size_t place = static_cast<size_t>(slot) % newest_->size();
  const uint64_t ticket = ++(*newest_)[place];
  if (Pyramid known = find(path)) {
    done(known, "");
    return;
  }
  background_.run_first(Background::kPictures, [this, path, ticket, place, newest = newest_, done = std::move(done)]() -> Background::Done {
    if ((*newest)[place] != ticket) return {};
    Pyramid pyramid;
    std::string problem;
    try {
      pyramid = std::make_shared<PicturePyramid>(read_image(path));
    } catch (const std::exception& error) {
      problem = error.what();
    }
    return [this, path, ticket, place, newest, done, pyramid, problem] {
      if (pyramid) keep(path, pyramid);
      if ((*newest)[place] == ticket) done(pyramid, problem);
    };
  });
}

void PictureLoader::prefetch(const std::filesystem::path& path) {
  if (find(path)) return;
  load(7, path, [](const Pyramid&, const std::string&) {});
}

}  // namespace linea::studio
