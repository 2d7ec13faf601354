// dit/schedulers/dpm_solver.h: DPM-Solver++ (arXiv 2211.01095) on flow-matching sigmas, multistep, orders 1 to 3.
#pragma once

#include "dit/schedulers/scheduler.h"

namespace linea {

struct DpmSolverConfig {
  double flow_shift = 3.0;
  int solver_order = 2;
  bool heun = false;              // solver_type "heun" instead of "midpoint"
  bool lower_order_final = true;  // lower orders for the last steps of short schedules
  bool euler_at_final = false;
  int num_train_timesteps = 1000;
  double final_sigma = 0;
};

class DpmSolver final : public Scheduler {
 public:
  DpmSolver(const DpmSolverConfig& config, int steps);
  void allocate_history(Context& ctx, Shape latents) override;
  std::span<const Tensor> history(int steps) const override;
  void step(Context& ctx, int i, const Tensor& velocity, const Tensor& x) override;

 private:
  int order_of(int i) const;

  DpmSolverConfig config_;
  std::vector<double> sigmas64_;
  std::vector<Tensor> data_;  // predictions of the data at the last steps: a ring of solver_order tensors
};

}  // namespace linea
