// dit/schedulers/flow_euler.h: Euler steps on shifted flow-matching sigmas.
#pragma once

#include "dit/schedulers/scheduler.h"

namespace linea {

class FlowEuler final : public Scheduler {
 public:
  FlowEuler(double shift, int num_train_timesteps, int steps);
  void allocate_history(Context&, Shape) override {}
  std::span<const Tensor> history(int) const override { return {}; }
  void step(Context& ctx, int i, const Tensor& velocity, const Tensor& x) override;
};

}  // namespace linea
