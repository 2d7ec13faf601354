#include "dit/schedulers/dpm_solver.h"

#include <algorithm>
#include <cmath>

namespace linea {

// sigma(u) = f u / (1 + (f - 1) u) on u = 1 - a, a linear from 1 to 1/T in n + 1 points, without the point of sigma 0. The model's
// timesteps are truncated to integers, the solver's sigmas are not; the order of operations is that of the reference, so that the
// truncation falls alike. (Where many steps and a large shift make truncated timesteps coincide, the reference starts one step late; the
// schedule here always starts at its first step.)
DpmSolver::DpmSolver(const DpmSolverConfig& config, int steps) : config_(config) {
  const double f = config.flow_shift, train = config.num_train_timesteps;
  const double pace = (1.0 / train - 1.0) / steps;
  for (int i = steps; i >= 1; --i) {
    const double a = i == steps ? 1.0 / train : static_cast<double>(i) * pace + 1.0;
    const double u = 1.0 - a;
    const double sigma = f * u / (1.0 + (f - 1.0) * u);
    timesteps_.push_back(static_cast<float>(std::trunc(sigma * train)));
    sigmas_.push_back(static_cast<float>(sigma));
  }
  sigmas_.push_back(static_cast<float>(config.final_sigma));
  sigmas64_.assign(sigmas_.begin(), sigmas_.end());
}

void DpmSolver::allocate_history(Context& ctx, Shape latents) {
  data_.clear();
  for (int i = 0; i < config_.solver_order; ++i) data_.push_back(ctx.allocate(latents, DType::kF32));
}

std::span<const Tensor> DpmSolver::history(int steps) const { return {data_.data(), std::min(static_cast<size_t>(steps), data_.size())}; }

int DpmSolver::order_of(int i) const {
  const int n = steps();
  const bool last = i == n - 1, second_last = i == n - 2;
  const bool first_order_final = last && (config_.euler_at_final || (config_.lower_order_final && n < 15) || config_.final_sigma == 0);
  if (config_.solver_order == 1 || i == 0 || first_order_final) return 1;
  const bool second_order_final = second_last && config_.lower_order_final && n < 15;
  if (config_.solver_order == 2 || i == 1 || second_order_final) return 2;
  return 3;
}

// With x0 the data predictions, h = λ_t - λ_s and λ = ln((1 - σ)/σ):   x_t = (σ_t/σ_s) x_s + (1 - σ_t/σ_s) x0 + [higher differences].
// The factor α_t (1 - e^(-h)) of the paper equals 1 - σ_t/σ_s for flow sigmas, which holds at σ_t = 0 too.
void DpmSolver::step(Context& ctx, int i, const Tensor& velocity, const Tensor& x) {
  const size_t k = static_cast<size_t>(i), ring = data_.size();
  const auto sigma = [&](size_t j) { return sigmas64_[j]; };
  const auto lambda = [&](size_t j) { return std::log(1.0 - sigma(j)) - std::log(sigma(j)); };
  const Tensor x0 = data_[k % ring];
  const Term prediction[] = {{1.0f, x}, {-static_cast<float>(sigma(k)), velocity}};
  linear_combination(ctx, prediction, x0);

  const double ratio = sigma(k + 1) / sigma(k);
  const int order = order_of(i);
  if (order == 1) {
    const Term terms[] = {{static_cast<float>(ratio), x}, {static_cast<float>(1.0 - ratio), x0}};
    linear_combination(ctx, terms, x);
    return;
  }

  const Tensor x1 = data_[(k - 1) % ring];
  const double h = lambda(k + 1) - lambda(k), r0 = (lambda(k) - lambda(k - 1)) / h;
  const double alpha = 1.0 - sigma(k + 1), decay = std::exp(-h) - 1.0;
  // Coefficient of D1 ≈ x0': half the first-order factor (midpoint), or its exact integral (heun, and always at third order).
  const bool exact = config_.heun || order == 3;
  const double d1 = exact ? alpha * (decay / h + 1.0) : 0.5 * (1.0 - ratio);
  if (order == 2) {
    const double c = d1 / r0;  // D1 = (x0 - x1) / r0
    const Term terms[] = {{static_cast<float>(ratio), x}, {static_cast<float>(1.0 - ratio + c), x0}, {static_cast<float>(-c), x1}};
    linear_combination(ctx, terms, x);
    return;
  }

  const Tensor x2 = data_[(k - 2) % ring];
  const double r1 = (lambda(k - 1) - lambda(k - 2)) / h;
  const double d2 = -alpha * ((decay + h) / (h * h) - 0.5);
  // D1_0 = (x0 - x1)/r0, D1_1 = (x1 - x2)/r1, D1 = D1_0 + r0/(r0+r1) (D1_0 - D1_1), D2 = (D1_0 - D1_1)/(r0+r1)
  const double on_d10 = d1 * (1.0 + r0 / (r0 + r1)) + d2 / (r0 + r1);
  const double on_d11 = -d1 * r0 / (r0 + r1) - d2 / (r0 + r1);
  const Term terms[] = {{static_cast<float>(ratio), x},
                        {static_cast<float>(1.0 - ratio + on_d10 / r0), x0},
                        {static_cast<float>(-on_d10 / r0 + on_d11 / r1), x1},
                        {static_cast<float>(-on_d11 / r1), x2}};
  linear_combination(ctx, terms, x);
}

}  // namespace linea
