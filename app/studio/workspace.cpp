#include "app/studio/workspace.h"

#include <cmath>
#include <ctime>

#include "app/studio/number_field.h"

namespace linea::studio {

const ModelEntry* Workspace::find_model(const std::string& name) const {
  for (const ModelEntry& model : models) {
    if (model.name == name || (name.empty() && model.built_in && model.kind == ModelKind::kPicture)) return &model;
  }
  return nullptr;
}

std::filesystem::path Workspace::output_folder() const {
  return settings.output_folder.empty() ? default_output_folder() : typed_path(settings.output_folder);
}

std::string time_text(double seconds) {
  if (seconds < 0) return "…";
  if (seconds < 10) return number_text(seconds, 1) + " s";
  if (seconds < 99.5) return number_text(seconds, 0) + " s";
  const long minutes = std::lround(seconds / 60);
  if (minutes < 60) return std::to_string(minutes) + " min";
  return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
}

std::string when_text(double time) {
  const std::time_t then = static_cast<std::time_t>(time), now = std::time(nullptr);
  std::tm a{}, b{};
  localtime_r(&then, &a);
  localtime_r(&now, &b);
  char text[40];
  if (a.tm_year == b.tm_year && a.tm_yday == b.tm_yday) {
    std::strftime(text, sizeof text, "today %H:%M", &a);
  } else {
    std::strftime(text, sizeof text, "%e %b %Y", &a);
  }
  return text[0] == ' ' ? text + 1 : text;
}

std::string model_title(const Workspace& ws, const std::string& name) {
  const ModelEntry* model = ws.find_model(name);
  if (model) return model->title;
  return name.empty() ? "built-in" : std::filesystem::path(name).filename().string();
}

void with_record(Workspace& ws, int64_t id, std::function<void(const PictureRecord&)> done) {
  ws.background.with_library([id, done = std::move(done)](Library& library) -> Background::Done {
    const std::optional<PictureRecord> record = library.picture(id);
    if (!record) return {};
    return [record, done] { done(*record); };
  });
}

}  // namespace linea::studio
