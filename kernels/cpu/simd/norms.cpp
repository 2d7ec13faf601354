// Norms of rows in f32.
//
// Maths    modulated_layer_norm: mean, then Σ(x - mean)², then (x - mean)·rstd·(1 + scale) + shift.   rms_norm: Σx², then the product.
// Traffic  a row (2240 channels = 9 KB in f32) stays in the first-level cache between the passes, so memory is read and written once.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

float reciprocal_root(float x) { return 1.0f / __builtin_sqrtf(x); }

template <class T> void layer_norm_rows(const LayerNormParams& p, int64_t row_begin, int64_t row_end) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    const T* x = static_cast<const T*>(p.x) + r * p.x_pitch;
    T* y = static_cast<T*>(p.y) + r * p.y_pitch;
    const float* scale = p.scale + r / p.tokens * p.scale_pitch;
    const float* shift = p.shift + r / p.tokens * p.shift_pitch;
    const float count = static_cast<float>(p.dim);
    const float mean = sum_vectors(p.dim, [&](int64_t i, auto lanes) { return load(x + i, lanes); }) / count;
    const float variance = sum_vectors(p.dim,
                                       [&](int64_t i, auto lanes) {
                                         const F32s centred = load(x + i, lanes) - mean;
                                         return centred * centred;
                                       }) /
                           count;
    const float rstd = reciprocal_root(variance + p.eps);
    for_vectors(p.dim, [&](int64_t i, auto lanes) {
      const F32s normal = (load(x + i, lanes) - mean) * rstd;
      store(y + i, normal * (1.0f + load(scale + i, lanes)) + load(shift + i, lanes), lanes);
    });
  }
}

template <class T, Act kAct> void rms_norm_rows(const RmsNormParams& p, int64_t row_begin, int64_t row_end) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    const T* x = static_cast<const T*>(p.x) + r * p.x_pitch;
    const T* residual = p.residual ? static_cast<const T*>(p.residual) + r * p.residual_pitch : nullptr;
    T* y = static_cast<T*>(p.y) + r * p.y_pitch;
    const float squares = sum_vectors(p.dim, [&](int64_t i, auto lanes) {
      const F32s v = load(x + i, lanes);
      return v * v;
    });
    const float rstd = reciprocal_root(squares / static_cast<float>(p.dim) + p.eps);
    for_vectors(p.dim, [&](int64_t i, auto lanes) {
      F32s v = load(x + i, lanes) * rstd * (load(p.w + i, lanes) + p.weight_offset);
      if (p.bias) v += load(p.bias + i, lanes);
      v = activate<kAct>(v);
      if (residual) v += load(residual + i, lanes);
      store(y + i, v, lanes);
    });
  }
}

}  // namespace

void modulated_layer_norm(const LayerNormParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) { layer_norm_rows<TypeOf<decltype(type)>>(p, row_begin, row_end); });
}

void rms_norm(const RmsNormParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    with_act(p.act, [&](auto act) { rms_norm_rows<TypeOf<decltype(type)>, decltype(act)::value>(p, row_begin, row_end); });
  });
}

}  // namespace linea::cpu::LINEA_ISA
