// Row kernels of recurrent models: all are bound by memory.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// ln(1 + t) for t in [0, 1] as 2 artanh(s), s = t / (2 + t) <= 1/3, by its series: the first term left out is below 2^-27.
F32s log1p_unit(F32s t) {
  const F32s s = t / (t + 2.0f), z = s * s;
  F32s p = z * (1.0f / 15.0f) + 1.0f / 13.0f;
  p = p * z + 1.0f / 11.0f;
  p = p * z + 1.0f / 9.0f;
  p = p * z + 1.0f / 7.0f;
  p = p * z + 0.2f;
  p = p * z + 1.0f / 3.0f;
  return (s + s) * (p * z + 1.0f);
}

template <Func kFunc> F32s evaluate(F32s x) {
  if constexpr (kFunc == Func::kExp) {
    return exp(x);
  } else if constexpr (kFunc == Func::kTanh) {
    return tanh(x);
  } else if constexpr (kFunc == Func::kSigmoid) {
    return sigmoid(x);
  } else if constexpr (kFunc == Func::kSilu) {
    return activate<Act::kSilu>(x);
  } else if constexpr (kFunc == Func::kSoftplus) {
    return max(x, splat(0.0f)) + log1p_unit(exp(-max(x, -x)));
  } else if constexpr (kFunc == Func::kReluSquared) {
    const F32s positive = activate<Act::kRelu>(x);
    return positive * positive;
  } else {
    return x;
  }
}

template <Func kFunc> struct FuncTag { static constexpr Func value = kFunc; };
template <class Body> void with_function(Func function, Body body) {
  switch (function) {
    case Func::kIdentity: return body(FuncTag<Func::kIdentity>{});
    case Func::kExp: return body(FuncTag<Func::kExp>{});
    case Func::kTanh: return body(FuncTag<Func::kTanh>{});
    case Func::kSigmoid: return body(FuncTag<Func::kSigmoid>{});
    case Func::kSilu: return body(FuncTag<Func::kSilu>{});
    case Func::kSoftplus: return body(FuncTag<Func::kSoftplus>{});
    case Func::kReluSquared: return body(FuncTag<Func::kReluSquared>{});
  }
}

template <class T> const T* row_of(const void* base, int64_t row, int64_t pitch) { return static_cast<const T*>(base) + row * pitch; }
template <class T> T* row_of(void* base, int64_t row, int64_t pitch) { return static_cast<T*>(base) + row * pitch; }

template <class X, class Y, Func kFunc> void elementwise_rows(const ElementwiseParams& p, int64_t row_begin, int64_t row_end) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    const X* x = row_of<X>(p.x, r, p.x_pitch);
    const Y* residual = p.residual ? row_of<Y>(p.residual, r, p.residual_pitch) : nullptr;
    Y* y = row_of<Y>(p.y, r, p.y_pitch);
    for_vectors(p.dim, [&](int64_t i, auto lanes) {
      F32s v = load(x + i, lanes);
      if (p.bias) v += load(p.bias + i, lanes);
      v = evaluate<kFunc>(v);
      if (p.scale) v *= load(p.scale + i, lanes);
      if (residual) v += load(residual + i, lanes);
      store(y + i, v, lanes);
    });
  }
}

template <class X, class Y> void group_norm_rows(const GroupNormParams& p, int64_t row_begin, int64_t row_end) {
  const float count = static_cast<float>(p.group_size);
  for (int64_t r = row_begin; r < row_end; ++r) {
    for (int64_t g = 0; g < p.groups; ++g) {
      const int64_t first = g * p.group_size;
      const X* x = row_of<X>(p.x, r, p.x_pitch) + first;
      Y* y = row_of<Y>(p.y, r, p.y_pitch) + first;
      const float mean = p.centre ? sum_vectors(p.group_size, [&](int64_t i, auto lanes) { return load(x + i, lanes); }) / count : 0.0f;
      const float squares = sum_vectors(p.group_size, [&](int64_t i, auto lanes) {
        const F32s centred = load(x + i, lanes) - mean;
        return centred * centred;
      });
      const float factor = 1.0f / __builtin_sqrtf(squares / count + p.eps);
      for_vectors(p.group_size, [&](int64_t i, auto lanes) {
        F32s v = (load(x + i, lanes) - mean) * factor * load(p.w + first + i, lanes);
        if (p.bias) v += load(p.bias + first + i, lanes);
        store(y + i, v, lanes);
      });
    }
  }
}

