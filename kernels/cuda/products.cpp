// Matrix products and dense convolutions of the CUDA backend: which kernel does what.
//
//   linear     a few rows: a kernel bound by memory (small_linear.h, quantized_linear.h). FP8 on Hopper where the rows are not many:
//              gemm_hopper.h. Else cuBLASLt, for matrices in blocks a tile of their values at a time; what it cannot do itself (SiLU, a
//              gate, or a residual after an activation) follows in one pass, but for gates of many rows (gated_weights.h)
//   conv2d     1×1 of stride 1 is a linear; 3×3 with few outputs (conv_few.h); 3×3 on Hopper (conv_hopper.h); else the implicit product
#include <limits>
#include <mutex>

#include "core/error.h"
#include "core/planning_memory.h"
#include "core/threads.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_few.h"
#include "kernels/cuda/conv_hopper.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/depthwise.h"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/gated_weights.h"
#include "kernels/cuda/gemm_hopper.h"
#include "kernels/cuda/implicit_gemm.h"
#include "kernels/cuda/linear_extras.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/quantized_linear.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/small_linear.h"
#include "kernels/cuda/step_program.h"
#include "kernels/cuda/tensor_map.h"

namespace linea {

using namespace cuda;

namespace {

const float* floats(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }
int64_t pitch_of(const Tensor& t) { return t.defined() ? t.row_pitch() : 0; }

// Rows of x that belong to one batch member; 0 for a matrix [rows, in], which is no batch.
int64_t member_rows(const Tensor& x) { return x.rank() >= 3 && x.dim(0) > 0 ? x.rows() / x.dim(0) : 0; }

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

// y = x Wᵀ and nothing else.
MatmulCall product_call(const Tensor& x, const Weight& w, const Tensor& y) {
  return {.x = x.raw(),
          .w = w.data.raw(),
          .residual = nullptr,
          .y = y.raw(),
          .bias = nullptr,
          .activation = Activation::kNone,
          .rows = x.rows(),
          .in = x.dim(-1),
          .out = y.dim(-1),
          .x_pitch = x.row_pitch(),
          .residual_pitch = 0,
          .y_pitch = y.row_pitch(),
          .member_rows = member_rows(x),
          .dtype = y.dtype()};
}

// Rows of x as e4m3 with their scales: x itself where it is so already.
struct NarrowRows {
  Tensor bytes, scales;

  static NarrowRows allocate(Context& ctx, const Tensor& x, const LinearArgs& args) {
    return {args.x_scales.defined() ? x : ctx.allocate({x.rows(), x.dim(-1)}, DType::kF8E4M3), ctx.allocate({x.rows()}, DType::kF32)};
  }

