// kernels/cuda/gated_weights.cu: weights, scales and biases times a gate.
//
// Maths    matrix: y[o, i] = g[o] x[o, i];   vectors: y[m, o] = g[m, o] x[o]
// Shape    SANA-1.6B: matrices of 2240×2240 and 2240×5600, vectors of 2240.
// Tiles    a thread takes 8 neighbouring values.
// Traffic  a matrix is read and written once: 50 MB for the larger; its copy is read by the product from the second-level cache, mostly.
// Roofline bound by memory: 17 µs at 2.98 TB/s for that one.
// Accuracy f32 between load and store, one rounding.
#include "kernels/cuda/gated_weights.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/small_linear.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";

template <class T> struct GateMatrix {
  const T* x;
  T* y;
  const float* gate;
  int64_t pitch;

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float v[kWidth];
    load(x + row * pitch + i, v);
    const float factor = gate[row];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] *= factor;
    store(y + row * pitch + i, v);
  }
};

template <class T> struct GateVector {
  const float *x, *gate;
  T* y;
  int64_t gate_pitch, pitch;

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float v[kWidth], factors[kWidth];
    load(x + i, v);
    load(gate + row * gate_pitch + i, factors);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] *= factors[j];
    store(y + row * pitch + i, v);
  }
};

void gate_matrix(cudaStream_t stream, const Tensor& x, const float* gate, const Tensor& y) {
  with_type(x.dtype(), kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const GateMatrix<T> op = {pointer<T>(x), pointer<T>(y), gate, x.row_pitch()};
    map_rows(kOp, stream, op, x.rows(), x.dim(-1), has_vectors(x.dim(-1), {&x, &y}));
  });
}

void gate_vector(cudaStream_t stream, const Tensor& x, const Tensor& gate, const Tensor& y) {
  with_type(y.dtype(), kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const GateVector<T> op = {floats(x), floats(gate), pointer<T>(y), gate.row_pitch(), y.row_pitch()};
    map_rows(kOp, stream, op, y.rows(), y.dim(-1), has_vectors(y.dim(-1), {&x, &gate, &y}));
  });
}

}  // namespace

bool folds_gate(const Tensor& x, const Weight& w, const LinearArgs& args) {
  constexpr int64_t kFewestRows = 2048;  // below, a pass takes no longer than the launch of anything
  if (!args.gate.defined() || args.activation != Activation::kNone || x.rank() < 3 || x.dim(0) % args.gate.dim(0) != 0) return false;
  const int64_t member_rows = x.rows() / x.dim(0), in = w.shape[1];
  if (w.data.dtype() == DType::kF8E4M3) return member_rows % 4 == 0;  // the scales of its rows begin at 16 bytes
  return w.data.dtype() == DType::kBF16 && member_rows >= kFewestRows && 3 * member_rows >= 2 * in;
}

GatedWeights GatedWeights::allocate(Context& ctx, const Weight& w, const LinearArgs& args, DType type) {
  const int64_t gates = args.gate.dim(0), out = w.shape[0];
  GatedWeights gated;
  if (w.data.dtype() == DType::kF8E4M3) {
    gated.scales = ctx.allocate({gates, out}, DType::kF32);
  } else {
    gated.matrix = ctx.allocate(w.shape, w.data.dtype());
  }
  if (args.bias.defined()) gated.bias = ctx.allocate({gates, out}, type);
  return gated;
}

bool gated_products(Matmul& matmul, cudaStream_t stream, const MatmulCall& call, const Weight& w, const LinearArgs& args,
                    const GatedWeights& gated) {
  if (gated.scales.defined()) gate_vector(stream, row_scales(w), args.gate, gated.scales);
  if (gated.bias.defined()) gate_vector(stream, args.bias, args.gate, gated.bias);
  const int64_t gates = args.gate.dim(0), rows = call.rows / gates;
  for (int64_t g = 0; g < gates; ++g) {
    const auto from = [&](const void* data, int64_t pitch, DType type) {
      return static_cast<const char*>(data) + g * rows * pitch * bytes_of(type);
    };
    MatmulCall part = call;
    part.rows = rows;
    part.x = from(call.x, call.x_pitch, call.x_type());
    part.y = const_cast<char*>(from(call.y, call.y_pitch, call.dtype));
    part.residual_pitch = args.residual.row_pitch();
    part.residual = from(args.residual.raw(), part.residual_pitch, call.dtype);
    if (gated.bias.defined()) part.bias = gated.bias.select(0, g).raw();
    if (gated.scales.defined()) {
      part.x_scales = call.x_scales + g * rows;
      part.w_scales = gated.scales.select(0, g).data<float>();
    } else {
      gate_matrix(stream, w.data, args.gate.select(0, g).data<float>(), gated.matrix);
      part.w = gated.matrix.raw();
    }
    if (!matmul.run(part, stream)) return false;
  }
  return true;
}

}  // namespace linea::cuda
