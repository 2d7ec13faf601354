// Convolutions of the CPU backend.
//
//   1×1 of stride 1                                matrix products
//   3×3 of stride 1, also of enlarged maps, unless
//   of bf16 with AVX-512 or of few channels        tiles, winograd_conv.h
//   all others                                     strips of rows, one oneDNN primitive each, built for one thread (or gathered_conv.h,
//                                                  where those are not steady)
//
// Strips have the bits of the whole map (tested), so neither the number of threads nor a caller's own strips change a result.
//
// For oneDNN, nearest-neighbour enlargement followed by a 3×3 convolution is four 2×2 convolutions of the small map, one for each parity of
// the output pixel, with sums of neighbouring filter rows and columns: output row 2h reads small rows h-1 (filter row 0) and h (rows 1 +
// 2), output row 2h+1 reads h (rows 0 + 1) and h+1 (row 2). That is 4/9 of the multiplications, and the enlarged map never exists.
#include <cstring>
#include <limits>
#include <mutex>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/gathered_conv.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/winograd_conv.h"

namespace linea {

using namespace cpu;

namespace {

constexpr int64_t kStripBytes = 1 << 20;  // of scratch for one strip: about a second-level cache

// Whether a map of this type is convolved as it is, and not as a copy in f32.
bool is_native(const Kernels& kernels, Element type) {
  return type == Element::kF32 || (type == Element::kBF16 && convolves_bf16(kernels));
}

std::unique_ptr<onednn::Filter> onednn_filter(const Tensor& plain) {
  return std::make_unique<onednn::Filter>(std::shared_ptr<const void>(plain.owner(), plain.raw()), plain.dim(0), plain.dim(1), plain.dim(2),
                                          plain.dim(3), element_of(plain));
}

// A filter bank in one of the two forms.
struct ConvFilter {
  ConvFilter(const Kernels& kernels, const Tensor& plain) {
    if (gathers_convolutions(kernels)) {
      matrix = filter_matrix(plain);
      kernel = plain.dim(2);
    } else {
      direct = onednn_filter(plain);
    }
  }
  void convolve(const Kernels& kernels, const onednn::Convolution& call) const {
    direct ? onednn::convolve(*direct, call) : gathered_convolve(kernels, matrix, kernel, call);
  }

  std::unique_ptr<onednn::Filter> direct;
  Tensor matrix;
  int64_t kernel = 0;
};

// What Weight::packed of a convolution holds: forms that are made at the first use.
struct ConvWeights {
  explicit ConvWeights(Tensor filters) : plain(std::move(filters)), winograd(plain) {}

