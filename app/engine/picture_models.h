// app/engine/picture_models.h: the picture models in memory, shared by the engine's threads.
//
// A model is loaded when it is first taken, under a reservation of the memory budget, and stays until the budget needs its room. Each
// thread that takes it gets a pipeline of its own; the weights are shared. Any thread may call anything.
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
  explicit PictureModels(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}

  class Model;

  // A pipeline in use by one thread; given back at destruction.
  class Use {
   public:
    Use(PictureModels& models, std::shared_ptr<Model> model);
    ~Use();
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&&) = delete;

    SanaPipeline& pipeline() { return *pipeline_; }
    // Reserves what the stages of this request take. Throws kMemory.
    void reserve_work(const PictureRequest& request);
    PicturePlan plan(const PictureRequest& request);
    // The map for previews: read from the cache, or fitted now.
    PreviewMap preview_map(const CancelToken& cancel);
    void refine_preview(const Tensor& latents, const Image& picture);  // throws nothing

   private:
    friend class PictureModels;
    PictureModels* models_;
    std::shared_ptr<Model> model_;
    std::unique_ptr<SanaPipeline> pipeline_;
    int64_t work_bytes_ = 0;  // reserved for the pipeline's activations
  };

  // Throws kUsage, kModel, kMemory. `settings`: model, dtype ("auto" = the device's best), device ("auto"), softcap, instruction.
  Use take(const PictureSettings& settings);
  void put_out_idle();
  void save_previews();  // into the cache; failures do not matter

 private:
  std::shared_ptr<Model> find(const PictureSettings& settings);
  bool put_out(const std::string& key);

  std::shared_ptr<MemoryBudget> budget_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Model>> models_;
};

// What tells models apart: folder, type, device and what else the weights or prompts are prepared with.
std::string model_key(const PictureSettings& settings);
PipelineOptions pipeline_options_of(const PictureSettings& settings);  // throws kUsage
std::string model_title(const PictureSettings& settings);              // "sana-mini": as people call it

}  // namespace linea
