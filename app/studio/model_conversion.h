// app/studio/model_conversion.h: a chat model written in a smaller type, in the background, one at a time.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "app/studio/workspace.h"
#include "core/cancel.h"

namespace linea::studio {

class ModelConversion {
 public:
  explicit ModelConversion(Workspace& ws) : ws_(ws) {}
  ~ModelConversion() { cancel_.cancel(); }
  ModelConversion(const ModelConversion&) = delete;
  ModelConversion& operator=(const ModelConversion&) = delete;

  // Writes "models/TITLE-TYPE.gguf" in the data folder and adds it to the list. `type` as in `linea convert --type`.
  void start(const ModelEntry& model, const std::string& type);
  void cancel() { cancel_.cancel(); }
  bool runs_for(const ModelEntry& model) const { return model_ == model.name; }
  bool running() const { return !model_.empty(); }
  const std::string& type() const { return type_; }
  float fraction() const { return fraction_->load(); }

 private:
  void finish(const std::filesystem::path& file, const std::string& failure, const std::string& hint, bool cancelled);

  Workspace& ws_;
  std::string model_, title_, type_;  // of the running one; empty = none
  CancelToken cancel_;
  std::shared_ptr<std::atomic<float>> fraction_ = std::make_shared<std::atomic<float>>(0.0f);
};

}  // namespace linea::studio
