#include "app/studio/icons.h"

#include <cctype>
#include <cmath>
#include <cstdlib>

namespace linea::studio {
namespace {

// Commands with coordinates on the grid: M x y (move), L x y (line), Z (close), C x y r (circle), A x y r from to (arc of a circle,
// degrees clockwise from the right), F (fill what is drawn since M).
const char* path_of(Icon icon) {
  switch (icon) {
    case Icon::kNone:
    case Icon::kBlank: return "";
    case Icon::kLogo: return "M4 4L20 4L20 20L4 20Z M9 8L9 16L15.5 16";
    case Icon::kImage: return "M4 5L20 5L20 19L4 19Z C9 10 1.6 M4.5 18L10 13L13 15.5L16.5 11.5L20 15";
    case Icon::kGrid:
      return "M4 4L10.5 4L10.5 10.5L4 10.5Z M13.5 4L20 4L20 10.5L13.5 10.5Z M4 13.5L10.5 13.5L10.5 20L4 20Z M13.5 13.5L20 13.5L20 20L13.5 "
             "20Z";
    case Icon::kChat: return "M4 5L20 5L20 16L11 16L7 20L7 16L4 16Z";
    case Icon::kQueue: return "M4 6L20 6 M4 12L20 12 M4 18L13 18";
    case Icon::kCube: return "M12 3L20 7.5L20 16.5L12 21L4 16.5L4 7.5Z M4 7.5L12 12L20 7.5 M12 12L12 21";
    case Icon::kSearch: return "C10.5 10.5 6 M15 15L20 20";
    case Icon::kGear:
      return "C12 12 3 C12 12 6.6 M12 2.5L12 5.4 M12 18.6L12 21.5 M2.5 12L5.4 12 M18.6 12L21.5 12 M5.3 5.3L7.3 7.3 M16.7 16.7L18.7 18.7 "
             "M5.3 18.7L7.3 16.7 M16.7 7.3L18.7 5.3";
    case Icon::kChevronDown: return "M6 9L12 15L18 9";
    case Icon::kChevronRight: return "M9 6L15 12L9 18";
    case Icon::kChevronLeft: return "M15 6L9 12L15 18";
    case Icon::kSwap: return "M4 9L20 9L16 5 M20 15L4 15L8 19";
    case Icon::kLock: return "M6 11L18 11L18 20L6 20Z M8.5 11L8.5 8 A12 8 3.5 180 360 M15.5 8L15.5 11";
    case Icon::kUnlock: return "M6 11L18 11L18 20L6 20Z M8.5 11L8.5 7 A12 7 3.5 180 340";
    case Icon::kDice: return "M4.5 4.5L19.5 4.5L19.5 19.5L4.5 19.5Z C9 9 0.8 C15 15 0.8 C15 9 0.8 C9 15 0.8 C12 12 0.8";
    case Icon::kPin: return "M9 4L15 4L14.5 10L18 14L6 14L9.5 10Z M12 14L12 21";
    case Icon::kPlay: return "M8 5L19 12L8 19Z";
    case Icon::kPause: return "M8.5 5L8.5 19 M15.5 5L15.5 19";
    case Icon::kStop: return "M6.5 6.5L17.5 6.5L17.5 17.5L6.5 17.5Z";
    case Icon::kClose: return "M6.5 6.5L17.5 17.5 M17.5 6.5L6.5 17.5";
    case Icon::kPlus: return "M12 5L12 19 M5 12L19 12";
    case Icon::kMinus: return "M5 12L19 12";
    case Icon::kStar: return "M12 3.5L14.6 9L20.5 9.7L16.1 13.8L17.3 19.8L12 16.8L6.7 19.8L7.9 13.8L3.5 9.7L9.4 9Z";
    case Icon::kStarFilled:
      return "M12 3.5L14.6 9L12 13Z F M14.6 9L20.5 9.7L12 13Z F M20.5 9.7L16.1 13.8L12 13Z F M16.1 13.8L17.3 19.8L12 13Z F M17.3 19.8L12 "
             "16.8L12 13Z F M12 16.8L6.7 19.8L12 13Z F M6.7 19.8L7.9 13.8L12 13Z F M7.9 13.8L3.5 9.7L12 13Z F M3.5 9.7L9.4 9L12 13Z F M9.4 "
             "9L12 3.5L12 13Z F";
    case Icon::kTrash:
      return "M4.5 6.5L19.5 6.5 M9 6.5L9.5 4L14.5 4L15 6.5 M6.5 6.5L7.5 20L16.5 20L17.5 6.5 M10.2 10L10.5 16.5 M13.8 10L13.5 16.5";
    case Icon::kFolder: return "M3.5 5.5L9.5 5.5L11.5 8L20.5 8L20.5 18.5L3.5 18.5Z";
    case Icon::kCopy: return "M8.5 8.5L20 8.5L20 20L8.5 20Z M15.5 8.5L15.5 4L4 4L4 15.5L8.5 15.5";
    case Icon::kRefresh: return "A12 12 7.5 -60 200 M15.7 2.4L15.9 5.6L12.6 5.9";
    case Icon::kEdit: return "M4.5 19.5L5.5 15L16 4.5L19.5 8L9 18.5Z M13.5 7L17 10.5";
    case Icon::kBranch: return "C6.5 5.5 2 C6.5 18.5 2 C17.5 8.5 2 M6.5 7.5L6.5 16.5 M17.5 10.5L17 12.6L14 14L9 14.6L6.5 16.5";
    case Icon::kUndo: return "M8.5 4.5L4 9L8.5 13.5 M4 9L14.5 9 A14.5 14 5 -90 90 M14.5 19L8 19";
    case Icon::kRedo: return "M15.5 4.5L20 9L15.5 13.5 M20 9L9.5 9 A9.5 14 5 90 270 M9.5 19L16 19";
    case Icon::kCompare: return "M12 3L12 21 M9.5 6L4 6L4 18L9.5 18 M14.5 6L20 6L20 18L14.5 18";
    case Icon::kDifference: return "C9 12 5.5 C15 12 5.5";
    case Icon::kFit: return "M4 9L4 4L9 4 M15 4L20 4L20 9 M20 15L20 20L15 20 M9 20L4 20L4 15";
    case Icon::kSparkle: return "M11 4L12.8 9.2L18 11L12.8 12.8L11 18L9.2 12.8L4 11L9.2 9.2Z M18.5 15.5L18.5 20.5 M16 18L21 18";
    case Icon::kSend: return "M4 12L20 4.5L14.5 20L11.5 13Z M11.5 13L20 4.5";
    case Icon::kPanelLeft: return "M4 5L20 5L20 19L4 19Z M9.5 5L9.5 19";
    case Icon::kPanelRight: return "M4 5L20 5L20 19L4 19Z M14.5 5L14.5 19";
    case Icon::kInfo: return "C12 12 8.5 M12 11L12 16.5 C12 7.8 0.4";
    case Icon::kWarning: return "M12 4L21 19.5L3 19.5Z M12 10L12 14.5 C12 17 0.3";
    case Icon::kCheck: return "M5 12.5L10 17.5L19.5 7";
    case Icon::kKeyboard: return "M3 6.5L21 6.5L21 17.5L3 17.5Z M7.5 14.5L16.5 14.5 C7 10.5 0.4 C10.4 10.5 0.4 C13.7 10.5 0.4 C17 10.5 0.4";
    case Icon::kDownload: return "M12 4L12 15 M7.5 10.5L12 15L16.5 10.5 M4.5 19.5L19.5 19.5";
    case Icon::kSun:
      return "C12 12 4 M12 2.5L12 4.8 M12 19.2L12 21.5 M2.5 12L4.8 12 M19.2 12L21.5 12 M5.3 5.3L6.9 6.9 M17.1 17.1L18.7 18.7 M5.3 18.7L6.9 "
             "17.1 M17.1 6.9L18.7 5.3";
    case Icon::kMoon: return "A12 12 8 10 260 A17 7.6 6.6 190 60";
    case Icon::kDrag: return "C9 6.5 0.7 C15 6.5 0.7 C9 12 0.7 C15 12 0.7 C9 17.5 0.7 C15 17.5 0.7";
    case Icon::kClock: return "C12 12 8.5 M12 7L12 12L15.5 14";
    case Icon::kList: return "M9 6L20 6 M9 12L20 12 M9 18L20 18 C5 6 0.6 C5 12 0.6 C5 18 0.6";
    case Icon::kEye: return "M2.5 12L6 8L12 5.8L18 8L21.5 12L18 16L12 18.2L6 16Z C12 12 2.8";
    case Icon::kExpand: return "M13.5 10.5L20 4 M14.5 4L20 4L20 9.5 M10.5 13.5L4 20 M4 14.5L4 20L9.5 20";
    case Icon::kMore: return "C6 12 0.8 C12 12 0.8 C18 12 0.8";
    case Icon::kArrowUp: return "M12 20L12 4 M5.5 10.5L12 4L18.5 10.5";
  }
  return "";
}

class Pen {
 public:
  Pen(ImDrawList& list, ImVec2 center, float size, ImU32 color)
      : list_(list), origin_{center.x - size / 2, center.y - size / 2}, unit_(size / 24), width_(size / 14), color_(color) {}

