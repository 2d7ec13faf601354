#include "app/engine/quantise.h"

#include "lm/convert.h"

namespace linea {

void write_quantised(const std::filesystem::path& model, const std::filesystem::path& file, const std::string& type,
                     const ProgressCallback& progress, const CancelToken& cancel) {
  ConvertOptions options;
  options.type = parse_weight_type("type", type);
  options.progress = progress;
  options.cancel = cancel;
  std::error_code ignored;
  std::filesystem::create_directories(file.parent_path(), ignored);
  convert_language_model(model, file, options);
}

}  // namespace linea
