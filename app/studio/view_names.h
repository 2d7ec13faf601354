// app/studio/view_names.h: the views by the names that people, scripts and settings use.
#pragma once

#include <cstddef>

#include "app/studio/studio.h"

namespace linea::studio {

struct ViewName {
  ViewKind kind;
  const char *id, *title;
  Icon icon;
};
inline constexpr ViewName kViews[] = {{ViewKind::kCreate, "create", "Create", Icon::kImage},
                                      {ViewKind::kGallery, "gallery", "Gallery", Icon::kGrid},
                                      {ViewKind::kChat, "chat", "Chat", Icon::kChat},
                                      {ViewKind::kQueue, "queue", "Queue", Icon::kQueue},
                                      {ViewKind::kModels, "models", "Models", Icon::kCube},
                                      {ViewKind::kSettings, "settings", "Settings", Icon::kGear},
                                      {ViewKind::kShortcuts, "shortcuts", "Shortcuts", Icon::kKeyboard}};
inline constexpr size_t kTabs = 5;  // the first of them are in the bar

}  // namespace linea::studio
