// kernels/cuda/depthwise_tiled.cu: 3×3 and 5×5 depthwise convolutions of 16-bit types: that of DC-AE's multi-scale attention, and
// GLUMBConv's, gated and with the activation before it, on maps that are too narrow for depthwise_window.cu.
//
// Maths    a = x, or silu(x + b_in) rounded to the type; 0 outside the map;  y[h, w, c] = u[c], or gated u[c] · silu(u[C/2 + c]), with
//          u[h, w, c] = bias[c] + Σ_{ky,kx} w[ky, kx, c] a[h + ky - top, w + kx - k/2, c]
// Shape    DC-AE at 1024²: 128×128 pixels, C = 1536, k = 5. SANA: maps of fewer than 8 columns, C = 11200, k = 3.
// Tiles    block = 16×16 pixels × 32 channels and, gated, the 32 that gate them. The pixels of a with their halo lie in shared memory, each
//          activated once if need be: 41 KiB gated, 25 KiB for 5×5. A thread then walks down a column with 2 (+ 2) channels, filters in
//          registers.
// Traffic  x once and y once from memory: 50 + 50 MB; neighbours' halos (56 %) come from the second-level cache.
// Roofline bound by memory: 36 µs at 2.8 TB/s.
// Accuracy f32; each sum runs over ky, and within one over kx, wherever the tile begins: strips equal the whole.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/depthwise.h"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"