  void fill(cudaStream_t stream, const Tensor& x, const LinearArgs& args) {
    if (!args.x_scales.defined()) return quantize_rows(stream, x, bytes, scales);
    if (is_aligned(args.x_scales.raw(), 0, DType::kF32)) {
      scales = args.x_scales;
      return;
    }
    // Those of some rows of a map begin anywhere, but are read in vectors.
    check(cudaMemcpyAsync(scales.raw(), args.x_scales.raw(), static_cast<size_t>(scales.bytes()), cudaMemcpyDeviceToDevice, stream),
          "linear", "cudaMemcpyAsync");
  }
};

// What the library does not multiply, of rows in 16 bits: a few at a time. It refuses some FP8 products of a test whose few rows are longer
// than 8192, while those of models (64 rows of 16384, 4096 outputs) are among its own.
void linear_by_few_rows(cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  constexpr int64_t kFew = 4;
  LINEA_ASSERT(x.rank() == 2 && !args.x_scales.defined() && !args.gate.defined());
  for (int64_t first = 0; first < x.dim(0); first += kFew) {
    const int64_t count = std::min(kFew, x.dim(0) - first);
    LinearArgs own = args;
    if (args.residual.defined()) own.residual = args.residual.slice(0, first, count);
    const bool submitted = small_linear("linear", stream, x.slice(0, first, count), w, y.slice(0, first, count), own);
    LINEA_ASSERT(submitted);
  }
}

HopperGemm hopper_product(const Tensor& x, const NarrowRows& narrow, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const int64_t members = args.gate.defined() ? args.gate.dim(0) : 1;
  return {.x = narrow.bytes.raw(),
          .w = w.data.raw(),
          .x_scales = floats(narrow.scales),
          .w_scales = floats(row_scales(w)),
          .bias = floats(args.bias),
          .gate = floats(args.gate),
          .residual = args.residual.raw(),
          .y = y.raw(),
          .rows = x.rows(),
          .in = x.dim(-1),
          .out = y.dim(-1),
          .residual_pitch = pitch_of(args.residual),
          .y_pitch = y.row_pitch(),
          .gate_pitch = pitch_of(args.gate),
          .rows_per_gate = std::max<int64_t>(y.rows() / members, 1),
          .type = y.dtype()};
}

// Whether the device is there and has the kernel of gemm_hopper.h; a plan may be made without one.
bool has_hopper_gemm(int device) {
  int count = 0;
  const bool exists = !PlanningMemory::active() || (cudaGetDeviceCount(&count) == cudaSuccess && device < count);
  if (!exists) cudaGetLastError();
  return exists && is_hopper(device) && has_tensor_maps();
}

// Whether the own kernels take an FP8 product, as measured: where rows are few, the library's waves of tiles are filled badly, and what it
// leaves to do between and after them weighs most. How many members a batch has does not count: they have the bits of one alone.
bool is_fused(const HopperGemm& call, int64_t member_rows, Activation activation, int device) {
  constexpr int64_t kFewestRows = 256, kFewRows = 2048, kNarrow = 2048, kWide = 4096, kFewestRowsOfWide = 512;
  const bool wide = call.out > kWide && !call.residual && member_rows >= kFewestRowsOfWide;
  return member_rows >= kFewestRows && member_rows < kFewRows && call.out >= kNarrow && (call.out <= kWide || wide) &&
         activation == Activation::kNone && suits_hopper_gemm(call) && has_hopper_gemm(device);
}

}  // namespace

Tensor cuda::row_scales(const Weight& w) {
  return w.data.dtype() == DType::kF8E4M3 ? static_cast<LinearExtras*>(w.packed.get())->scales : Tensor();
}

Weight CudaBackend::prepare_linear(const Tensor& w) {
  if (is_quantized(w.dtype())) return {in_tiles(w.to(kCpuDevice)).to(device_), w.shape(), nullptr};
  return {w.to(device_), w.shape(), std::make_shared<LinearExtras>()};
}

// cuBLASLt takes a scale for each row on Hopper alone.
bool CudaBackend::multiplies_fp8() const {
  if (PlanningMemory::active()) return true;  // the device need not be there
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_.index), "linear", "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device_.index), "linear", "cudaDeviceGetAttribute");
  return major == 9 && minor == 0;
}

Weight CudaBackend::prepare_fp8_linear(const Tensor& w) {
  constexpr int64_t kSmall = int64_t{1} << 18;  // not worth the rounding
  const bool suits = multiplies_fp8() && (w.dtype() == DType::kBF16 || w.dtype() == DType::kF16) && w.dim(0) % 16 == 0 &&
                     w.dim(1) % 16 == 0 && w.dim(1) <= kLongestQuantizedRow && w.elements() >= kSmall;
  if (!suits) return {};
  const auto extras = std::make_shared<LinearExtras>();
  const Tensor rows = w.to(device_), bytes(w.shape(), DType::kF8E4M3, device_);
  extras->scales = Tensor({w.dim(0)}, DType::kF32, device_);
  if (!PlanningMemory::active()) {
    quantize_rows(enter(), rows, bytes, extras->scales);
    synchronize();  // kernels read weights before they wait for others (chain.cuh)
  }
  return {bytes, w.shape(), extras};
}

// [out, in, kh, kw] → [out, kh, kw, in], so that a window's channels meet theirs in order.
Weight CudaBackend::prepare_conv2d(const Tensor& w) {
  if (PlanningMemory::active()) return {Tensor(w.shape(), w.dtype(), device_), w.shape(), std::make_shared<FoldedFilters>()};
  const int64_t out = w.dim(0), in = w.dim(1), taps = w.dim(2) * w.dim(3), size = bytes_of(w.dtype());
  const Tensor from = w.to(kCpuDevice);
  const Tensor packed({out, w.dim(2), w.dim(3), in}, w.dtype());
  const auto reorder = [&]<class Bits>(Bits) {
    const Bits* source = static_cast<const Bits*>(from.raw());
    Bits* target = static_cast<Bits*>(packed.raw());
    parallel_for(out, 8, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        for (int64_t c = 0; c < in; ++c) {
          for (int64_t tap = 0; tap < taps; ++tap) target[(o * taps + tap) * in + c] = source[(o * in + c) * taps + tap];
        }
      }
    });
  };
  size == 4 ? reorder(uint32_t{}) : reorder(uint16_t{});
  return {packed.to(device_), w.shape(), std::make_shared<FoldedFilters>()};
}

// The bias in the product's type; null when there is no place to keep it.
const void* CudaBackend::library_bias(Context& ctx, const Weight& w, const Tensor& bias, DType type) {
  if (!bias.defined() || type == DType::kF32) return bias.raw();
  auto* kept = static_cast<LinearExtras*>(w.packed.get());
  if (!kept) return nullptr;
  const std::lock_guard lock(kept->mutex);
  const bool another = kept->source.raw() != bias.raw() || kept->bias.dtype() != type;
  if (another) {
    kept->source = bias;  // which keeps its address from being another's
    kept->bias = Tensor(bias.shape(), type, device_);
  }
  if (another || kept->changing) cast(ctx, bias, kept->bias);
  return kept->bias.raw();
}

