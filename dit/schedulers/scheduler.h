// dit/schedulers/scheduler.h: integration of the flow ODE from noise (sigma 1) to data (sigma 0).
//
// Convention: x_t = (1 - sigma) data + sigma noise; the model gives the velocity v = noise - data.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "kernels/ops.h"

namespace linea {

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // What the model is told, and the noise levels: sigmas has one entry more than timesteps, and ends with the final level.
  const std::vector<float>& timesteps() const { return timesteps_; }
  const std::vector<float>& sigmas() const { return sigmas_; }
  int steps() const { return static_cast<int>(timesteps_.size()); }

  // Advances `x` (f32) in place by step i with the guided velocity (f32). Steps run in order from 0; `history` is the scheduler's own
  // memory between them, taken from the arena by allocate_history.
  virtual void step(Context& ctx, int i, const Tensor& velocity, const Tensor& x) = 0;
  virtual void allocate_history(Context& ctx, Shape latents) = 0;
  // The part of the history that holds values after `steps` steps: with `x` it is all that the next step depends on, so copying both
  // elsewhere and back goes on with the same bits.
  virtual std::span<const Tensor> history(int steps) const = 0;

 protected:
  std::vector<float> timesteps_, sigmas_;
};

struct SchedulerOptions {
  int steps = 20;
  std::string name{};                  // empty = what the configuration says; "dpm++" or "euler"
  std::optional<double> flow_shift{};  // none = what the configuration says
};

// From scheduler/scheduler_config.json of a diffusers folder (DPMSolverMultistepScheduler with flow sigmas,
// FlowMatchEulerDiscreteScheduler). Throws kModel for settings that are not implemented, kUsage for options out of range.
std::unique_ptr<Scheduler> make_scheduler(const Config& config, const SchedulerOptions& options);

}  // namespace linea
