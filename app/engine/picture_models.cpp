#include "app/engine/picture_models.h"

#include <algorithm>
#include <tuple>

#include "app/engine/cost.h"
#include "app/engine/model_folders.h"
#include "kernels/devices.h"

namespace linea {

// PictureModels::mutex_ guards users and ticket; `loading` is held while the model is loaded; `mutex` guards the rest.
class PictureModels::Model {
 public:
  std::string key, title;
  int users = 0;
  std::mutex loading, mutex;
  std::unique_ptr<SanaPipeline> pipeline;  // whose siblings the threads use
  int64_t ticket = 0, weights = 0, work = 0;
  std::vector<std::pair<std::unique_ptr<SanaPipeline>, int64_t>> idle;  // with the bytes reserved for their activations
  std::optional<PreviewFit> fit;
  int64_t saved_samples = 0;
  std::map<std::string, SanaPipeline::Memory> memory;  // by size and guidance
};

std::string model_title(const PictureSettings& settings) {
  std::filesystem::path path = settings.model.empty() ? find_picture_model("").filename() : std::filesystem::path(settings.model);
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

std::string model_key(const PictureSettings& s) {
  return find_picture_model(s.model).string() + "\n" + s.dtype + "\n" + s.device + "\n" + (s.softcap ? "softcap" : "") + "\n" +
         s.instruction_file.value_or("\t");
}

PipelineOptions pipeline_options_of(const PictureSettings& s) {
  PipelineOptions options;
  options.device = s.device == "auto" ? best_device() : parse_device(s.device);
  if (s.dtype != "auto") options.dtype = parse_picture_dtype(s.dtype);
  options.softcap = s.softcap;
  if (s.instruction_file) options.instruction = *s.instruction_file == "none" ? "" : read_instruction_file(*s.instruction_file);
  return options;
}

std::shared_ptr<PictureModels::Model> PictureModels::find(const PictureSettings& settings) {
  const std::string key = model_key(settings);
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Model>& model = models_[key];
  if (!model) {
    model = std::make_shared<Model>();
    model->key = key;
    model->title = model_title(settings);
  }
  ++model->users;
  return model;
}

bool PictureModels::put_out(const std::string& key) {
  std::shared_ptr<Model> going;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  const auto found = models_.find(key);
  if (found == models_.end() || found->second->users > 0) return false;
  going = std::move(found->second);
  models_.erase(found);
  return true;
}

PictureModels::Use PictureModels::take(const PictureSettings& settings) {
  Use use(*this, find(settings));
  Model& model = *use.model_;
  const std::lock_guard lock(model.loading);
  if (!model.pipeline) {
    auto pipeline = std::make_unique<SanaPipeline>(find_picture_model(settings.model), pipeline_options_of(settings));
    const int64_t weights = pipeline->weight_bytes();
    const int64_t ticket = budget_->reserve({.kind = "picture",
                                             .name = model.title + " " + std::string(name_of(pipeline->dtype())),
                                             .bytes = weights,
                                             .put_out = [this, key = model.key] { return put_out(key); }});
    model.weights = weights;
    model.pipeline = std::move(pipeline);
    const std::lock_guard outer(mutex_);
    model.ticket = ticket;
  }
  budget_->use(model.ticket);
  const std::lock_guard inner(model.mutex);
  if (model.idle.empty()) {
    use.pipeline_ = model.pipeline->sibling();
  } else {
    std::tie(use.pipeline_, use.work_bytes_) = std::move(model.idle.back());
    model.idle.pop_back();
  }
  return use;
}

void PictureModels::put_out_idle() {
  std::vector<std::pair<std::string, int64_t>> idle;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, model] : models_) {
      if (model->users == 0) idle.emplace_back(key, model->ticket);
    }
  }
  for (const auto& [key, ticket] : idle) {
    if (put_out(key) && ticket != 0) budget_->give_back(ticket);
  }
}