namespace linea::cuda {
namespace {

constexpr int kThreads = 256, kSide = 16, kChannels = 32, kChunk = 8;
constexpr int kAhead = 4;  // reads of a thread that are on their way together

// The tile of a k×k filter: kPlanes = 2 where a second plane gates the first.
template <int kKernel, int kPlanes> struct Tile {
  static constexpr int kHalo = kSide + kKernel - 1;
  static constexpr int kPlane = kHalo * kHalo * kChannels + kChannels;  // the planes' pixels begin in different banks
  static constexpr int kChunks = kPlanes * kChannels / kChunk;          // 16-byte accesses of a pixel, those of the gate after the others
};

template <class T> struct TiledDepthwiseParams {
  const T* x;
  const float *w, *bias, *input_bias;  // biases may be null
  T* y;
  int64_t channels, out_channels;
  int height, width, out_height, pad_top, column_tiles, row_tiles;
};

// Where a thread's share of the tile's pixels, eight channels of every kStep-th, lies in x and in the tile.
template <int kKernel, int kPlanes, class T> struct Share {
  using L = Tile<kKernel, kPlanes>;
  static constexpr int kStep = kThreads / L::kChunks, kPixels = L::kHalo * L::kHalo;

  const T* source;
  T* target;
  int first, first_row, first_column, width, channels;  // offsets within an image fit 32 bits
  unsigned height;

  __device__ Share(const TiledDepthwiseParams<T>& p, T* tile, const T* image, int first_row, int first_column, int64_t channel)
      : first(static_cast<int>(threadIdx.x) / L::kChunks),
        first_row(first_row),
        first_column(first_column),
        width(p.width),
        channels(static_cast<int>(p.channels)),
        height(static_cast<unsigned>(p.height)) {
    const int chunk = static_cast<int>(threadIdx.x) % L::kChunks, plane = chunk / (kChannels / kChunk),
              within = chunk % (kChannels / kChunk) * kChunk;
    source = image + plane * p.out_channels + channel + within;
    target = tile + plane * L::kPlane + within;
  }
  __device__ bool find(int pixel, const T*& from) const {
    const int row = first_row + pixel / L::kHalo, column = first_column + pixel % L::kHalo;
    const bool inside = static_cast<unsigned>(row) < height && static_cast<unsigned>(column) < static_cast<unsigned>(width);
    from = source + (inside ? (row * width + column) * channels : 0);
    return inside;
  }
};

// The tile's pixels with their halo into [plane][row][column][channel].
template <int kKernel, int kPlanes, class T> __device__ void load_tile(const Share<kKernel, kPlanes, T>& share) {
  for (int pixel = share.first; pixel < share.kPixels; pixel += share.kStep) {
    const T* from;
    const bool inside = share.find(pixel, from);
    copy_async_16(share.target + pixel * kChannels, from, inside);
  }
  commit_copies();
  wait_copies<0>();
}

// The same as silu(x + bias).
template <int kKernel, int kPlanes, class T>
__device__ void load_activated_tile(const Share<kKernel, kPlanes, T>& share, const float* bias) {
  float half_bias[kChunk] = {};
  if (bias) {
    load(bias, half_bias);
#pragma unroll
    for (float& b : half_bias) b *= 0.5f;
  }
  for (int first = share.first; first < share.kPixels; first += share.kStep * kAhead) {
    uint4 bits[kAhead];
    bool inside[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const T* from;
      inside[i] = share.find(first + i * share.kStep, from) && first + i * share.kStep < share.kPixels;
      bits[i] = {0, 0, 0, 0};
      if (inside[i]) bits[i] = *reinterpret_cast<const uint4*>(from);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int pixel = first + i * share.kStep;
      if (pixel >= share.kPixels) break;
      float v[kChunk];
      load(reinterpret_cast<const T*>(&bits[i]), v);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) v[j] = silu_of_half(fmaf(0.5f, v[j], half_bias[j]));
      store(reinterpret_cast<T*>(&bits[i]), v);
      if (!inside[i]) bits[i] = {0, 0, 0, 0};
      *reinterpret_cast<uint4*>(share.target + pixel * kChannels) = bits[i];
    }
  }
}

template <int kKernel, int kPlanes, bool kActivates, class T>
__global__ void __launch_bounds__(kThreads, kKernel == 3 ? 4 : 2)
    tiled_depthwise_kernel(const __grid_constant__ TiledDepthwiseParams<T> p) {
  constexpr int kHalo = Tile<kKernel, kPlanes>::kHalo, kPlane = Tile<kKernel, kPlanes>::kPlane;
  __shared__ __align__(16) T tile[kPlanes * kPlane];
  follow_previous();
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kChannels;
  // The last tiles first: what the kernel before wrote last is still in the second-level cache.
  const int tile_index = static_cast<int>(gridDim.y - 1 - blockIdx.y), column_tile = tile_index % p.column_tiles,
            row_tile = tile_index / p.column_tiles;
  const int member = static_cast<int>(gridDim.z - 1 - blockIdx.z), first_row = row_tile * kSide, first_column = column_tile * kSide;
  const T* image = p.x + static_cast<int64_t>(member) * p.height * p.width * p.channels;
  const Share<kKernel, kPlanes, T> share(p, tile, image, first_row - p.pad_top, first_column - kKernel / 2, channel);
  if constexpr (kActivates) {
    load_activated_tile(share, p.input_bias ? p.input_bias + (share.source - image) : nullptr);
  } else {
    load_tile(share);
  }

  const int pair = static_cast<int>(threadIdx.x) % (kChannels / 2) * 2, column = static_cast<int>(threadIdx.x) / (kChannels / 2);
  float w[kPlanes][kKernel * kKernel][2], start[kPlanes][2] = {};
#pragma unroll
  for (int plane = 0; plane < kPlanes; ++plane) {
    const int64_t c = plane * p.out_channels + channel + pair;
#pragma unroll
    for (int tap = 0; tap < kKernel * kKernel; ++tap) load(p.w + tap * p.channels + c, w[plane][tap]);
    if (p.bias) load(p.bias + c, start[plane]);
  }
  __syncthreads();
  if (first_column + column >= p.width) return;

  // sums[plane][k] belong to the output row that meets the input row with its filter row kKernel - 1 - k.
  float sums[kPlanes][kKernel][2];
#pragma unroll
  for (int plane = 0; plane < kPlanes; ++plane) {
#pragma unroll
    for (int k = 0; k < kKernel; ++k) {
#pragma unroll
      for (int i = 0; i < 2; ++i) sums[plane][k][i] = start[plane][i];
    }
  }
  T* y =
      p.y + ((static_cast<int64_t>(member) * p.out_height + first_row) * p.width + first_column + column) * p.out_channels + channel + pair;
  const int64_t pitch = p.width * p.out_channels;
  const int rows = min(kSide, p.out_height - first_row);
#pragma unroll kKernel
  for (int row = 0; row < rows + kKernel - 1; ++row) {
#pragma unroll
    for (int plane = 0; plane < kPlanes; ++plane) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int k = 0; k + 1 < kKernel; ++k) sums[plane][k][i] = sums[plane][k + 1][i];
        sums[plane][kKernel - 1][i] = start[plane][i];
      }
#pragma unroll
      for (int kx = 0; kx < kKernel; ++kx) {
        float v[2];
        load(tile + plane * kPlane + (row * kHalo + column + kx) * kChannels + pair, v);
#pragma unroll
        for (int k = 0; k < kKernel; ++k) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            sums[plane][k][i] = fmaf(w[plane][(kKernel - 1 - k) * kKernel + kx][i], v[i], sums[plane][k][i]);
          }
        }
      }
    }
    if (row < kKernel - 1) continue;
    float out[2] = {sums[0][0][0], sums[0][0][1]};
    if constexpr (kPlanes == 2) {
      out[0] *= silu_16(sums[1][0][0]);
      out[1] *= silu_16(sums[1][0][1]);
    }
    store(y, out);
    y += pitch;
  }
}

}  // namespace

