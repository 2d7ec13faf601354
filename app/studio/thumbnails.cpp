#include "app/studio/thumbnails.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace linea::studio {
namespace {

constexpr size_t kMostTextures = 700, kMostPending = 64;

}  // namespace

Image reduced(Image image, int64_t side) {
  while (std::max(image.width, image.height) > side) image = halved(image);
  return image;
}

const Texture* Thumbnails::find(int64_t picture) {
  const auto found = entries_.find(picture);
  if (found != entries_.end()) {
    found->second.used = frame_;
    return &found->second.texture;
  }
  if (!asked_.contains(picture) && !failed_.contains(picture) && asked_.size() < kMostPending) {
    asked_.insert(picture);
    wanted_.push_back(picture);
  }
  return nullptr;
}

void Thumbnails::end_frame() {
  ++frame_;
  if (!wanted_.empty()) fetch(std::exchange(wanted_, {}));
  if (entries_.size() > kMostTextures) std::erase_if(entries_, [&](const auto& e) { return e.second.used + 60 < frame_; });
}

void Thumbnails::fetch(std::vector<int64_t> pictures) {
  background_.with_library([this, pictures = std::move(pictures)](Library& library) -> Background::Done {
    std::vector<std::pair<int64_t, Image>> images;
    for (const Thumbnail& stored : library.thumbnails(pictures)) {
      try {
        images.emplace_back(stored.picture, decode_image(stored.jpeg, "thumbnail"));
      } catch (const std::exception&) {  // a damaged one is made again
      }
    }
    return [this, pictures, images = std::move(images)] {
      for (const auto& [picture, image] : images) arrive(picture, image);
      for (const int64_t picture : pictures) {
        if (asked_.contains(picture)) make(picture);
      }
    };
  });
}

// Reads the file, on the pictures' lane; the library's lane tells where it is and stores the result.
void Thumbnails::make(int64_t picture) {
  background_.with_library([this, picture](Library& library) -> Background::Done {
    const std::optional<PictureRecord> record = library.picture(picture);
    return [this, picture, path = record ? record->path : std::filesystem::path()] {
      background_.run(Background::kPictures, [this, picture, path]() -> Background::Done {
        Image image;
        try {
          image = reduced(read_image(path), kThumbnailSide);
        } catch (const std::exception&) {
          return [this, picture] {
            asked_.erase(picture);
            failed_.insert(picture);
          };
        }
        return [this, picture, image, jpeg = encode_jpeg(image, 88)] {
          arrive(picture, image);
          background_.with_library([picture, jpeg](Library& store) -> Background::Done {
            store.put_thumbnail(picture, jpeg);
            return {};
          });
        };
      });
    };
  });
}

void Thumbnails::arrive(int64_t picture, const Image& image) {
  asked_.erase(picture);
  entries_[picture] = {make_texture(image), frame_};
}

void draw_thumbnail(Ui& ui, Thumbnails& thumbnails, int64_t picture, const Rect& rect, bool cover) {
  const Texture* texture = ImGui::IsRectVisible(rect.min(), rect.max()) ? thumbnails.find(picture) : nullptr;
  if (!texture) {
    ui.fill(rect, ui.colors().hover, 4);
    return;
  }
  ImVec2 low{0, 0}, high{1, 1};
  if (cover) {
    const float have = static_cast<float>(texture->width()) / static_cast<float>(texture->height()), want = rect.w / std::max(1.0f, rect.h);
    if (have > want) {
      low.x = (1 - want / have) / 2, high.x = 1 - low.x;
    } else {
      low.y = (1 - have / want) / 2, high.y = 1 - low.y;
    }
  }
  ui.list().AddImageRounded(texture->id(), rect.min(), rect.max(), low, high, IM_COL32_WHITE, ui.px(4));
  // A faint edge, or a white picture would have none on a white panel.
  const float half = std::max(1.0f, ui.px(1)) / 2;
  ui.list().AddRect({rect.x + half, rect.y + half}, {rect.right() - half, rect.bottom() - half}, ui.color(ui.colors().text, 0.14f),
                    ui.px(4), 0, 2 * half);
}

void Thumbnails::forget(int64_t picture) {
  entries_.erase(picture);
  failed_.erase(picture);
}

}  // namespace linea::studio
