// The recurrence of linear attentions, token by token.
//
// Maths    S ← diag(w) S - b (aᵀ S) + k (s v)ᵀ,   y = Sᵀ q + D v      for a block of value channels at a time
// Layout   S [dk, dv]: one row of S is a vector of value channels, so aᵀS and Sᵀq are sums of vectors and nothing is summed across lanes.
// Traffic  two passes over the block of S for a token, one without the delta rule; 64×64 floats are 16 KB and stay in the first-level
// cache. A token's arithmetic does not depend on where the call began: equal bits for any split of a sequence.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// A token's vectors over key channels, in f32.
struct Keys {
  float q[kMaxHeadDim], k[kMaxHeadDim], w[kMaxHeadDim], a[kMaxHeadDim], b[kMaxHeadDim];
};

template <class T> void widen(const void* base, int64_t offset, int64_t count, float* to) {
  const T* from = static_cast<const T*>(base) + offset;
  for_vectors(count, [&](int64_t i, auto lanes) { store(to + i, load(from + i, lanes), lanes); });
}

template <class T> void read_keys(const RecurrenceParams& p, int64_t t, int64_t head, Keys& keys) {
  const int64_t d = p.key_dim, group = head / p.heads_per_group;
  widen<T>(p.q, t * p.q_token + group * p.q_head, d, keys.q);
  widen<T>(p.k, t * p.k_token + group * p.k_head, d, keys.k);
  if (p.a) {
    widen<T>(p.a, t * p.a_token + head * p.a_head, d, keys.a);
    widen<T>(p.b, t * p.b_token + head * p.b_head, d, keys.b);
  }
  if (!p.log_decay) {
    for (int64_t j = 0; j < d; ++j) keys.w[j] = 1.0f;
    return;
  }
  const float* decay = p.log_decay + t * p.decay_token + head * p.decay_head;
  for_vectors(d,
              [&](int64_t j, auto lanes) { store(keys.w + j, exp(p.decay_per_channel ? load(decay + j, lanes) : splat(*decay)), lanes); });
}

// kVectors vectors of value channels from `base`; with lanes other than All, kVectors is 1.
template <class T, int kVectors, class Lanes>
void value_block(const RecurrenceParams& p, int64_t t, int64_t head, const Keys& keys, int64_t base, Lanes lanes) {
  float* S = p.state + head * p.key_dim * p.value_dim + base;
  const T* v = static_cast<const T*>(p.v) + t * p.v_token + head * p.v_head + base;
  T* y = static_cast<T*>(p.y) + t * p.y_token + head * p.y_head + base;
  const float scale = p.value_scale ? p.value_scale[t * p.scale_token + head] : 1.0f;
  F32s value[kVectors], scaled[kVectors], erased[kVectors] = {}, result[kVectors] = {};
  for (int c = 0; c < kVectors; ++c) {
    value[c] = load(v + c * kLanes, lanes);
    scaled[c] = value[c] * scale;
  }
  if (p.a) {
    for (int64_t j = 0; j < p.key_dim; ++j) {
      for (int c = 0; c < kVectors; ++c) erased[c] += load(S + j * p.value_dim + c * kLanes, lanes) * keys.a[j];
    }
  }
  for (int64_t j = 0; j < p.key_dim; ++j) {
    for (int c = 0; c < kVectors; ++c) {
      float* cell = S + j * p.value_dim + c * kLanes;
      const F32s before = load(cell, lanes);
      F32s after = before * keys.w[j] + scaled[c] * keys.k[j];
      if (p.a) after -= erased[c] * keys.b[j];
      result[c] += (p.read_before_write ? before : after) * keys.q[j];
      store(cell, after, lanes);
    }
  }
  for (int c = 0; c < kVectors; ++c) {
    if (p.skip) result[c] += value[c] * p.skip[head];
    store(y + c * kLanes, result[c], lanes);
  }
}

}  // namespace

void linear_recurrence(const RecurrenceParams& p, int64_t head_begin, int64_t head_end) {
  constexpr int kVectors = 4;
  Keys keys;
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t head = head_begin; head < head_end; ++head) {
      for (int64_t t = 0; t < p.tokens; ++t) {
        read_keys<T>(p, t, head, keys);
        int64_t i = 0;
        for (; i + kVectors * kLanes <= p.value_dim; i += kVectors * kLanes) value_block<T, kVectors>(p, t, head, keys, i, All{});
        for (; i + kLanes <= p.value_dim; i += kLanes) value_block<T, 1>(p, t, head, keys, i, All{});
        if (i < p.value_dim) value_block<T, 1>(p, t, head, keys, i, First{static_cast<int>(p.value_dim - i)});
      }
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