bool is_tiled_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args, const DepthwiseInput& input) {
  const auto aligned = [](const Tensor& t) { return !t.defined() || is_aligned(t.raw(), 0); };
  const bool activates = input.activation == Activation::kSilu, plain = input.activation == Activation::kNone && !input.bias.defined();
  return (plain || (activates && args.gated)) && (w.dim(0) == 3 || (w.dim(0) == 5 && !args.gated)) && x.dtype() != DType::kF32 &&
         y.dim(3) % kChannels == 0 && aligned(x) && aligned(y) && aligned(w) && aligned(args.bias) && aligned(input.bias) &&
         y.dim(0) < 65536 && ceil_div(y.dim(1), kSide) * ceil_div(y.dim(2), kSide) < 65536;
}

void tiled_depthwise(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args,
                     const DepthwiseInput& input) {
  if (is_window_depthwise(x, w, y, args, input)) return window_depthwise(stream, x, w, y, args, input);
  with_type(x.dtype(), "depthwise_conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) {
      const TiledDepthwiseParams<T> p = {.x = pointer<T>(x),
                                         .w = floats(w),
                                         .bias = floats(args.bias),
                                         .input_bias = floats(input.bias),
                                         .y = pointer<T>(y),
                                         .channels = x.dim(3),
                                         .out_channels = y.dim(3),
                                         .height = static_cast<int>(x.dim(1)),
                                         .width = static_cast<int>(x.dim(2)),
                                         .out_height = static_cast<int>(y.dim(1)),
                                         .pad_top = args.pad_top < 0 ? static_cast<int>(w.dim(0) / 2) : args.pad_top,
                                         .column_tiles = static_cast<int>(ceil_div(y.dim(2), kSide)),
                                         .row_tiles = static_cast<int>(ceil_div(y.dim(1), kSide))};
      const dim3 grid(static_cast<unsigned>(p.out_channels / kChannels), static_cast<unsigned>(p.column_tiles * p.row_tiles),
                      static_cast<unsigned>(y.dim(0)));
      const auto launch = [&](auto kernel) { launch_chained("depthwise_conv2d", kernel, grid, kThreads, 0, stream, p); };
      if (args.gated && input.activation == Activation::kSilu) {
        launch(tiled_depthwise_kernel<3, 2, true, T>);
      } else if (args.gated) {
        launch(tiled_depthwise_kernel<3, 2, false, T>);
      } else if (w.dim(0) == 3) {
        launch(tiled_depthwise_kernel<3, 1, false, T>);
      } else {
        launch(tiled_depthwise_kernel<5, 1, false, T>);
      }
    }
  });
}

}  // namespace linea::cuda