void CudaBackend::linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  if (StepRecorder* recorder = ctx.planning() ? nullptr : StepRecorder::of(device_.index)) {
    const Projection alone[] = {{.x = x, .w = &w, .y = y, .bias = args.bias, .residual = args.residual}};
    if (recorder->project(alone, args, [=, this, &ctx, &w] { linear(ctx, x, w, y, args); })) return;
  }
  if (is_quantized(w.data.dtype())) return quantized_linear(ctx, x, w, y, args);
  const bool submitted = !ctx.planning() && !args.x_scales.defined() && y.rows() > 0 && small_linear("linear", enter(), x, w, y, args);
  if (!submitted) library_linear(ctx, x, w, y, args);
}

// A few rows straight from the blocks; more by a tile of W at a time in the type of x.
void CudaBackend::quantized_linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  constexpr int64_t kTileBytes = int64_t{64} << 20;
  if (few_rows_fit(x.rows())) {
    if (ctx.planning() || y.rows() == 0) return;
    const Projection alone[] = {{.x = x, .w = &w, .y = y, .bias = args.bias, .residual = args.residual}};
    return quantized_projections("linear", enter(), alone, args);
  }
  const Arena::Scope scope(*ctx.arena);
  const int64_t in = w.shape[1], out = w.shape[0], most = std::max<int64_t>(kTileBytes / (in * bytes_of(x.dtype())), 1);
  const Tensor values = ctx.allocate({std::min(out, most), in}, x.dtype());
  for (int64_t first = 0; first < out; first += most) {
    const int64_t count = std::min(most, out - first);
    const auto part = [&](const Tensor& t) { return t.defined() ? t.slice(-1, first, count) : t; };
    const Tensor tile = values.slice(0, 0, count);
    if (!ctx.planning()) dequantize_rows("linear", enter(), w.data, first, count, tile);
    const LinearArgs own = {
        .bias = part(args.bias), .activation = args.activation, .residual = part(args.residual), .gate = part(args.gate)};
    library_linear(ctx, x, {tile, tile.shape(), nullptr}, part(y), own);
  }
}

void CudaBackend::library_linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const Arena::Scope scope(*ctx.arena);
  NarrowRows narrow;
  const bool is_fp8 = w.data.dtype() == DType::kF8E4M3;
  if (is_fp8) {
    narrow = NarrowRows::allocate(ctx, x, args);
    HopperGemm own = hopper_product(x, narrow, w, y, args);
    if (is_fused(own, member_rows(x), args.activation, device_.index)) {
      if (ctx.planning()) return;
      const cudaStream_t stream = enter();
      narrow.fill(stream, x, args);
      own.x_scales = floats(narrow.scales);
      return hopper_gemm(stream, own, device_.index);
    }
  }
  const bool has_residual = args.residual.defined(), folds = folds_gate(x, w, args);
  const bool library_activation = args.activation == Activation::kNone || (args.activation != Activation::kSilu && !has_residual);
  const bool whole = library_activation && !args.gate.defined() && (!args.bias.defined() || y.dtype() == DType::kF32 || w.packed);
  // The residual must outlive the product, and may be y.
  const Tensor product = whole || folds || !has_residual ? y : ctx.allocate({y.rows(), y.dim(-1)}, y.dtype());
  const GatedWeights gated = folds ? GatedWeights::allocate(ctx, w, args, y.dtype()) : GatedWeights();
  if (ctx.planning() || y.rows() == 0) return;
  const cudaStream_t stream = enter();

  MatmulCall call = product_call(x, w, product);
  if (whole) {
    call.residual = args.residual.raw();
    call.residual_pitch = pitch_of(args.residual);
    call.bias = library_bias(ctx, w, args.bias, y.dtype());
    call.activation = args.activation;
  }
  if (is_fp8) {
    narrow.fill(stream, x, args);
    call.x = narrow.bytes.raw();
    call.x_pitch = x.dim(-1);
    call.x_scales = floats(narrow.scales);
    call.w_scales = floats(row_scales(w));
  }
  if (!(folds ? gated_products(*matmul_, stream, call, w, args, gated) : matmul_->run(call, stream))) {
    if (is_fp8) return linear_by_few_rows(stream, x, w, y, args);
    implicit_gemm("linear", stream, x.dtype(), product_params(x, w, y, args));
    return;
  }
  if (!whole && !folds) finish_rows("linear", stream, product, y, args);
}

