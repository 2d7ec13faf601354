// kernels/recurrence_layout.h: where the tensors of linear_recurrence lie, for the kernels of every backend.
#pragma once

#include "kernels/ops.h"

namespace linea {

// How many sequences a state is of: its first dimension where it has one more than the state of one sequence.
inline int64_t sequences_of(const Tensor& state, int rank_of_one) { return state.rank() > rank_of_one ? state.dim(0) : 1; }

// The fields that the backends' parameters share, by their common names: addresses, strides (0 = one value for all), sizes and forms.
template <class Params>
Params recurrence_layout(const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args, const Tensor& state,
                         const Tensor& y) {
  const bool decays = args.log_decay.defined(), erases = args.a.defined();
  const auto floats = [](const Tensor& x) { return x.defined() ? x.data<float>() : nullptr; };
  Params p{};
  p.q = q.raw(), p.k = k.raw(), p.v = v.raw(), p.a = args.a.raw(), p.b = args.b.raw(), p.y = y.raw();
  p.log_decay = floats(args.log_decay), p.value_scale = floats(args.value_scale), p.skip = floats(args.skip);
  p.state = state.data<float>();
  p.q_token = q.stride(0), p.q_head = q.stride(1);
  p.k_token = k.stride(0), p.k_head = k.stride(1);
  p.v_token = v.stride(0), p.v_head = v.stride(1);
  p.y_token = y.stride(0), p.y_head = y.stride(1);
  if (erases) {
    p.a_token = args.a.stride(0), p.a_head = args.a.stride(1);
    p.b_token = args.b.stride(0), p.b_head = args.b.stride(1);
  }
  if (decays) {
    p.decay_token = args.log_decay.dim(0) > 1 ? args.log_decay.stride(0) : 0;
    p.decay_head = args.log_decay.stride(1);
    p.decay_per_channel = args.log_decay.dim(2) > 1;
  }
  if (args.value_scale.defined()) p.scale_token = args.value_scale.stride(0);
  p.tokens = q.dim(0);
  p.key_dim = static_cast<decltype(p.key_dim)>(q.dim(2));
  p.value_dim = static_cast<decltype(p.value_dim)>(v.dim(2));
  p.heads_per_group = static_cast<decltype(p.heads_per_group)>(v.dim(1) / q.dim(1));
  p.read_before_write = args.read_before_write;
  return p;
}

}  // namespace linea
