// kernels/cuda/gated_weights.cu: weights, scales and biases times a gate.
//
// Maths    matrix: y[o, i] = g[o] x[o, i];   vectors: y[m, o] = g[m, o] x[o]
// Shape    SANA-1.6B: matrices of 2240×2240 and 2240×5600, vectors of 2240.
// Tiles    a block takes kTogether vectors of 8 values for each of its threads, all of them under way at a time; further blocks,
//          if any, the vectors of all gates.
// Traffic  a matrix is read and written once: 50 MB for the larger; its copy is read by the product from the second-level cache, mostly.
// Roofline bound by memory: 17 µs at 2.98 TB/s for that one.
// Accuracy f32 between load and store, one rounding.
#include "kernels/cuda/gated_weights.h"

#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/small_linear.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";
constexpr int kThreads = 256, kTogether = 4;

template <class T> struct GateParams {
  // y[o, i] = gate[o] x[o, i], in vectors; by the first blocks, if any.
  const T* x;
  T* y;
  const float* gate;
  uint32_t vectors, row_vectors, matrix_blocks;
  // What the gates make of scales and bias, either of which may be null; a row for each gate, `gate_pitch` apart in `gates`.
  const float *scales, *bias, *gates;
  float* gated_scales;
  T* gated_bias;
  int64_t gate_pitch, bias_pitch;
  uint32_t out, vector_elements;
};

template <int kWidth, class T> __device__ void gate_matrix(const GateParams<T>& p) {
  const uint32_t first = blockIdx.x * (kThreads * kTogether) + threadIdx.x;
  float v[kTogether][kWidth];
#pragma unroll
  for (int j = 0; j < kTogether; ++j) {
    const uint32_t i = first + static_cast<uint32_t>(j * kThreads);
    if (i < p.vectors) load(p.x + static_cast<int64_t>(i) * kWidth, v[j]);
  }
#pragma unroll
  for (int j = 0; j < kTogether; ++j) {
    const uint32_t i = first + static_cast<uint32_t>(j * kThreads);
    if (i >= p.vectors) return;
    const float factor = p.gate[i / p.row_vectors];
#pragma unroll
    for (float& value : v[j]) value *= factor;
    store(p.y + static_cast<int64_t>(i) * kWidth, v[j]);
  }
}

template <int kWidth, class T> __global__ void __launch_bounds__(kThreads) gate_kernel(const __grid_constant__ GateParams<T> p) {
  follow_previous();
  if (blockIdx.x < p.matrix_blocks) return gate_matrix<kWidth>(p);
  const uint32_t i = (blockIdx.x - p.matrix_blocks) * kThreads + threadIdx.x;
  if (i >= p.vector_elements) return;
  const uint32_t row = i / p.out, o = i % p.out;
  const float factor = p.gates[row * p.gate_pitch + o];
  if (p.scales) p.gated_scales[i] = p.scales[o] * factor;
  if (p.bias) p.gated_bias[row * p.bias_pitch + o] = from_float<T>(p.bias[o] * factor);
}

// The matrix times gate `index`; with the first one the vectors of all gates.
void make_gated(cudaStream_t stream, const Weight& w, const LinearArgs& args, const GatedWeights& gated, int64_t index) {
  const DType type = gated.matrix.defined() ? gated.matrix.dtype() : gated.bias.defined() ? gated.bias.dtype() : DType::kBF16;
  with_type(type, kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    GateParams<T> p = {};
    const bool wide = gated.matrix.defined() && has_vectors(w.shape[1], {&w.data, &gated.matrix});
    if (gated.matrix.defined()) {
      const int64_t width = wide ? kVector : 1, vectors = w.shape.elements() / width;
      LINEA_ASSERT(vectors < std::numeric_limits<int32_t>::max() && w.data.is_contiguous());
      p.x = pointer<T>(w.data);
      p.y = pointer<T>(gated.matrix);
      p.gate = args.gate.select(0, index).data<float>();
      p.vectors = static_cast<uint32_t>(vectors);
      p.row_vectors = static_cast<uint32_t>(w.shape[1] / width);
      p.matrix_blocks = static_cast<uint32_t>(ceil_div(vectors, kThreads * kTogether));
    }
    if (index == 0 && (gated.scales.defined() || gated.bias.defined())) {
      p.gates = floats(args.gate);
      p.gate_pitch = args.gate.row_pitch();
      p.scales = gated.scales.defined() ? floats(row_scales(w)) : nullptr;
      p.gated_scales = pointer<float>(gated.scales);
      p.bias = gated.bias.defined() ? floats(args.bias) : nullptr;
      p.gated_bias = pointer<T>(gated.bias);
      p.bias_pitch = w.shape[0];
      p.out = static_cast<uint32_t>(w.shape[0]);
      p.vector_elements = static_cast<uint32_t>(args.gate.dim(0) * w.shape[0]);
    }
    const auto blocks = static_cast<unsigned>(p.matrix_blocks + ceil_div(p.vector_elements, kThreads));
    if (blocks == 0) return;
    launch_chained(kOp, wide ? gate_kernel<kVector, T> : gate_kernel<1, T>, blocks, kThreads, 0, stream, p);
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
    make_gated(stream, w, args, gated, g);
    if (gated.bias.defined()) part.bias = gated.bias.select(0, g).raw();
    if (gated.scales.defined()) {
      part.x_scales = call.x_scales + g * rows;
      part.w_scales = gated.scales.select(0, g).data<float>();
    } else {
      part.w = gated.matrix.raw();
    }
    if (!matmul.run(part, stream)) return false;
  }
  return true;
}

}  // namespace linea::cuda
