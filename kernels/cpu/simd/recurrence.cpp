// The recurrence of linear attentions, token by token.
//
// Maths    S ← diag(w) S - b (aᵀ S) + k (s v)ᵀ,   y = Sᵀ q + D v      for a block of value channels at a time
// Layout   S [dk, dv]: one row of S is a vector of value channels, so aᵀS and Sᵀq are sums of vectors and nothing is summed across lanes.
// Traffic  two passes over the block of S for a token, one without the delta rule; 64×64 floats are 16 KB and stay in the first-level
//          cache. A token's arithmetic does not depend on where the call began: equal bits for any split of a sequence.
// Cost     with AVX2 2.0 cycles for 8 floats of S, 3.4 with the delta rule; multiply-adds alone are 1.5 and 2.5.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// A token's vectors over key channels, in f32: where they lie, which y therefore does not share, or, of 16 bits, widened.
struct Keys {
  const float *q, *k, *a, *b;
  float w[kMaxHeadDim], widened[4][kMaxHeadDim];
};

template <class T> const float* widen(const void* base, int64_t offset, int64_t count, float* to) {
  const T* from = static_cast<const T*>(base) + offset;
  if constexpr (std::is_same_v<T, float>) {
    return from;
  } else {
    for_vectors(count, [&](int64_t i, auto lanes) { store(to + i, load(from + i, lanes), lanes); });
    return to;
  }
}

template <class T> void read_keys(const RecurrenceParams& p, int64_t t, int64_t head, Keys& keys) {
  const int64_t d = p.key_dim, group = head / p.heads_per_group;
  keys.q = widen<T>(p.q, t * p.q_token + group * p.q_head, d, keys.widened[0]);
  keys.k = widen<T>(p.k, t * p.k_token + group * p.k_head, d, keys.widened[1]);
  if (p.a) {
    keys.a = widen<T>(p.a, t * p.a_token + head * p.a_head, d, keys.widened[2]);
    keys.b = widen<T>(p.b, t * p.b_token + head * p.b_head, d, keys.widened[3]);
  }
  const float* decay = p.log_decay ? p.log_decay + t * p.decay_token + head * p.decay_head : nullptr;
  if (decay && p.decay_per_channel) {
    for_vectors(d, [&](int64_t j, auto lanes) { store(keys.w + j, exp(load(decay + j, lanes)), lanes); });
  } else {
    const F32s same = decay ? exp(splat(*decay)) : splat(1.0f);
    for_vectors(d, [&](int64_t j, auto lanes) { store(keys.w + j, same, lanes); });
  }
}

// kVectors vectors of value channels from `base`; with lanes other than All, kVectors is 1. The forms are told apart outside the loops,
// so that sums and values stay in registers.
template <class T, bool kErases, bool kReadsFirst, int kVectors, class Lanes>
void value_block(const RecurrenceParams& p, int64_t t, int64_t head, const Keys& keys, int64_t base, Lanes lanes) {
  const int64_t key_dim = p.key_dim, pitch = p.value_dim;
  float* S = p.state + head * key_dim * pitch + base;
  const T* v = static_cast<const T*>(p.v) + t * p.v_token + head * p.v_head + base;
  T* y = static_cast<T*>(p.y) + t * p.y_token + head * p.y_head + base;
  const float scale = p.value_scale ? p.value_scale[t * p.scale_token + head] : 1.0f;
  F32s scaled[kVectors], erased[kVectors] = {}, result[kVectors] = {};
#pragma GCC unroll 4
  for (int c = 0; c < kVectors; ++c) scaled[c] = load(v + c * kLanes, lanes) * scale;
  if constexpr (kErases) {
    for (int64_t j = 0; j < key_dim; ++j) {
#pragma GCC unroll 4
      for (int c = 0; c < kVectors; ++c) erased[c] += load(S + j * pitch + c * kLanes, lanes) * keys.a[j];
    }
  }
  for (int64_t j = 0; j < key_dim; ++j) {
    const float w = keys.w[j], k = keys.k[j], q = keys.q[j], b = kErases ? keys.b[j] : 0.0f;
#pragma GCC unroll 4
    for (int c = 0; c < kVectors; ++c) {
      float* cell = S + j * pitch + c * kLanes;
      const F32s before = load(cell, lanes);
      F32s after = before * w + scaled[c] * k;
      if constexpr (kErases) after -= erased[c] * b;
      result[c] += (kReadsFirst ? before : after) * q;
      store(cell, after, lanes);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < kVectors; ++c) {
    if (p.skip) result[c] += load(v + c * kLanes, lanes) * p.skip[head];
    store(y + c * kLanes, result[c], lanes);
  }
}

template <class T, bool kErases, bool kReadsFirst> void recur(const RecurrenceParams& p, int64_t head_begin, int64_t head_end) {
  constexpr int kVectors = 4;
  Keys keys;
  for (int64_t head = head_begin; head < head_end; ++head) {
    for (int64_t t = 0; t < p.tokens; ++t) {
      read_keys<T>(p, t, head, keys);
      const auto block = [&]<int kCount>(int64_t i, auto lanes) {
        value_block<T, kErases, kReadsFirst, kCount>(p, t, head, keys, i, lanes);
      };
      int64_t i = 0;
      for (; i + kVectors * kLanes <= p.value_dim; i += kVectors * kLanes) block.template operator()<kVectors>(i, All{});
      for (; i + kLanes <= p.value_dim; i += kLanes) block.template operator()<1>(i, All{});
      if (i < p.value_dim) block.template operator()<1>(i, First{static_cast<int>(p.value_dim - i)});
    }
  }
}

}  // namespace

void linear_recurrence(const RecurrenceParams& p, int64_t head_begin, int64_t head_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    if (p.a) {
      p.read_before_write ? recur<T, true, true>(p, head_begin, head_end) : recur<T, true, false>(p, head_begin, head_end);
    } else {
      p.read_before_write ? recur<T, false, true>(p, head_begin, head_end) : recur<T, false, false>(p, head_begin, head_end);
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
