// app/studio/fonts.h: the typefaces, rasterised for one scale; glyphs beyond the shipped subsets are added when a text first needs them.
#pragma once

#include <imgui.h>

#include <array>
#include <filesystem>
#include <set>
#include <string_view>
#include <vector>

namespace linea::studio {

enum class Face : uint8_t { kText, kSmall, kBold, kItalic, kTitle, kHeading, kMono, kMonoSmall, kCount };

// A face at its size in pixels.
struct Style {
  ImFont* font = nullptr;
  float size = 0;
};

class Fonts {
 public:
  explicit Fonts(std::filesystem::path folder);  // of the shipped files; throws kIo when they are missing

  // Builds ImGui's atlas: call between frames when it returns true from needs_build.
  void build(float scale);
  bool needs_build(float scale) const { return scale != scale_ || !wanted_.empty(); }

  const Style& style(Face face) const { return styles_[static_cast<size_t>(face)]; }

  // Remembers characters that the atlas lacks, so that the next build has them where the system has a font for them.
  void want(std::string_view utf8);

 private:
  void add_face(Face face, const char* file, float size);
  void merge_wanted(float size);

  std::filesystem::path folder_;
  std::array<Style, static_cast<size_t>(Face::kCount)> styles_{};
  float scale_ = 0;
  std::set<ImWchar> wanted_, extra_;
  std::vector<ImWchar> ranges_, extra_ranges_;
};

// Advance of one character in pixels.
float advance(const Style& style, unsigned int character);
// Width of a text without line breaks.
float text_width(const Style& style, std::string_view text);

}  // namespace linea::studio
