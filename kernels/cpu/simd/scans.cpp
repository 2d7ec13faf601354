// Scans whose channels do not mix: a vector holds channels, time is a plain loop, and the state is read and written once a token.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {

void selective_scan(const SelectiveScanParams& p, int64_t channel_begin, int64_t channel_end) {
  float B[kMaxHeadDim], C[kMaxHeadDim];
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t t = 0; t < p.tokens; ++t) {
      const T* x = static_cast<const T*>(p.x) + t * p.x_pitch + channel_begin;
      T* y = static_cast<T*>(p.y) + t * p.y_pitch + channel_begin;
      const float* delta = p.delta + t * p.delta_pitch + channel_begin;
      for_vectors(p.states, [&](int64_t n, auto lanes) {
        store(B + n, load(static_cast<const T*>(p.B) + t * p.B_pitch + n, lanes), lanes);
        store(C + n, load(static_cast<const T*>(p.C) + t * p.C_pitch + n, lanes), lanes);
      });
      for_vectors(channel_end - channel_begin, [&](int64_t i, auto lanes) {
        const int64_t channel = channel_begin + i;
        const F32s step = load(delta + i, lanes), input = load(x + i, lanes), written = step * input;
        F32s sum = load(p.D + channel, lanes) * input;
        for (int64_t n = 0; n < p.states; ++n) {
          float* cell = p.state + n * p.dim + channel;
          const F32s h = exp(step * load(p.A + n * p.dim + channel, lanes)) * load(cell, lanes) + written * B[n];
          sum += h * C[n];
          store(cell, h, lanes);
        }
        store(y + i, sum, lanes);
      });
    }
  });
}

// The sums are held over e^m with m the largest exponent so far, so that nothing overflows.
void weighted_average(const WeightedAverageParams& p, int64_t channel_begin, int64_t channel_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for_vectors(channel_end - channel_begin, [&](int64_t i, auto lanes) {
      const int64_t channel = channel_begin + i;
      float *values = p.state + channel, *weights = values + p.dim, *exponents = weights + p.dim;
      F32s a = load(values, lanes), b = load(weights, lanes), m = load(exponents, lanes);
      const F32s decay = load(p.log_decay + channel, lanes), u = load(p.u + channel, lanes);
      for (int64_t t = 0; t < p.tokens; ++t) {
        const F32s k = load(static_cast<const T*>(p.k) + t * p.k_pitch + channel, lanes);
        const F32s v = load(static_cast<const T*>(p.v) + t * p.v_pitch + channel, lanes);
        const F32s read = max(m, u + k), past = exp(m - read), own = exp(u + k - read);
        store(static_cast<T*>(p.y) + t * p.y_pitch + channel, (past * a + own * v) / (past * b + own), lanes);
        const F32s next = max(m + decay, k), kept = exp(m + decay - next), added = exp(k - next);
        a = kept * a + added * v;
        b = kept * b + added;
        m = next;
      }
      store(values, a, lanes);
      store(weights, b, lanes);
      store(exponents, m, lanes);
    });
  });
}

}  // namespace linea::cpu::LINEA_ISA
