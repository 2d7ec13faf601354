// app/engine/render.h: one picture of a job, from its settings to its pixels, with checkpoints on the way; and its file.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/engine/job.h"
#include "app/engine/picture_models.h"
#include "core/cancel.h"

namespace linea {

struct RenderTask {
  JobId id = 0;
  std::shared_ptr<const PictureJob> job{};
  int picture = 0;
  std::filesystem::path target{};
  int threads = 1;
  std::optional<Device> device{};                                                        // in place of the job's own
  int instance = 0;                                                                      // of the models there
  CancelToken cancel{};                                                                  // stops at once
  std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);  // stops after the step, keeping a checkpoint
  // Seconds of denoising that no checkpoint holds; kept up to date while it is rendered.
  std::shared_ptr<std::atomic<double>> unsaved_seconds = std::make_shared<std::atomic<double>>(0.0);
};

struct RenderHooks {
  std::filesystem::path checkpoint_folder{};  // empty = none are kept
  double checkpoint_seconds = 10;
  std::function<bool()> previews{};  // wanted now?
  std::function<void(const Progress&)> progress{};
  std::function<void(const Image& preview, int step)> preview{};
  std::function<void(const std::string&)> warning{};
  std::function<void(const std::string& name, const Tensor& value)> trace{};
  std::function<std::shared_ptr<void>()> begin_steps{};  // waits for its turn, which ends with what it gives
};

struct RenderedPicture {
  Image image{};
  PictureSettings settings{};  // as it was really made
  double seconds = 0;          // of text, denoising and decoding, without loading
  double flops = 0;
  int64_t planned_bytes = 0, observed_bytes = 0;  // peak of the device's memory
  std::filesystem::path checkpoint{};             // to be removed once the picture is safe
};

// Throws kUsage, kModel, kMemory, kDevice; kCancelled when stopped.
RenderedPicture render(PictureModels& models, const RenderTask& task, const RenderHooks& hooks);

// Writes the picture's file (complete or not at all) and tells what was written. Throws kIo, kUsage.
PictureResult save_picture(const RenderTask& task, const RenderedPicture& picture);

}  // namespace linea
