#include "app/studio/theme.h"

#include <imgui.h>

namespace linea::studio {
namespace {

ImVec4 color(uint32_t rgb, float alpha = 1) {
  return {static_cast<float>(rgb >> 16 & 255) / 255, static_cast<float>(rgb >> 8 & 255) / 255, static_cast<float>(rgb & 255) / 255, alpha};
}

}  // namespace

void apply_theme(const Palette& p, float scale) {
  ImGuiStyle style;
  style.WindowPadding = {0, 0};
  style.WindowBorderSize = 0;
  style.WindowRounding = 0;
  style.ChildBorderSize = 0;
  style.PopupRounding = 8;
  style.PopupBorderSize = 1;
  style.FramePadding = {10, 7};
  style.FrameRounding = 6;
  style.ItemSpacing = {8, 0};
  style.ScrollbarSize = 10;
  style.ScrollbarRounding = 5;
  style.ScaleAllSizes(scale);
  style.PopupBorderSize = 1;
  style.Colors[ImGuiCol_Text] = color(p.text);
  style.Colors[ImGuiCol_WindowBg] = color(p.window);
  style.Colors[ImGuiCol_ChildBg] = color(0, 0);
  style.Colors[ImGuiCol_PopupBg] = color(p.raised);
  style.Colors[ImGuiCol_Border] = color(p.line);
  style.Colors[ImGuiCol_ScrollbarBg] = color(0, 0);
  style.Colors[ImGuiCol_ScrollbarGrab] = color(p.quiet, 0.25f);
  style.Colors[ImGuiCol_ScrollbarGrabHovered] = color(p.quiet, 0.45f);
  style.Colors[ImGuiCol_ScrollbarGrabActive] = color(p.quiet, 0.6f);
  style.Colors[ImGuiCol_DragDropTarget] = color(p.accent);
  style.Colors[ImGuiCol_ModalWindowDimBg] = color(0, 0.4f);
  ImGui::GetStyle() = style;
}

}  // namespace linea::studio
