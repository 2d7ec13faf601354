#include "app/studio/fonts.h"

#if __has_include(<imgui_freetype.h>)
#include <imgui_freetype.h>
#define LINEA_FREETYPE 1
#elif __has_include(<misc/freetype/imgui_freetype.h>)
#include <misc/freetype/imgui_freetype.h>
#define LINEA_FREETYPE 1
#endif

#include <cmath>

#include "app/studio/utf8.h"
#include "core/error.h"

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

// The shipped subsets (assets/fonts/README.md).
constexpr ImWchar kShipped[] = {0x0020, 0x007E, 0x00A0, 0x024F, 0x0370, 0x03FF, 0x0400, 0x045F, 0x0490, 0x0491, 0x2010,
                                0x2027, 0x2030, 0x203A, 0x2070, 0x2079, 0x2080, 0x2089, 0x20AC, 0x20AC, 0x20BD, 0x20BD,
                                0x2116, 0x2116, 0x2122, 0x2122, 0x2190, 0x2195, 0x2200, 0x2265, 0x25A0, 0x25FF, 0x2605,
                                0x2606, 0x2713, 0x2713, 0x2717, 0x2717, 0xFFFD, 0xFFFD, 0};
// Titles are English: fewer glyphs keep the start short.
constexpr ImWchar kLatin[] = {0x0020, 0x007E, 0x00A0, 0x00FF, 0x2013, 0x2026, 0x2190, 0x2193, 0};

// Where distributions keep fonts with wide coverage, best first.
constexpr const char* kSystemFonts[] = {
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",   "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc", "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
};

bool shipped(unsigned int c) {
  for (const ImWchar* range = kShipped; *range; range += 2) {
    if (c >= range[0] && c <= range[1]) return true;
  }
  return false;
}

}  // namespace

Fonts::Fonts(fs::path folder) : folder_(std::move(folder)) {
  for (const char* file : {"Inter-Regular.otf", "Inter-SemiBold.otf", "Inter-Italic.otf", "JetBrainsMono-Regular.ttf"}) {
    std::error_code ignored;
    if (!fs::exists(folder_ / file, ignored))
      throw Error(ErrorKind::kIo, (folder_ / file).string() + ": the studio's font is missing", "set LINEA_ASSETS");
  }
}

void Fonts::build(float scale) {
  scale_ = scale;
  extra_.insert(wanted_.begin(), wanted_.end());
  wanted_.clear();
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  atlas.Clear();
#if defined(LINEA_FREETYPE) && IMGUI_VERSION_NUM < 19200
  atlas.FontBuilderIO = ImGuiFreeType::GetBuilderForFreeType();
#endif
  atlas.Flags |= ImFontAtlasFlags_NoPowerOfTwoHeight;
  add_face(Face::kText, "Inter-Regular.otf", 15);
  add_face(Face::kSmall, "Inter-Regular.otf", 13);
  add_face(Face::kBold, "Inter-SemiBold.otf", 15);
  add_face(Face::kItalic, "Inter-Italic.otf", 15);
  add_face(Face::kTitle, "Inter-SemiBold.otf", 20);
  add_face(Face::kHeading, "Inter-SemiBold.otf", 17);
  add_face(Face::kMono, "JetBrainsMono-Regular.ttf", 14);
  add_face(Face::kMonoSmall, "JetBrainsMono-Regular.ttf", 12.5f);
  atlas.Build();
}

void Fonts::add_face(Face face, const char* file, float size) {
  const bool title = face == Face::kTitle || face == Face::kHeading || face == Face::kItalic || face == Face::kMonoSmall;
  const float pixels = std::round(size * scale_);
  ImFontConfig config;
  config.OversampleH = config.OversampleV = 1;
  config.PixelSnapH = false;
  ImFont* font = ImGui::GetIO().Fonts->AddFontFromFileTTF((folder_ / file).string().c_str(), pixels, &config, title ? kLatin : kShipped);
  merge_wanted(pixels);
  styles_[static_cast<size_t>(face)] = {font, pixels};
}

// The characters that texts have asked for, from the first system font that exists.
void Fonts::merge_wanted(float pixels) {
  if (extra_.empty()) return;
  extra_ranges_.clear();
  for (const ImWchar c : extra_) extra_ranges_.insert(extra_ranges_.end(), {c, c});
  extra_ranges_.push_back(0);
  for (const char* file : kSystemFonts) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) continue;
    ImFontConfig config;
    config.MergeMode = true;
    config.OversampleH = config.OversampleV = 1;
    ImGui::GetIO().Fonts->AddFontFromFileTTF(file, pixels, &config, extra_ranges_.data());
  }
}

void Fonts::want(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const unsigned int c = decode_utf8(text, at);
    const bool storable = c <= 0xFFFF && c >= 0xA0;  // what ImGui's 16-bit characters can hold
    if (storable && !shipped(c) && !extra_.contains(static_cast<ImWchar>(c)) && extra_.size() + wanted_.size() < 3000)
      wanted_.insert(static_cast<ImWchar>(c));
  }
}

float advance(const Style& style, unsigned int character) {
#if IMGUI_VERSION_NUM >= 19200
  return style.font->GetFontBaked(style.size)->GetCharAdvance(static_cast<ImWchar>(character));
#else
  const ImWchar c = character > 0xFFFF ? 0xFFFD : static_cast<ImWchar>(character);
  return style.font->GetCharAdvance(c) * style.size / style.font->FontSize;
#endif
}

float text_width(const Style& style, std::string_view text) {
  float width = 0;
  for (size_t at = 0; at < text.size();) width += advance(style, decode_utf8(text, at));
  return width;
}

}  // namespace linea::studio
