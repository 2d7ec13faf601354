#include "app/engine/render.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>

#include "app/engine/model_folders.h"
#include "app/engine/sha256.h"
#include "core/atomic_file.h"
#include "core/finite.h"
#include "core/memory_use.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The job's, on the device that this task goes to.
PictureSettings job_settings(const RenderTask& task) {
  PictureSettings s = task.job->settings;
  if (task.device) s.device = task.device->name();
  return s;
}

// The settings of this picture alone, with what was left to choose filled in.
PictureSettings settings_of(const RenderTask& task, SanaPipeline& pipeline) {
  PictureSettings s = job_settings(task);
  s.index = task.picture;
  if (s.request.joint_noise) {
    s.request.count = task.job->count;
  } else {
    s.request.seed += static_cast<uint64_t>(task.picture);
    s.request.count = 1;
  }
  s.request.size = pipeline.resolve_size(s.request).asked;
  const DType dtype = pipeline.dtype();
  if (s.dtype != "fp8") s.dtype = dtype == DType::kBF16 ? "bf16" : dtype == DType::kF16 ? "fp16" : "fp32";
  s.device = pipeline.device().is_cpu() ? "cpu" : "cuda";  // the picture is the same on each of several GPUs
  return s;
}

// Changes with anything that the latents depend on.
std::string fingerprint_of(const PictureSettings& settings, const fs::path& model) {
  std::string text = to_json(settings) + "\n" + std::to_string(settings.index) + "\n" + model.string();
  std::error_code error;
  for (const char* part : {"transformer", "text_encoder"}) {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(model / part, error)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      text += "\n" + file.filename().string() + " " + std::to_string(fs::file_size(file, error)) + " " +
              std::to_string(fs::last_write_time(file, error).time_since_epoch().count());
    }
  }
  return sha256_of(text);
}

bool is_finite(const Tensor& values) { return all_finite({values.data<float>(), static_cast<size_t>(values.elements())}); }

// What is no number stays none, so the first part that gives such values is to blame.
void check_finite(const SanaPipeline& pipeline, const SanaPipeline::Text& text, const Tensor& latents, const PictureSettings& settings) {
  if (is_finite(latents)) return;
  const std::string part = is_finite(text.rows.to(kCpuDevice).to(DType::kF32)) ? "transformer" : "text encoder";
  throw Error(ErrorKind::kModel,
              "the " + part + " of " + pipeline.folder().string() + " gave values that are not numbers in " + settings.dtype,
              settings.dtype == "fp32" ? "the checkpoint may be damaged" : "try --dtype fp32");
}

// The steps of one picture, with its checkpoints and previews.
class Denoising {
 public:
  Denoising(PictureModels::Use& use, const RenderTask& task, const RenderHooks& hooks, const PictureSettings& settings)
      : use_(use), task_(task), hooks_(hooks), settings_(settings) {
    if (hooks.checkpoint_folder.empty()) return;
    fingerprint_ = fingerprint_of(settings, use.pipeline().folder());
    file_ = hooks.checkpoint_folder / (fingerprint_.substr(0, 24) + ".safetensors");
  }

  Tensor run(const PictureRequest& request, const SanaPipeline::Text& text, GenerateCallbacks callbacks) {
    const std::optional<DenoiseState> from = read_checkpoint();
    last_saved_ = Clock::now();
    callbacks.step = [&](const DenoiseStep& step) { after(step); };
    return use_.pipeline().denoise(request, text, settings_.request.joint_noise ? task_.picture : 0, callbacks, from ? &*from : nullptr);
  }

  const fs::path& checkpoint() const { return file_; }

 private:
  std::optional<DenoiseState> read_checkpoint() const {
    std::error_code error;
    if (file_.empty() || !fs::exists(file_, error)) return std::nullopt;
    try {
      return read_denoise_state(file_, fingerprint_);
    } catch (const Error& unusable) {
      if (hooks_.warning) hooks_.warning(std::string(unusable.what()) + "; the picture starts anew");
      return std::nullopt;
    }
  }

  void after(const DenoiseStep& step) {
    const bool last = step.step == step.steps;
    const double unsaved = seconds_since(last_saved_);
    const bool stopping = task_.stop->load();
    if (!file_.empty() && !last && (unsaved >= hooks_.checkpoint_seconds || stopping)) write_checkpoint(step);
    task_.unsaved_seconds->store(last ? 0.0 : seconds_since(last_saved_));  // decoding keeps no checkpoint to be waited for
    if (stopping) throw Error(ErrorKind::kCancelled, "stopped");
    if (last || !hooks_.preview || !hooks_.previews || !hooks_.previews()) return;
    if (!map_) map_ = use_.preview_map(task_.cancel);
    hooks_.preview(preview_picture(*map_, step.data()), step.step);
  }

