#include "dit/schedulers/flow_euler.h"

namespace linea {

// Linear from 1 to the smallest *shifted* training sigma, then shifted again: the reference shifts the minimum twice. Timesteps stay
// fractional.
FlowEuler::FlowEuler(double shift, int num_train_timesteps, int steps) {
  const double train = num_train_timesteps;
  const auto shifted = [&](auto sigma) {
    using Number = decltype(sigma);  // float where the reference computes in float
    const Number f = static_cast<Number>(shift);
    return f * sigma / (Number{1} + (f - Number{1}) * sigma);
  };
  const double first = shifted(1.0f) * train, last = shifted(1.0f / static_cast<float>(num_train_timesteps)) * train;
  const double pace = steps > 1 ? (last - first) / (steps - 1) : 0.0;
  for (int i = 0; i < steps; ++i) {
    const double unshifted = i > 0 && i == steps - 1 ? last : i * pace + first;
    sigmas_.push_back(static_cast<float>(shifted(unshifted / train)));
    timesteps_.push_back(sigmas_.back() * static_cast<float>(num_train_timesteps));
  }
  sigmas_.push_back(0.0f);
}

void FlowEuler::step(Context& ctx, int i, const Tensor& velocity, const Tensor& x) {
  const size_t k = static_cast<size_t>(i);
  const Term terms[] = {{1.0f, x}, {sigmas_[k + 1] - sigmas_[k], velocity}};
  linear_combination(ctx, terms, x);
}

}  // namespace linea
