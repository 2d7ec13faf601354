// Matrix products and dense convolutions of the CUDA backend: which kernel does what.
//
//   linear     cuBLASLt; what it cannot add itself (16-bit bias, SiLU, GELU, gate, or a residual after any of them) follows in one pass
//   conv2d     the implicit product; 1×1 of stride 1 is a linear
#include <limits>

#include "core/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/implicit_gemm.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/rows.h"

namespace linea {

using namespace cuda;

namespace {

const float* floats(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }
int64_t pitch_of(const Tensor& t) { return t.defined() ? t.row_pitch() : 0; }

// Rows of x that belong to one batch member. A matrix [rows, in] is one member.
int64_t member_rows(const Tensor& x) { return x.rank() >= 3 && x.dim(0) > 0 ? x.rows() / x.dim(0) : x.rows(); }

int checked_int(int64_t value) {
  LINEA_ASSERT(value >= 0 && value <= std::numeric_limits<int>::max());
  return static_cast<int>(value);
}

bool is_aligned(const void* data, int64_t pitch, DType type) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && pitch * bytes_of(type) % 16 == 0;
}

// What products of matrices and of maps share; a matrix is a map of one column.
ImplicitGemmParams product_params(const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const int64_t in = x.dim(-1), members = args.gate.defined() ? args.gate.dim(0) : 1;
  const bool vectorised =
      is_aligned(x.raw(), x.row_pitch(), x.dtype()) && is_aligned(w.data.raw(), in, x.dtype()) && is_aligned(y.raw(), 0, y.dtype());
  return {.x = x.raw(),
          .w = w.data.raw(),
          .residual = args.residual.raw(),
          .y = y.raw(),
          .bias = floats(args.bias),
          .gate = floats(args.gate),
          .x_pitch = x.row_pitch(),
          .residual_pitch = pitch_of(args.residual),
          .y_pitch = y.row_pitch(),
          .gate_pitch = pitch_of(args.gate),
          .rows_per_gate = checked_int(y.rows() / members),
          .pixels = checked_int(y.rows()),
          .in = checked_int(in),
          .out = checked_int(y.dim(-1)),
          .kernel = 1,
          .stride = 1,
          .pad_top = 0,
          .pad_left = 0,
          .enlarge = 0,
          .height = checked_int(x.rows()),
          .width = 1,
          .out_height = checked_int(y.rows()),
          .out_width = 1,
          .vectorised = vectorised,
          .activation = args.activation};
}

}  // namespace

Weight CudaBackend::prepare_linear(const Tensor& w) { return {w.to(device_), w.shape(), nullptr}; }

// [out, in, kh, kw] → [out, kh, kw, in], so that a window's channels meet theirs in order.
Weight CudaBackend::prepare_conv2d(const Tensor& w) {
  const int64_t out = w.dim(0), in = w.dim(1), taps = w.dim(2) * w.dim(3), size = bytes_of(w.dtype());
  const Tensor from = w.to(kCpuDevice);
  const Tensor packed({out, w.dim(2), w.dim(3), in}, w.dtype());
  const auto reorder = [&]<class Bits>(Bits) {
    const Bits* source = static_cast<const Bits*>(from.raw());
    Bits* target = static_cast<Bits*>(packed.raw());
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t c = 0; c < in; ++c) {
        for (int64_t tap = 0; tap < taps; ++tap) target[(o * taps + tap) * in + c] = source[(o * in + c) * taps + tap];
      }
    }
  };
  size == 4 ? reorder(uint32_t{}) : reorder(uint16_t{});
  return {packed.to(device_), w.shape(), nullptr};
}

void CudaBackend::linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const bool has_residual = args.residual.defined();
  const bool library_activation = args.activation == Activation::kNone || (args.activation == Activation::kRelu && !has_residual);
  const bool whole = library_activation && !args.gate.defined() && (!args.bias.defined() || x.dtype() == DType::kF32);
  const Arena::Scope scope(*ctx.arena);
  // The residual must outlive the product, and may be y.
  const Tensor product = whole || !has_residual ? y : ctx.allocate({y.rows(), y.dim(-1)}, y.dtype());
  if (ctx.planning() || y.rows() == 0) return;

  MatmulCall call = {.x = x.raw(),
                     .w = w.data.raw(),
                     .residual = nullptr,
                     .y = product.raw(),
                     .bias = nullptr,
                     .relu = false,
                     .rows = x.rows(),
                     .in = x.dim(-1),
                     .out = y.dim(-1),
                     .x_pitch = x.row_pitch(),
                     .residual_pitch = 0,
                     .y_pitch = product.row_pitch(),
                     .member_rows = member_rows(x),
                     .dtype = x.dtype()};
  if (whole) {
    call.residual = args.residual.raw();
    call.residual_pitch = pitch_of(args.residual);
    call.bias = floats(args.bias);
    call.relu = args.activation == Activation::kRelu;
  }
  const cudaStream_t stream = enter();
  if (!matmul_->run(call, stream)) {
    implicit_gemm("linear", stream, x.dtype(), product_params(x, w, y, args));
    return;
  }
  if (!whole) finish_rows("linear", stream, product, y, args);
}

void CudaBackend::conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const int kernel = static_cast<int>(w.shape[2]), half = kernel / 2;
  if (kernel == 1 && args.stride == 1 && !args.upsample_nearest && args.pad_top <= 0 && args.pad_bottom <= 0) {
    const LinearArgs last = {.bias = args.bias, .activation = args.activation, .residual = args.residual};
    return linear(ctx, x, {w.data, {w.shape[0], w.shape[1]}, nullptr}, y, last);
  }
  if (ctx.planning()) return;
  ImplicitGemmParams p = product_params(x, w, y, {.bias = args.bias, .activation = args.activation, .residual = args.residual});
  p.kernel = kernel;
  p.stride = args.stride;
  p.pad_top = args.pad_top < 0 ? half : args.pad_top;
  p.pad_left = half;
  p.enlarge = args.upsample_nearest ? 1 : 0;
  p.height = checked_int(x.dim(1));
  p.width = checked_int(x.dim(2));
  p.out_height = checked_int(y.dim(1));
  p.out_width = checked_int(y.dim(2));
  implicit_gemm("conv2d", enter(), x.dtype(), p);
}

}  // namespace linea
