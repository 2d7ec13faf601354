#include "app/studio/model_conversion.h"

#include <algorithm>

#include "app/engine/quantise.h"

namespace linea::studio {

namespace fs = std::filesystem;

void ModelConversion::start(const ModelEntry& model, const std::string& type) {
  if (running()) return;
  model_ = model.name, title_ = model.title, type_ = type;
  cancel_ = CancelToken();
  *fraction_ = 0;
  const std::string stem = fs::path(model.title).extension().empty() ? model.title : fs::path(model.title).stem().string();
  const fs::path file = ws_.data_folder / "models" / (stem + "-" + type + ".gguf");
  ws_.background.run(Background::kModels,
                     [this, from = model.path, file, type, cancel = cancel_, fraction = fraction_]() -> Background::Done {
                       std::string failure, hint;
                       bool cancelled = false;
                       try {
                         const auto progress = [&](const Progress& p) {
                           *fraction = p.steps > 0 ? static_cast<float>(p.step) / static_cast<float>(p.steps) : 0;
                         };
                         write_quantised(from, file, type, progress, cancel);
                       } catch (const Error& error) {
                         cancelled = error.kind() == ErrorKind::kCancelled;
                         failure = error.what(), hint = error.hint();
                       }
                       return [this, file, failure, hint, cancelled] { finish(file, failure, hint, cancelled); };
                     });
}

void ModelConversion::finish(const fs::path& file, const std::string& failure, const std::string& hint, bool cancelled) {
  const std::string title = title_;
  model_.clear();
  if (cancelled) return;
  if (!failure.empty()) return ws_.toasts.error(title + " could not be quantised: " + failure, hint);
  std::vector<std::string>& folders = ws_.settings.model_folders;
  if (std::find(folders.begin(), folders.end(), file.string()) == folders.end()) folders.push_back(file.string());
  std::erase(ws_.settings.hidden_models, file.string());
  ws_.rescan_models();
  ws_.toasts.show({.kind = ToastKind::kGood, .text = file.filename().string() + " is ready.", .details = file.string()});
}

}  // namespace linea::studio
