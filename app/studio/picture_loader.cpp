#include "app/studio/picture_loader.h"

#include <algorithm>
#include <utility>

#include "app/studio/clock.h"
#include "core/image.h"

namespace linea::studio {
namespace {

constexpr int64_t kKeptPixels = int64_t{150} << 20;         // about 600 MB with the smaller levels
constexpr double kFirstPartial = 0.1, kNextPartial = 0.15;  // seconds

// Keeps every n-th pixel of every n-th row that has come.
class Thinned {
 public:
  explicit Thinned(std::function<void(std::shared_ptr<const Image>, int64_t, int64_t)> show) : show_(std::move(show)) {}

  void take(const ImageRows& rows) {
    if (image_.width == 0) {
      step_ = std::max<int64_t>(1, std::max(rows.width, rows.height) / 1024);
      image_.width = rows.width / step_, image_.height = rows.height / step_;
      image_.pixels.resize(static_cast<size_t>(image_.width * image_.height * 3));
    }
    for (; done_ < image_.height && done_ * step_ < rows.rows; ++done_) {
      const uint8_t* from = rows.pixels + done_ * step_ * rows.width * rows.channels;
      uint8_t* to = image_.pixels.data() + done_ * image_.width * 3;
      for (int64_t x = 0; x < image_.width; ++x, from += step_ * rows.channels, to += 3) std::copy_n(from, 3, to);
    }
    if (now_seconds() < due_ || rows.rows == rows.height) return;
    due_ = now_seconds() + kNextPartial;
    show_(std::make_shared<const Image>(image_), rows.width, rows.height);
  }

 private:
  std::function<void(std::shared_ptr<const Image>, int64_t, int64_t)> show_;
  Image image_;
  int64_t step_ = 1, done_ = 0;
  double due_ = now_seconds() + kFirstPartial;
};

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

void PictureLoader::load(int slot, const std::filesystem::path& path, Done done, Partial partial) {
  const size_t place = static_cast<size_t>(slot) % newest_->size();
  const uint64_t ticket = ++(*newest_)[place];
  if (Pyramid known = find(path)) {
    done(known, "");
    return;
  }
  const auto is_newest = [newest = newest_, place, ticket] { return (*newest)[place] == ticket; };
  background_.run_first(Background::kPictures,
                        [this, path, is_newest, done = std::move(done), partial = std::move(partial)]() -> Background::Done {
                          if (!is_newest()) return {};
                          Thinned thinned([&](const std::shared_ptr<const Image>& image, int64_t width, int64_t height) {
                            background_.post([=] {
                              if (is_newest()) partial(image, width, height);
                            });
                          });
                          ImageReadOptions options;
                          if (partial) options.on_rows = [&](const ImageRows& rows) { thinned.take(rows); };
                          Pyramid pyramid;
                          std::string problem;
                          try {
                            pyramid = std::make_shared<PicturePyramid>(read_image(path, options));
                          } catch (const std::exception& error) {
                            problem = error.what();
                          }
                          return [this, path, is_newest, done, pyramid, problem] {
                            if (pyramid) keep(path, pyramid);
                            if (is_newest()) done(pyramid, problem);
                          };
                        });
}

void PictureLoader::prefetch(const std::filesystem::path& path) {
  if (find(path)) return;
  load(7, path, [](const Pyramid&, const std::string&) {});
}

}  // namespace linea::studio