  Tensor plain;  // [out, in, kh, kw] of the type that convolutions are computed in
  WinogradFilter winograd;
  std::once_flag direct_once, folded_once;
  std::unique_ptr<ConvFilter> direct;
  std::unique_ptr<onednn::Filter> folded[2][2];  // by parity of the output row and column
};

// The 2×2 filter of one parity: neighbouring rows and columns of the 3×3 that meet the same pixel are added, in f32.
std::unique_ptr<onednn::Filter> fold(const Tensor& plain, int row_parity, int column_parity) {
  const int64_t out = plain.dim(0), in = plain.dim(1);
  const Tensor folded({out, in, 2, 2}, plain.dtype());
  const auto target = [](int k, int parity) { return parity == 0 ? (k == 0 ? 0 : 1) : (k == 2 ? 1 : 0); };
  for (int64_t o = 0; o < out; ++o) {  // one at a time, so that next to nothing lies there in f32
    const Tensor wide = plain.slice(0, o, 1).to(DType::kF32), sums({1, in, 2, 2}, DType::kF32);
    std::fill_n(sums.data<float>(), sums.elements(), 0.0f);
    for (int64_t i = 0; i < in; ++i) {
      const float* w = wide.data<float>() + i * 9;
      float* f = sums.data<float>() + i * 4;
      for (int ky = 0; ky < 3; ++ky) {
        for (int kx = 0; kx < 3; ++kx) f[target(ky, row_parity) * 2 + target(kx, column_parity)] += w[ky * 3 + kx];
      }
    }
    const Tensor row = sums.to(plain.dtype());
    std::memcpy(folded.slice(0, o, 1).raw(), row.raw(), static_cast<size_t>(row.bytes()));
  }
  return onednn_filter(folded);
}

// Rows of a map as f32.
void widen_rows(const Kernels& kernels, const Tensor& x, int64_t member, int64_t row, int64_t rows, float* out) {
  const int64_t row_elements = x.dim(2) * x.dim(3);
  EpilogueParams p = {};
  p.x = offset(static_cast<const void*>(x.raw()), (member * x.dim(1) + row) * row_elements, element_of(x));
  p.y = out;
  p.x_pitch = p.y_pitch = p.dim = row_elements;
  p.rows_per_gate = 1;
  p.x_type = element_of(x);
  kernels.epilogue(p, 0, rows);
}

// Pixels of f32 sums → y, every `step`-th pixel from `y`.
struct Finish {
  const float* bias;
  Act act;
  Element type;
};
void finish_pixels(const Kernels& kernels, const Finish& f, const float* sums, const void* residual, void* y, int64_t pixels,
                   int64_t channels, int64_t step) {
  EpilogueParams p = {};
  p.x = sums;
  p.residual = residual;
  p.y = y;
  p.bias = f.bias;
  p.x_pitch = channels;
  p.residual_pitch = p.y_pitch = step * channels;
  p.rows_per_gate = 1;
  p.dim = channels;
  p.act = f.act;
  p.y_type = f.type;
  kernels.epilogue(p, 0, pixels);
}

// The rows of a map of `height` that filter rows [first, last) touch, and the zeros that stand for those outside.
struct InputRows {
  int64_t begin, end, pad_top, pad_bottom;
};
InputRows input_rows(int64_t first, int64_t last, int64_t height) {
  const int64_t begin = std::clamp<int64_t>(first, 0, height), end = std::clamp<int64_t>(last, begin, height);
  return {begin, end, begin - first, last - end};
}

}  // namespace

Weight CpuBackend::prepare_conv2d(const Tensor& w) {
  if (w.dim(2) == 1) {
    Weight weight = prepare_linear(w.reshape({w.dim(0), w.dim(1)}));
    weight.shape = w.shape();
    return weight;
  }
  return {w, w.shape(), std::make_shared<ConvWeights>(is_native(kernels_, element_of(w)) ? w : w.to(DType::kF32))};
}

int64_t CpuBackend::folded_bytes(const Weight& w) const {
  if (uses_winograd(kernels_, element_of(w.data), w.shape[1], true)) return winograd_filter_bytes(kernels_, w.shape[0], w.shape[1], true);
  return Backend::folded_bytes(w);
}

int64_t CpuBackend::transformed_bytes(const Weight& w) const {
  if (w.shape[2] != 3 || !uses_winograd(kernels_, element_of(w.data), w.shape[1], false)) return 0;
  return winograd_filter_bytes(kernels_, w.shape[0], w.shape[1], false);
}

// What few filters oneDNN gets besides, where tiles serve the others, are small.
bool CpuBackend::library_keeps_filters(DType type) const {
  return !uses_winograd(kernels_, element_of(type), std::numeric_limits<int64_t>::max(), false);
}

void CpuBackend::conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const int64_t kernel = w.shape[2], half = kernel / 2, in = x.dim(3), out = y.dim(3);
  const int64_t pad_top = args.pad_top < 0 ? half : args.pad_top;
  if (kernel == 3 && args.stride == 1 && uses_winograd(kernels_, element_of(x), in, args.upsample_nearest)) {
    return static_cast<ConvWeights*>(w.packed.get())->winograd.convolve(ctx, kernels_, x, y, args);
  }
  if (args.upsample_nearest) return upsampled_conv2d(ctx, x, w, y, args);
  if (kernel == 1 && args.stride == 1 && pad_top == 0 && y.dim(1) == x.dim(1)) {
    Weight matrix = w;
    matrix.shape = Shape({out, in});
    return linear(ctx, x, matrix, y, {.bias = args.bias, .activation = args.activation, .residual = args.residual, .gate = {}});
  }
  LINEA_ASSERT(kernel > 1);