// Products of 16 bits into an f32 stream, which the library adds itself; the rest is composed of linear and elementwise ops.
bool CudaBackend::project_into_f32(const Projection& p) {
  const bool suits =
      p.function == Function::kIdentity && p.y.dtype() == DType::kF32 && p.x.dtype() != DType::kF32 && p.w->data.dtype() == p.x.dtype();
  return suits && matmul_->run({.x = p.x.raw(),
                                .w = p.w->data.raw(),
                                .residual = p.residual.raw(),
                                .y = p.y.raw(),
                                .bias = p.bias.raw(),
                                .activation = Activation::kNone,
                                .rows = p.x.rows(),
                                .in = p.x.dim(1),
                                .out = p.y.dim(1),
                                .x_pitch = p.x.row_pitch(),
                                .residual_pitch = pitch_of(p.residual),
                                .y_pitch = p.y.row_pitch(),
                                .member_rows = 0,
                                .dtype = p.x.dtype(),
                                .f32_output = true},
                               enter());
}

void CudaBackend::project(Context& ctx, std::span<const Projection> projections) {
  if (ctx.planning()) return Backend::project(ctx, projections);  // the most that is needed
  if (projections.empty() || projections[0].x.rows() == 0) return;
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) {
    const std::vector<Projection> kept(projections.begin(), projections.end());
    if (recorder->project(projections, {}, [=, this, &ctx] { project(ctx, kept); })) return;
  }
  std::vector<Projection> whole, blocks;
  for (const Projection& p : projections) {
    (is_quantized(p.w->data.dtype()) && few_rows_fit(p.x.rows()) ? blocks : whole).push_back(p);
  }
  if (!blocks.empty()) quantized_projections("project", enter(), blocks, {}, &whole);
  if (whole.empty() || small_projections(enter(), whole)) return;
  for (const Projection& p : whole) {
    if (!project_into_f32(p)) Backend::project(ctx, {&p, 1});
  }
}

// SiLU is not among the library's epilogues, so the convolution activates what it loads. Rows of e4m3 are made from halves: where FP8
// products have a kernel of our own, whose halves end at the largest, it gives them.
void CudaBackend::expand_depthwise(Context& ctx, const Tensor& x, const Weight& w, const Tensor& filters, const ProductRows& y,
                                   const ExpandArgs& args) {
  const Arena::Scope scope(*ctx.arena);
  const Tensor wide = ctx.allocate({x.dim(0), x.dim(1), x.dim(2), w.shape[0]});
  const DepthwiseInput input = {args.bias, args.activation};
  const Tensor plain(y.values.raw(), y.values.shape(), wide.dtype(), device_, y.values.owner());
  const bool narrow = y.scales.defined(), windows = narrow && is_window_depthwise(wide, filters, plain, args.depthwise, input);
  if (narrow && !windows) {
    const Tensor rows = ctx.allocate(plain.shape());
    expand_depthwise(ctx, x, w, filters, rows, args);
    if (!ctx.planning()) quantize_rows(enter(), rows, y.values, y.scales);
    return;
  }
  if (!narrow && !is_tiled_depthwise(wide, filters, plain, args.depthwise, input)) {
    return Backend::expand_depthwise(ctx, x, w, filters, y, args);
  }
  Tensor map(wide.raw(), wide.shape(), DType::kF16, device_, wide.owner());
  const LinearArgs product = {.x_scales = args.x_scales};
  const bool gives_halves = windows && args.x_scales.defined() &&
                            is_fused(hopper_product(x, NarrowRows(), w, map, product), member_rows(x), Activation::kNone, device_.index);
  if (!gives_halves) map = wide;
  linea::linear(ctx, x, w, map, product);
  const Tensor exponents = narrow ? ctx.allocate({exponent_bytes(plain)}, DType::kI8) : Tensor();
  if (ctx.planning() || plain.elements() == 0) return;
  if (!narrow) return tiled_depthwise(enter(), map, filters, plain, args.depthwise, input);
  window_depthwise_rows(enter(), map, filters, y, exponents, args.depthwise, input);
}

void CudaBackend::conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const int kernel = static_cast<int>(w.shape[2]), half = kernel / 2;
  if (kernel == 1 && args.stride == 1 && !args.upsample_nearest && args.pad_top <= 0 && args.pad_bottom <= 0) {
    const LinearArgs last = {.bias = args.bias, .activation = args.activation, .residual = args.residual};
    return linear(ctx, x, {w.data, {w.shape[0], w.shape[1]}, nullptr}, y, last);
  }
  if (ctx.planning()) return;
  if (is_few_conv(x, w, y, args)) return few_conv(enter(), x, w, y, args);
  if (is_hopper_conv(x, w, y, args)) return hopper_conv(enter(), x, w, y, args);
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
