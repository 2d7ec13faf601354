// app/engine/picture_models.h: the picture models in memory, shared by the engine's threads.
//
// A model is loaded for its first picture, as the memory plan says, under a reservation of its device's budget, and stays until the budget
// needs its room. Each thread that takes it gets a pipeline of its own; the weights are shared. Any thread may call anything.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "app/engine/memory_budget.h"
#include "app/engine/picture_settings.h"
#include "app/engine/plan.h"
#include "app/engine/preview.h"
#include "dit/pipeline/pipeline.h"

namespace linea {

class PictureModels {
 public:
  // `budget` is that of the device `first`; other devices get their own, of `bytes` each (0 = what is free there).
  PictureModels(std::shared_ptr<MemoryBudget> budget, Device first, int64_t bytes)
      : bytes_(bytes), budgets_{{key_of(first), std::move(budget)}} {}

  class Model;

  // A pipeline in use by one thread; given back at destruction.
  class Use {
   public:
    Use(PictureModels& models, std::shared_ptr<Model> model);
    ~Use();
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&&) = delete;

    SanaPipeline& pipeline() { return *pipeline_; }
    // Plans this request within what its device's budget can give, reserves that, and makes the pipeline follow it. Throws kMemory.
    PicturePlan reserve_work(const PictureRequest& request);
    // As reserve_work would plan it. Throws kMemory.
    PicturePlan plan(const PictureRequest& request);
    // Where nothing fits: the plan that takes least, whatever it is.
    PicturePlan least_plan(const PictureRequest& request);
    int64_t available();  // bytes that this model could have
    void preload(const PictureRequest& request);
    // The map for previews: read from the cache, or fitted now.
    PreviewMap preview_map(const CancelToken& cancel);
    void refine_preview(const Tensor& latents, const Image& picture);  // throws nothing

   private:
    friend class PictureModels;
    PictureModels* models_;
    std::shared_ptr<Model> model_;
    std::unique_ptr<SanaPipeline> pipeline_;
    int64_t work_bytes_ = 0;  // reserved for the pipeline's activations and passing weights

    PicturePlan describe(const PictureRequest& request, const MemoryPlan& memory) const;
  };

  // Throws kUsage, kModel. `settings`: model, dtype ("auto" = the device's best), device ("auto"), softcap, instruction. `instance`: models
  // that differ in it share nothing.
  Use take(const PictureSettings& settings, int instance = 0);
  void put_out_idle();
  void save_previews();  // into the cache; failures do not matter

 private:
  using DeviceKey = std::pair<DeviceKind, int>;
  static DeviceKey key_of(Device device) { return {device.kind, device.index}; }
  std::shared_ptr<Model> find(const PictureSettings& settings, int instance);
  std::shared_ptr<MemoryBudget> budget_of(Device device);
  bool put_out(const std::string& key);

  const int64_t bytes_;
  std::mutex mutex_;
  std::map<DeviceKey, std::shared_ptr<MemoryBudget>> budgets_;
  std::map<std::string, std::shared_ptr<Model>> models_;
};

// What tells models apart: folder, type, device and what else the weights or prompts are prepared with.
std::string model_key(const PictureSettings& settings);
PipelineOptions pipeline_options_of(const PictureSettings& settings);  // throws kUsage
std::string model_title(const PictureSettings& settings);              // "sana-mini": as people call it

}  // namespace linea
