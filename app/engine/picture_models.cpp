#include "app/engine/picture_models.h"

#include <algorithm>
#include <tuple>

#include "app/engine/cost.h"
#include "app/engine/model_folders.h"
#include "kernels/devices.h"

namespace linea {

// PictureModels::mutex_ guards users and ticket; `loading` is held while the model is opened and while its memory is planned; `mutex`
// guards the rest.
class PictureModels::Model {
 public:
  std::string key, title;
  int users = 0;
  std::mutex loading, mutex;
  std::unique_ptr<SanaPipeline> pipeline;  // whose siblings the threads use
  std::shared_ptr<MemoryBudget> budget;
  int64_t ticket = 0, kept = 0, work = 0;                               // bytes reserved: that stay, and of all pictures in progress
  std::vector<std::pair<std::unique_ptr<SanaPipeline>, int64_t>> idle;  // with the bytes reserved for their work
  std::optional<PreviewFit> fit;
  int64_t saved_samples = 0;
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

std::shared_ptr<PictureModels::Model> PictureModels::find(const PictureSettings& settings, int instance) {
  const std::string key = model_key(settings) + (instance > 0 ? "\n#" + std::to_string(instance) : "");
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

std::shared_ptr<MemoryBudget> PictureModels::budget_of(Device device) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<MemoryBudget>& budget = budgets_[key_of(device)];
  if (!budget) budget = std::make_shared<MemoryBudget>(bytes_ > 0 ? bytes_ : free_memory(device));
  return budget;
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

PictureModels::Use PictureModels::take(const PictureSettings& settings, int instance) {
  Use use(*this, find(settings, instance));
  Model& model = *use.model_;
  const std::lock_guard lock(model.loading);
  if (!model.pipeline) {
    auto pipeline = std::make_unique<SanaPipeline>(find_picture_model(settings.model), pipeline_options_of(settings));
    model.budget = budget_of(pipeline->device());
    model.pipeline = std::move(pipeline);
  }
  model.budget->use(model.ticket);
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
  std::vector<std::shared_ptr<Model>> idle;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, model] : models_) {
      if (model->users == 0) idle.push_back(model);
    }
  }
  for (const std::shared_ptr<Model>& model : idle) {
    const int64_t ticket = model->ticket;
    if (put_out(model->key) && ticket != 0) model->budget->give_back(ticket);
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
      if (!model_->pipeline) models_->models_.erase(model_->key);  // it could not be opened
    }
  }
  if (ticket != 0) model_->budget->idle(ticket);
}

int64_t PictureModels::Use::available() {
  const std::lock_guard lock(model_->mutex);
  const int64_t others = model_->work - work_bytes_;  // pictures of this model that are in progress
  return model_->budget->available(model_->ticket) - others;
}

// Only what is planned anew can be put out meanwhile, so the model's own reservation changes under one lock.
PicturePlan PictureModels::Use::reserve_work(const PictureRequest& request) {
  Model& model = *model_;
  const std::lock_guard loading(model.loading);
  const int64_t most = available();
  const MemoryPlan memory = pipeline_->plan(request, std::max<int64_t>(most, 1));
  const PicturePlan plan = describe(request, memory);
  const std::lock_guard lock(model.mutex);
  const int64_t work = model.work - work_bytes_ + plan.activations,
                kept = std::max(plan.weights, model.work > work_bytes_ ? model.kept : 0);
  if (model.ticket == 0) {
    const int64_t ticket = model.budget->reserve({.kind = "picture",
                                                  .name = model.title + " " + std::string(name_of(pipeline_->dtype())),
                                                  .bytes = kept + work,
                                                  .put_out = [models = models_, key = model.key] { return models->put_out(key); }});
    const std::lock_guard outer(models_->mutex_);
    model.ticket = ticket;
  } else {
    model.budget->resize(model.ticket, kept + work);
  }
  model.work = work;
  model.kept = kept;
  work_bytes_ = plan.activations;
  pipeline_->follow(memory);
  return plan;
}

PicturePlan PictureModels::Use::plan(const PictureRequest& request) {
  return describe(request, pipeline_->plan(request, std::max<int64_t>(available(), 1)));
}

PicturePlan PictureModels::Use::least_plan(const PictureRequest& request) {
  return describe(request, pipeline_->plan(request, pipeline_->least_memory(request)));
}

void PictureModels::Use::preload(const PictureRequest& request) {
  reserve_work(request);
  pipeline_->load_weights();
}

PicturePlan PictureModels::Use::describe(const PictureRequest& request, const MemoryPlan& memory) const {
  PicturePlan plan;
  const SanaPipeline::Sizes sizes = pipeline_->resolve_size(request);
  plan.asked = sizes.asked;
  plan.rendered = sizes.rendered;
  plan.weights = memory.resident_bytes() + memory.library_bytes;
  plan.activations = memory.peak() - plan.weights;
  plan.flops = picture_flops(*pipeline_, request);
  plan.memory = memory;
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