// Row t of the input as a vector, from the state where t is negative.
template <class T, class Lanes> F32s input_at(const CausalConvParams& p, int64_t t, int64_t i, Lanes lanes) {
  if (t < 0) return load(p.state + (t + p.taps - 1) * p.dim + i, lanes);
  return load(row_of<T>(p.x, t, p.x_pitch) + i, lanes);
}

}  // namespace

void elementwise(const ElementwiseParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.x_type, [&](auto x_type) {
    with_type(p.y_type, [&](auto y_type) {
      with_function(p.function, [&](auto function) {
        elementwise_rows<TypeOf<decltype(x_type)>, TypeOf<decltype(y_type)>, decltype(function)::value>(p, row_begin, row_end);
      });
    });
  });
}

void group_norm(const GroupNormParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.x_type, [&](auto x_type) {
    with_type(p.y_type, [&](auto y_type) { group_norm_rows<TypeOf<decltype(x_type)>, TypeOf<decltype(y_type)>>(p, row_begin, row_end); });
  });
}

void causal_conv1d(const CausalConvParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    with_act(p.act, [&](auto act) {
      for (int64_t t = row_begin; t < row_end; ++t) {
        T* y = row_of<T>(p.y, t, p.y_pitch);
        for_vectors(p.dim, [&](int64_t i, auto lanes) {
          F32s sum = p.bias ? load(p.bias + i, lanes) : splat(0.0f);
          for (int64_t j = 0; j < p.taps; ++j) sum += load(p.w + j * p.dim + i, lanes) * input_at<T>(p, t - p.taps + 1 + j, i, lanes);
          store(y + i, activate<decltype(act)::value>(sum), lanes);
        });
      }
    });
  });
}

void lerp(const LerpParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    with_type(p.m_type, [&](auto m_type) {
      with_type(p.y_type, [&](auto y_type) {
        using T = TypeOf<decltype(type)>;
        for (int64_t r = row_begin; r < row_end; ++r) {
          const T *from = row_of<T>(p.a, r, p.a_pitch), *to = row_of<T>(p.b, r, p.b_pitch);
          const auto* m = row_of<TypeOf<decltype(m_type)>>(p.m, r, p.m_pitch);
          auto* y = row_of<TypeOf<decltype(y_type)>>(p.y, r, p.y_pitch);
          for_vectors(p.dim, [&](int64_t i, auto lanes) {
            const F32s start = load(from + i, lanes);
            store(y + i, start + (load(to + i, lanes) - start) * load(m + i, lanes), lanes);
          });
        }
      });
    });
  });
}

void normalize_heads(const NormalizeHeadsParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t r = row_begin; r < row_end; ++r) {
      for (int64_t first = 0; first < p.heads * p.head_dim; first += p.head_dim) {
        const T* x = row_of<T>(p.x, r, p.x_pitch) + first;
        T* y = row_of<T>(p.y, r, p.y_pitch) + first;
        const float* w = p.w + first;
        const float squares = sum_vectors(p.head_dim, [&](int64_t i, auto lanes) {
          const F32s v = load(x + i, lanes) * load(w + i, lanes);
          return v * v;
        });
        const float norm = __builtin_sqrtf(squares), factor = 1.0f / (norm > p.eps ? norm : p.eps);
        for_vectors(p.head_dim, [&](int64_t i, auto lanes) { store(y + i, load(x + i, lanes) * load(w + i, lanes) * factor, lanes); });
      }
    }
  });
}

void add_bonus(const BonusParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t r = row_begin; r < row_end; ++r) {
      for (int64_t first = 0; first < p.heads * p.head_dim; first += p.head_dim) {
        const T *q = row_of<T>(p.q, r, p.q_pitch) + first, *k = row_of<T>(p.k, r, p.k_pitch) + first;
        const T* v = row_of<T>(p.v, r, p.v_pitch) + first;
        T* y = row_of<T>(p.y, r, p.y_pitch) + first;
        const float score = sum_vectors(
            p.head_dim, [&](int64_t i, auto lanes) { return load(q + i, lanes) * load(k + i, lanes) * load(p.u + first + i, lanes); });
        for_vectors(p.head_dim, [&](int64_t i, auto lanes) { store(y + i, load(y + i, lanes) + load(v + i, lanes) * score, lanes); });
      }
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
