// app/studio/icons.h: the studio's own line icons, drawn as strokes on a grid of 24 × 24, crisp at every scale.
#pragma once

#include <imgui.h>

#include <cstdint>

namespace linea::studio {

enum class Icon : uint8_t {
  kNone,
  kBlank,  // the room of one, where others of a list have icons
  kLogo,
  kImage,
  kGrid,
  kChat,
  kQueue,
  kCube,
  kSearch,
  kGear,
  kChevronDown,
  kChevronRight,
  kChevronLeft,
  kSwap,
  kLock,
  kUnlock,
  kDice,
  kPin,
  kPlay,
  kPause,
  kStop,
  kClose,
  kPlus,
  kMinus,
  kStar,
  kStarFilled,
  kTrash,
  kFolder,
  kCopy,
  kRefresh,
  kEdit,
  kBranch,
  kUndo,
  kRedo,
  kCompare,
  kDifference,
  kFit,
  kSparkle,
  kSend,
  kPanelLeft,
  kPanelRight,
  kInfo,
  kWarning,
  kCheck,
  kKeyboard,
  kDownload,
  kSun,
  kMoon,
  kDrag,
  kClock,
  kList,
  kEye,
  kExpand,
  kMore,
  kArrowUp,
};

// The icon in a square of `size` pixels around `center`; strokes are `size` / 14 wide.
void draw_icon(ImDrawList& list, Icon icon, ImVec2 center, float size, ImU32 color);

}  // namespace linea::studio