  void draw(const char* path) {
    for (p_ = path; *p_;) {
      const char command = *p_++;
      switch (command) {
        case 'M':
          stroke(false);
          list_.PathLineTo(point());
          break;
        case 'L': list_.PathLineTo(point()); break;
        case 'Z': pending_close_ = true; break;
        case 'F':
          list_.PathFillConvex(color_);
          pending_close_ = false;
          break;
        case 'C': circle(); break;
        case 'A': arc(); break;
        default: break;
      }
    }
    stroke(false);
  }

 private:
  float number() { return std::strtof(p_, const_cast<char**>(&p_)); }
  ImVec2 point() {
    const float x = number(), y = number();
    return {origin_.x + x * unit_, origin_.y + y * unit_};
  }
  void stroke(bool) {
    if (list_._Path.Size > 1) {
      list_.PathStroke(color_, pending_close_ ? ImDrawFlags_Closed : 0, width_);
    } else {
      list_.PathClear();
    }
    pending_close_ = false;
  }
  void circle() {
    stroke(false);
    const ImVec2 c = point();
    const float radius = number() * unit_;
    if (radius < unit_) {
      list_.AddCircleFilled(c, radius + width_ * 0.6f, color_);
    } else {
      list_.AddCircle(c, radius, color_, 0, width_);
    }
  }
  void arc() {
    constexpr float kDegree = 3.14159265f / 180;
    stroke(false);
    const ImVec2 c = point();
    const float radius = number() * unit_, from = number() * kDegree, to = number() * kDegree;
    list_.PathArcTo(c, radius, from, to, 24);
    stroke(false);
  }

  ImDrawList& list_;
  ImVec2 origin_;
  float unit_, width_;
  ImU32 color_;
  const char* p_ = nullptr;
  bool pending_close_ = false;
};

}  // namespace

void draw_icon(ImDrawList& list, Icon icon, ImVec2 center, float size, ImU32 color) { Pen(list, center, size, color).draw(path_of(icon)); }

}  // namespace linea::studio
