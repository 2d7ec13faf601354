// Elementwise kernels over rows: all of them read and write each byte once and are bound by memory.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

template <class T> const T* row_of(const void* base, int64_t row, int64_t pitch) {
  return base ? static_cast<const T*>(base) + row * pitch : nullptr;
}

template <class X, class Y, Act kAct> void epilogue_rows(const EpilogueParams& p, int64_t row_begin, int64_t row_end) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    const X* x = row_of<X>(p.x, r, p.x_pitch);
    const Y* residual = row_of<Y>(p.residual, r, p.residual_pitch);
    const float* gate = p.gate ? p.gate + r / p.rows_per_gate * p.gate_pitch : nullptr;
    Y* y = static_cast<Y*>(p.y) + r * p.y_pitch;
    for_vectors(p.dim, [&](int64_t i, auto lanes) {
      F32s v = load(x + i, lanes);
      if (p.bias) v += load(p.bias + i, lanes);
      v = activate<kAct>(v);
      if (gate) v *= load(gate + i, lanes);
      if (residual) v += load(residual + i, lanes);
      store(y + i, v, lanes);
    });
  }
}

}  // namespace

void epilogue(const EpilogueParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.x_type, [&](auto x_type) {
    with_type(p.y_type, [&](auto y_type) {
      with_act(p.act, [&](auto act) {
        epilogue_rows<TypeOf<decltype(x_type)>, TypeOf<decltype(y_type)>, decltype(act)::value>(p, row_begin, row_end);
      });
    });
  });
}

void multiply_activated(const MultiplyParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    with_act(p.act, [&](auto act) {
      for (int64_t r = row_begin; r < row_end; ++r) {
        const T *gate = row_of<T>(p.gate, r, p.gate_pitch), *up = row_of<T>(p.up, r, p.up_pitch);
        T* y = static_cast<T*>(p.y) + r * p.y_pitch;
        for_vectors(p.dim, [&](int64_t i, auto lanes) {
          store(y + i, activate<decltype(act)::value>(load(gate + i, lanes)) * load(up + i, lanes), lanes);
        });
      }
    });
  });
}

void add(const AddParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    with_type(p.b_type, [&](auto b_type) {
      using T = TypeOf<decltype(type)>;
      using B = TypeOf<decltype(b_type)>;
      for (int64_t r = row_begin; r < row_end; ++r) {
        const T* a = row_of<T>(p.a, r, p.a_pitch);
        const B* b = row_of<B>(p.b, r % p.b_rows, p.b_pitch);
        T* y = static_cast<T*>(p.y) + r * p.y_pitch;
        for_vectors(p.dim, [&](int64_t i, auto lanes) { store(y + i, load(a + i, lanes) + load(b + i, lanes), lanes); });
      }
    });
  });
}

void embedding(const EmbeddingParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.table_type, [&](auto table_type) {
    with_type(p.type, [&](auto type) {
      using From = TypeOf<decltype(table_type)>;
      using To = TypeOf<decltype(type)>;
      for (int64_t r = row_begin; r < row_end; ++r) {
        const From* x = row_of<From>(p.table, p.ids[r], p.dim);
        To* y = static_cast<To*>(p.y) + r * p.y_pitch;
        for_vectors(p.dim, [&](int64_t i, auto lanes) { store(y + i, load(x + i, lanes) * p.scale, lanes); });
      }
    });
  });
}

void combine(const CombinationParams& p, int64_t begin, int64_t end) {
  for_vectors(end - begin, [&](int64_t i, auto lanes) {
    F32s sum = load(p.x[0] + begin + i, lanes) * p.coefficient[0];
    for (int t = 1; t < p.terms; ++t) sum += load(p.x[t] + begin + i, lanes) * p.coefficient[t];
    store(p.y + begin + i, sum, lanes);
  });
}

void rotary(const RotaryParams& p, int64_t token_begin, int64_t token_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t n = token_begin; n < token_end; ++n) {
      const float *cos = p.cos + n * p.half, *sin = p.sin + n * p.half;
      for (int64_t h = 0; h < p.heads; ++h) {
        T* low = static_cast<T*>(p.x) + n * p.token_stride + h * p.head_stride;
        T* high = low + p.half;
        for_vectors(p.half, [&](int64_t i, auto lanes) {
          const F32s a = load(low + i, lanes), b = load(high + i, lanes), c = load(cos + i, lanes), s = load(sin + i, lanes);
          store(low + i, a * c - b * s, lanes);
          store(high + i, b * c + a * s, lanes);
        });
      }
    }
  });
}

void exponential(const float* x, float* y, int64_t count) {
  for_vectors(count, [&](int64_t i, auto lanes) { store(y + i, exp(load(x + i, lanes)), lanes); });
}
void hyperbolic_tangent(const float* x, float* y, int64_t count) {
  for_vectors(count, [&](int64_t i, auto lanes) { store(y + i, tanh(load(x + i, lanes)), lanes); });
}
void logistic(const float* x, float* y, int64_t count) {
  for_vectors(count, [&](int64_t i, auto lanes) { store(y + i, sigmoid(load(x + i, lanes)), lanes); });
}

}  // namespace linea::cpu::LINEA_ISA