  const Element type = element_of(x);
  const bool native = is_native(kernels_, type);
  const int64_t batch = x.dim(0), height = x.dim(1), width = x.dim(2), out_height = y.dim(1), out_width = y.dim(2);
  // Natively each thread takes one strip of each map; otherwise strips are as high as their f32 copies fit the scratch.
  const int64_t row_floats = args.stride * width * in + out_width * out;
  int64_t strip = ceil_div(out_height, std::max<int64_t>(1, ceil_div(thread_count(), batch)));
  if (!native) strip = std::min(strip, std::max<int64_t>(1, kStripBytes / 4 / row_floats));
  const int64_t wide_input = ((strip - 1) * args.stride + kernel) * width * in;
  const Arena::Scope scope(*ctx.arena);
  ThreadBuffers buffers(ctx, native ? 0 : wide_input + strip * out_width * out);
  if (ctx.planning()) return;

  ConvWeights& weights = *static_cast<ConvWeights*>(w.packed.get());
  std::call_once(weights.direct_once, [&] { weights.direct = std::make_unique<ConvFilter>(kernels_, weights.plain); });
  const bool in_place = args.residual.defined() && args.residual.raw() == y.raw();
  const int64_t strips = ceil_div(out_height, strip);
  parallel_for(batch * strips, 1, [&](int64_t begin, int64_t end) {
    float* wide_x = buffers.take();
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / strips, row = task % strips * strip, rows = std::min(strip, out_height - row);
      const int64_t first = row * args.stride - pad_top;
      const InputRows input = input_rows(first, first + (rows - 1) * args.stride + kernel, height);
      const int64_t y_offset = (b * out_height + row) * out_width * out;
      onednn::Convolution call = {.x = offset(static_cast<const void*>(x.raw()), (b * height + input.begin) * width * in, type),
                                  .y = offset(y.raw(), y_offset, type),
                                  .bias = floats(args.bias),
                                  .height = input.end - input.begin,
                                  .width = width,
                                  .out_height = rows,
                                  .out_width = out_width,
                                  .stride = args.stride,
                                  .pad_top = input.pad_top,
                                  .pad_bottom = input.pad_bottom,
                                  .pad_left = half,
                                  .pad_right = (out_width - 1) * args.stride + kernel - width - half,
                                  .act = act_of(args.activation),
                                  .accumulate = args.residual.defined(),
                                  .y_type = type};
      const void* residual = offset(static_cast<const void*>(args.residual.raw()), y_offset, type);
      if (native) {
        if (args.residual.defined() && !in_place) {
          std::memcpy(call.y, residual, static_cast<size_t>(rows * out_width * out * cpu::bytes_of(type)));
        }
        weights.direct->convolve(kernels_, call);
        continue;
      }
      widen_rows(kernels_, x, b, input.begin, call.height, wide_x);
      float* sums = wide_x + wide_input;
      void* target = call.y;
      call.x = wide_x;
      call.y = sums;
      call.bias = nullptr;
      call.act = Act::kNone;
      call.accumulate = false;
      call.y_type = Element::kF32;
      weights.direct->convolve(kernels_, call);
      finish_pixels(kernels_, {floats(args.bias), act_of(args.activation), type}, sums, residual, target, rows * out_width, out, 1);
    }
  });
}