  void write_checkpoint(const DenoiseStep& step) {
    try {
      std::error_code ignored;
      fs::create_directories(file_.parent_path(), ignored);
      write_denoise_state(file_, step.state(), fingerprint_);
    } catch (const Error& error) {
      if (hooks_.warning && !warned_) hooks_.warning(std::string("no checkpoint: ") + error.what());
      warned_ = true;
    }
    last_saved_ = Clock::now();
  }

  PictureModels::Use& use_;
  const RenderTask& task_;
  const RenderHooks& hooks_;
  const PictureSettings& settings_;
  std::string fingerprint_;
  fs::path file_;
  Clock::time_point last_saved_;
  std::optional<PreviewMap> map_;
  bool warned_ = false;
};

}  // namespace

RenderedPicture render(PictureModels& models, const RenderTask& task, const RenderHooks& hooks) {
  task.cancel.throw_if_cancelled();
  PictureModels::Use use = models.take(job_settings(task), task.instance);
  SanaPipeline& pipeline = use.pipeline();
  RenderedPicture result;
  result.settings = settings_of(task, pipeline);
  const PictureRequest& request = result.settings.request;
  const PicturePlan plan = use.reserve_work(request);
  result.flops = plan.flops;
  result.planned_bytes = plan.bytes();
  reset_memory_peak(pipeline.device());

  GenerateCallbacks callbacks;
  callbacks.cancel = task.cancel;
  callbacks.progress = hooks.progress;
  callbacks.warning = hooks.warning;
  callbacks.begin_steps = hooks.begin_steps;
  if (task.picture == 0) callbacks.trace = hooks.trace;
  const auto start = Clock::now();
  const SanaPipeline::Text text = pipeline.encode(request, callbacks);
  Denoising denoising(use, task, hooks, result.settings);
  const Tensor latents = denoising.run(request, text, callbacks);
  check_finite(pipeline, text, latents, result.settings);
  Picture picture = pipeline.decode(request, latents, request.joint_noise ? task.picture : 0, callbacks);
  result.seconds = seconds_since(start);
  result.observed_bytes = memory_use(pipeline.device()).peak + plan.memory->library_bytes;
  if (picture.rendered == request.size) use.refine_preview(latents, picture.image);
  result.image = std::move(picture.image);
  result.checkpoint = denoising.checkpoint();
  return result;
}

PictureResult save_picture(const RenderTask& task, const RenderedPicture& picture) {
  const bool stream = !task.job->stream.empty();
  const fs::path path = stream ? task.job->stream : task.target;
  ImageWriteOptions options;
  if (task.job->metadata) options.text = to_image_text(picture.settings);
  std::vector<uint8_t> bytes;
  switch (stream ? ImageFormat::kPng : image_format_of(path)) {
    case ImageFormat::kPng: bytes = encode_png(picture.image, options.text, options.png_level); break;
    case ImageFormat::kJpeg: bytes = encode_jpeg(picture.image, options.jpeg_quality); break;
    case ImageFormat::kWebp: bytes = encode_webp(picture.image, options.webp_lossless, options.webp_quality); break;
  }
  if (!stream && path.has_parent_path()) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) throw Error(ErrorKind::kIo, path.parent_path().string() + ": the folder cannot be made: " + error.message());
  }
  {
    static std::mutex streams;  // where pictures of several devices go one after another
    std::unique_lock lock(streams, std::defer_lock);
    if (stream) lock.lock();
    write_file(path, bytes);
  }
  std::error_code ignored;
  if (!picture.checkpoint.empty()) fs::remove(picture.checkpoint, ignored);
  PictureResult result;
  result.index = task.picture;
  result.seed = task.job->settings.request.seed + static_cast<uint64_t>(task.picture);
  result.path = path;
  result.width = picture.image.width;
  result.height = picture.image.height;
  result.bytes = static_cast<int64_t>(bytes.size());
  result.sha256 = sha256_of(bytes);
  result.seconds = picture.seconds;
  result.planned_bytes = picture.planned_bytes;
  result.observed_bytes = picture.observed_bytes;
  result.settings = to_json(picture.settings);
  return result;
}

}  // namespace linea
