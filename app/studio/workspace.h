// app/studio/workspace.h: what the views share: the services of the studio, and what one view may ask of another.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/engine/engine.h"
#include "app/studio/background.h"
#include "app/studio/file_dialog.h"
#include "app/studio/model_catalogue.h"
#include "app/studio/picture_loader.h"
#include "app/studio/picture_texture.h"
#include "app/studio/studio_settings.h"
#include "app/studio/thumbnails.h"
#include "app/studio/toasts.h"

namespace linea::studio {

enum class ViewKind : uint8_t { kCreate, kGallery, kChat, kQueue, kModels, kSettings, kShortcuts };

struct Workspace {
  StudioSettings& settings;
  Background& background;
  Toasts& toasts;
  Thumbnails& thumbnails;
  PictureLoader& pictures;
  UploadBudget& uploads;
  std::filesystem::path data_folder{};  // for chat states and models that are made here

  Engine* engine = nullptr;                                                        // null until the queue has been read
  std::shared_ptr<const QueueSnapshot> queue = std::make_shared<QueueSnapshot>();  // of this frame
  std::vector<ModelEntry> models{};
  bool models_known = false;
  uint64_t library_version = 0;  // grows when pictures came, went or changed
  bool wide = true;              // room for the right panel beside the content

  std::function<void(ViewKind)> go{};
  std::function<void(const PictureForm&, bool generate)> use_form{};    // into the Create view
  std::function<void(const std::string& prompt)> use_prompt{};          // only the prompt
  std::function<void(const std::filesystem::path&)> show_picture{};     // in the Create view's viewer
  std::function<void(const std::filesystem::path&)> compare_picture{};  // with the one shown
  std::function<void(const std::string& instruction, const std::string& text, std::function<void(std::string)>)>
      ask_chat{};  // empty without a chat model
  std::function<void(FileQuestion)> ask_file{};
  std::function<void(std::function<void()>)> post{};  // onto the drawing thread, from any thread
  std::function<void()> rescan_models{};
  std::function<void()> library_changed{};

  const ModelEntry* find_model(const std::string& name) const;
  std::filesystem::path output_folder() const;
  bool busy() const { return !queue->running.empty(); }
};

// Texts that several views show.
std::string time_text(double seconds);             // "4.2 s", "3 min", "1 h 10 min"
std::string when_text(double seconds_since_1970);  // "today 18:02", "24 Nov 2026"
std::string model_title(const Workspace& ws, const std::string& name);

// The row of the library at this path or id, read in the background.
void with_record(Workspace& ws, int64_t id, std::function<void(const PictureRecord&)> done);

}  // namespace linea::studio