void PictureModels::save_previews() {
  std::vector<std::shared_ptr<Model>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, model] : models_) all.push_back(model);
  }
  for (const std::shared_ptr<Model>& model : all) {
    const std::lock_guard lock(model->mutex);
    if (!model->fit || model->fit->samples() == model->saved_samples) continue;
    try {
      model->fit->save(preview_fit_path(model->pipeline->folder()));
      model->saved_samples = model->fit->samples();
    } catch (const Error&) {  // a cache that cannot be written is made anew next time
      continue;
    }
  }
}

PictureModels::Use::Use(PictureModels& models, std::shared_ptr<Model> model) : models_(&models), model_(std::move(model)) {}

PictureModels::Use::~Use() {
  if (!model_) return;
  if (pipeline_) {
    const std::lock_guard lock(model_->mutex);
    model_->idle.emplace_back(std::move(pipeline_), work_bytes_);
  }
  int64_t ticket = 0;
  {
    const std::lock_guard lock(models_->mutex_);
    if (--model_->users == 0) {
      ticket = model_->ticket;
      if (ticket == 0) models_->models_.erase(model_->key);  // it could not be loaded
    }
  }
  if (ticket != 0) models_->budget_->idle(ticket);
}

void PictureModels::Use::reserve_work(const PictureRequest& request) {
  const PicturePlan needed = plan(request);
  const std::lock_guard lock(model_->mutex);
  if (needed.activations <= work_bytes_) return;
  const int64_t work = model_->work + needed.activations - work_bytes_;
  models_->budget_->resize(model_->ticket, model_->weights + work);
  model_->work = work;
  work_bytes_ = needed.activations;
}

PicturePlan PictureModels::Use::plan(const PictureRequest& request) {
  const SanaPipeline::Sizes sizes = pipeline_->resolve_size(request);
  const bool guided = request.guidance > 1;
  const std::string key =
      std::to_string(sizes.rendered.width) + "x" + std::to_string(sizes.rendered.height) + (guided ? "g" : "") + " " + request.scheduler;
  SanaPipeline::Memory memory;
  bool known = false;
  {
    const std::lock_guard lock(model_->mutex);
    if (const auto found = model_->memory.find(key); found != model_->memory.end()) memory = found->second, known = true;
  }
  if (!known) {
    memory = pipeline_->plan_memory(request);
    const std::lock_guard lock(model_->mutex);
    model_->memory.emplace(key, memory);
  } else {
    pipeline_->check(request);
  }
  PicturePlan plan;
  plan.asked = sizes.asked;
  plan.rendered = sizes.rendered;
  plan.weights = memory.weights;
  plan.activations = std::max({memory.text, memory.denoise, memory.decode});
  const int64_t f = pipeline_->vae_config().compression() * pipeline_->transformer_config().patch_size;
  constexpr int64_t kUsualPromptTokens = 60;
  plan.flops = request.steps * transformer_step_flops(pipeline_->transformer_config(), sizes.rendered.height / f, sizes.rendered.width / f,
                                                      kUsualPromptTokens, guided ? 2 : 1) +
               decoder_flops(pipeline_->vae_config(), sizes.rendered.height, sizes.rendered.width);
  return plan;
}

PreviewMap PictureModels::Use::preview_map(const CancelToken& cancel) {
  {
    const std::lock_guard lock(model_->mutex);
    if (!model_->fit) {
      model_->fit = PreviewFit::load(preview_fit_path(pipeline_->folder()), pipeline_->vae_config().latent_channels);
      if (model_->fit) model_->saved_samples = model_->fit->samples();
    }
    if (model_->fit) return model_->fit->solve();
  }
  const std::unique_ptr<SanaPipeline> other = pipeline_->sibling();  // this one is in the middle of a picture
  PreviewFit fit = fit_preview(*other, cancel);
  const std::lock_guard lock(model_->mutex);
  if (!model_->fit) model_->fit = std::move(fit);
  return model_->fit->solve();
}

void PictureModels::Use::refine_preview(const Tensor& latents, const Image& picture) {
  const std::lock_guard lock(model_->mutex);
  if (model_->fit) model_->fit->add(latents, picture);
}

}  // namespace linea