void CpuBackend::upsampled_conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const Element type = element_of(x);
  const int64_t batch = x.dim(0), height = x.dim(1), width = x.dim(2), in = x.dim(3), out = y.dim(3), out_height = y.dim(1);
  const int64_t first_centre = 1 - (args.pad_top < 0 ? 1 : args.pad_top);  // the enlarged row that output row 0 is centred on
  LINEA_ASSERT(is_native(kernels_, type) && w.shape[2] == 3 && args.stride == 1 && first_centre >= 0 &&
               first_centre + out_height <= 2 * height);

  // A task is a strip of small rows: one row of sums of each parity after the other.
  const int64_t strip = std::clamp<int64_t>(kStripBytes / 4 / (width * out), 1, ceil_div(height, std::max(1, thread_count())));
  const Arena::Scope scope(*ctx.arena);
  ThreadBuffers buffers(ctx, strip * width * out);
  if (ctx.planning()) return;

  ConvWeights& weights = *static_cast<ConvWeights*>(w.packed.get());
  std::call_once(weights.folded_once, [&] {
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) weights.folded[i][j] = fold(weights.plain, i, j);
    }
  });
  const Finish finish = {floats(args.bias), act_of(args.activation), type};
  const int64_t strips = ceil_div(height, strip);
  parallel_for(batch * strips, 1, [&](int64_t begin, int64_t end) {
    float* sums = buffers.take();
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / strips, strip_begin = task % strips * strip, strip_end = std::min(height, strip_begin + strip);
      for (int i = 0; i < 2; ++i) {
        // Small rows whose output row 2h + i exists.
        const int64_t low = std::max(strip_begin, ceil_div(first_centre - i, 2));
        const int64_t high = std::min(strip_end, (first_centre + out_height - 1 - i) / 2 + 1);
        if (low >= high) continue;
        const InputRows input = input_rows(low - 1 + i, high + i, height);
        for (int j = 0; j < 2; ++j) {
          const void* source = offset(static_cast<const void*>(x.raw()), (b * height + input.begin) * width * in, type);
          onednn::convolve(*weights.folded[i][j], {.x = source,
                                                   .y = sums,
                                                   .bias = nullptr,
                                                   .height = input.end - input.begin,
                                                   .width = width,
                                                   .out_height = high - low,
                                                   .out_width = width,
                                                   .stride = 1,
                                                   .pad_top = input.pad_top,
                                                   .pad_bottom = input.pad_bottom,
                                                   .pad_left = 1 - j,
                                                   .pad_right = j,
                                                   .act = Act::kNone,
                                                   .accumulate = false,
                                                   .y_type = Element::kF32});
          for (int64_t h = low; h < high; ++h) {
            const int64_t y_offset = ((b * out_height + 2 * h + i - first_centre) * 2 * width + j) * out;
            finish_pixels(kernels_, finish, sums + (h - low) * width * out,
                          offset(static_cast<const void*>(args.residual.raw()), y_offset, type), offset(y.raw(), y_offset, type), width,
                          out, 2);
          }
        }
      }
    }
  });
}

void CpuBackend::depthwise_conv2d(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args) {
  constexpr int64_t kRows = kDepthwiseRows, kChannels = kDepthwiseChannels;
  const DepthwiseParams p = {.x = x.raw(),
                             .w = floats(w),
                             .bias = floats(args.bias),
                             .y = y.raw(),
                             .height = x.dim(1),
                             .width = x.dim(2),
                             .channels = x.dim(3),
                             .out_height = y.dim(1),
                             .kernel = static_cast<int>(w.dim(0)),
                             .pad_top = args.pad_top < 0 ? static_cast<int>(w.dim(0) / 2) : args.pad_top,
                             .gated = args.gated,
                             .type = element_of(x)};
  const int64_t row_blocks = ceil_div(y.dim(1), kRows), channel_blocks = ceil_div(y.dim(3), kChannels);
  parallel_for(x.dim(0) * row_blocks * channel_blocks, grain_of(kRows * kChannels * p.width), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t channel = task % channel_blocks * kChannels, row = task / channel_blocks % row_blocks * kRows;
      kernels_.depthwise(p, task / channel_blocks / row_blocks, row, std::min(y.dim(1), row + kRows), channel,
                         std::min(y.dim(3), channel + kChannels));
    }
  });
}

}  // namespace linea
