// kernels/cuda/depthwise_window.cu: GLUMBConv's gated 3×3 depthwise convolution of 16-bit types, with the activation before it.
//
// Maths    a = x, or silu(x + b_in) rounded to the type; 0 outside the map;  y[h, w, c] = u[c] · silu(u[C/2 + c]), with
//          u[h, w, c] = bias[c] + Σ_{ky,kx} w[ky, kx, c] a[h + ky - top, w + kx - 1, c]
// Shape    SANA-1.6B at 1024²: 2 maps of 32×32 pixels, C = 11200; at 4096²: 128×128 pixels.
// Tiles    a warp takes 64 channels and those that gate them of a strip of 8 columns and walks down `rows_of_chunk` rows. Each row, 10
//          pixels of 2 × 128 bytes, comes into a ring of the warp's own two rows ahead, so that warps never wait for one another. A
//          thread has 2 (+ 2) channels: filters and the sums of the two output rows that are under way lie in registers, and each element
//          is activated once for the three columns and three rows that it touches (1.25 times with the strip's edges).
// Traffic  x once and y once from memory: 367 + 184 MB at 4096²; neighbours' edges (25 %) and chunks' (12 %) from the second-level cache.
// Roofline bound by memory: 197 µs at 4096² and 2.8 TB/s, 218 measured; 25 and 31 at 1024². 41 instructions an output, 18 of them the
//          convolution's own: 132 µs of issue at 4096².
// Accuracy f32; each sum runs over ky, and within one over kx, wherever strip and chunk begin: strips equal the whole, and the bits are
//          those of depthwise_tiled.cu.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/depthwise.h"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device_facts.h"

namespace linea::cuda {
namespace {

constexpr int kWarps = 4, kBlocks = 3;  // blocks on a multiprocessor
constexpr int kColumns = 8, kChannels = 64, kPixels = kColumns + 2;
constexpr int kStages = 3, kChunk = 8, kChunks = kChannels / kChunk;  // 16-byte copies of a pixel's plane
constexpr int kPlane = kPixels * kChannels, kStage = 2 * kPlane, kCopies = kStage / kChunk / 32;
constexpr int kMostRows = 16, kFewestRows = 8;  // of a chunk

template <class T> struct WindowParams {
  const T* x;
  const float *w, *bias, *input_bias;  // biases may be null
  T* y;
  int channels, out_channels;
  int height, width, out_height, pad_top, column_blocks, chunk_rows;
};

// A thread's two channels of either plane. What leads to the gate is halved (which is exact), as silu_of_half wants it.
struct Filters {
  float w[2][9][2], start[2][2] = {}, half_bias[2][2] = {};

  template <class T> __device__ Filters(const WindowParams<T>& p, int channel) {
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
      const int c = plane * p.out_channels + channel;
      const float scale = plane == 1 ? 0.5f : 1.0f;
#pragma unroll
      for (int tap = 0; tap < 9; ++tap) load(p.w + tap * p.channels + c, w[plane][tap]);
      if (p.bias) load(p.bias + c, start[plane]);
      if (p.input_bias) load(p.input_bias + c, half_bias[plane]);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        start[plane][i] *= scale;
        half_bias[plane][i] *= 0.5f;
#pragma unroll
        for (int tap = 0; tap < 9; ++tap) w[plane][tap][i] *= scale;
      }
    }
  }
};

// Sums of the output row that the next input row ends, and of the one that it continues.
struct Sums {
  float ending[2][kColumns][2], begun[2][kColumns][2];

  __device__ explicit Sums(const Filters& f) {
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 2; ++i) ending[plane][c][i] = begun[plane][c][i] = f.start[plane][i];
      }
    }
  }
};

// Where a warp's work lies: columns from `column`, output rows from first_row, input rows [begin_row, end_row) of the map.
struct Place {
  int member, column, first_row, top, begin_row, end_row;
  bool left, right, ends_below;  // whether there are pixels beside the strip; whether zeros follow below

  template <class T> __device__ Place(const WindowParams<T>& p, int warp) {
    // The last chunks first: what the kernel before wrote last is still in the second-level cache.
    const int index = static_cast<int>(gridDim.y - 1 - blockIdx.y);
    member = static_cast<int>(gridDim.z - 1 - blockIdx.z);
    column = (index % p.column_blocks * kWarps + warp) * kColumns;
    first_row = index / p.column_blocks * p.chunk_rows;
    top = first_row - p.pad_top;
    const int below = top + min(p.chunk_rows, p.out_height - first_row) + 2;
    begin_row = max(top, 0);  // zeros above leave the sums as they begin
    end_row = min(below, p.height);
    ends_below = below > p.height;
  }
  __device__ bool fit(int width) {  // moves the last strip inwards: its first columns are computed twice, with the same bits
    if (column >= width) return false;
    column = min(column, width - kColumns);
    left = column > 0;
    right = column + kColumns < width;
    return true;
  }
};

// The copies of a lane: 16 bytes each of a row's kPixels pixels.
template <class T> struct RowCopies {
  const T* row;  // the pixel left of the strip
  int64_t pitch;
  int offset[kCopies];
  bool valid[kCopies];
  T* ring;

  __device__ RowCopies(const WindowParams<T>& p, const Place& at, T* ring, int lane, int first_channel)
      : row(p.x + ((static_cast<int64_t>(at.member) * p.height + at.begin_row) * p.width + at.column - 1) * p.channels + first_channel),
        pitch(static_cast<int64_t>(p.width) * p.channels),
        ring(ring + lane * kChunk) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int copy = lane + 32 * i, plane = copy / (kPixels * kChunks), pixel = copy / kChunks % kPixels,
                within = copy % kChunks * kChunk;
      valid[i] = (pixel > 0 || at.left) && (pixel < kPixels - 1 || at.right) && first_channel + within < p.out_channels;
      offset[i] = valid[i] ? pixel * p.channels + plane * p.out_channels + within : p.channels;
    }
  }
  __device__ void request(int stage) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) copy_async_16(ring + stage * kStage + i * 32 * kChunk, row + offset[i], valid[i]);
    row += pitch;
  }
};

template <class T> __device__ uint32_t gated(const float (&u)[2], const float (&half_gate)[2]) {
  return pack_pair<T>(u[0] * silu_of_half(half_gate[0]), u[1] * silu_of_half(half_gate[1]));
}

// The pair at `from` as the convolution sees it.
template <bool kActivates, class T> __device__ void take(const T* from, const float (&half_bias)[2], bool inside, float (&v)[2]) {
  uint32_t pair = *reinterpret_cast<const uint32_t*>(from);
  if constexpr (kActivates) {
    unpack_pair<T>(pair, v[0], v[1]);
    pair = pack_pair<T>(silu_of_half(fmaf(0.5f, v[0], half_bias[0])), silu_of_half(fmaf(0.5f, v[1], half_bias[1])));
    if (!inside) pair = 0;
  }
  unpack_pair<T>(pair, v[0], v[1]);
}

// Adds an input row, whose pairs of this thread begin at `from`; emit(column, pair) takes the outputs that it ends.
template <bool kActivates, class T, class Emit>
__device__ void add_row(const Filters& f, Sums& sums, const Place& at, const T* from, Emit&& emit) {
  float v[2][kPixels][2];
#pragma unroll
  for (int pixel = 0; pixel < kPixels; ++pixel) {
    const bool inside = (pixel > 0 || at.left) && (pixel < kPixels - 1 || at.right);
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
      take<kActivates>(from + plane * kPlane + pixel * kChannels, f.half_bias[plane], inside, v[plane][pixel]);
    }
    if (pixel < 2) continue;
    const int c = pixel - 2;
    float u[2][2];
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const auto add = [&](float sum, int ky) {
#pragma unroll
          for (int kx = 0; kx < 3; ++kx) sum = fmaf(f.w[plane][ky * 3 + kx][i], v[plane][c + kx][i], sum);
          return sum;
        };
        u[plane][i] = add(sums.ending[plane][c][i], 2);
        sums.ending[plane][c][i] = add(sums.begun[plane][c][i], 1);
        sums.begun[plane][c][i] = add(f.start[plane][i], 0);
      }
    }
    emit(c, gated<T>(u[0], u[1]));
  }
}

template <bool kActivates, class T>
__global__ void __launch_bounds__(32 * kWarps, kBlocks) window_depthwise_kernel(const __grid_constant__ WindowParams<T> p) {
  __shared__ __align__(128) T shared[kWarps][kStages * kStage];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first_channel = static_cast<int>(blockIdx.x) * kChannels, channel = first_channel + lane * 2;
  const bool works = channel < p.out_channels;
  Place at(p, warp);
  if (!at.fit(p.width)) return;
  const Filters filters(p, works ? channel : 0);
  RowCopies<T> copies(p, at, shared[warp], lane, first_channel);
  follow_previous();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (at.begin_row + i < at.end_row) copies.request(i);
    commit_copies();
  }

  Sums sums(filters);
  T* y = p.y + ((static_cast<int64_t>(at.member) * p.out_height + at.first_row) * p.width + at.column) * p.out_channels + channel;
  const int64_t pitch = static_cast<int64_t>(p.width) * p.out_channels;
  const auto put = [&](int c, uint32_t pair) { *reinterpret_cast<uint32_t*>(y + static_cast<int64_t>(c) * p.out_channels) = pair; };
  int stage = 0;
#pragma unroll 1
  for (int row = at.begin_row; row < at.end_row; ++row) {
    wait_copies<kStages - 2>();
    __syncwarp();  // the row is there for all lanes, and none still reads the one before, whose place the next takes
    if (row + kStages - 1 < at.end_row) copies.request(stage == 0 ? kStages - 1 : stage - 1);
    commit_copies();
    const bool ends = row >= at.top + 2, emits = ends && works;
    add_row<kActivates>(filters, sums, at, shared[warp] + stage * kStage + lane * 2, [&](int c, uint32_t pair) {
      if (emits) put(c, pair);
    });
    if (ends) y += pitch;
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  if (!at.ends_below || !works) return;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) put(c, gated<T>(sums.ending[0][c], sums.ending[1][c]));
}

}  // namespace

bool is_window_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args, const DepthwiseInput& input) {
  constexpr int64_t kMostOffset = 1 << 30;  // of a row's copies, in elements
  const int64_t top = args.pad_top < 0 ? 1 : args.pad_top, bottom = y.dim(1) + 2 - x.dim(1) - top;
  return is_tiled_depthwise(x, w, y, args, input) && args.gated && w.dim(0) == 3 && top <= 1 && bottom <= 1 && x.dim(2) >= kColumns &&
         kPixels * x.dim(3) < kMostOffset;
}

void window_depthwise(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args,
                      const DepthwiseInput& input) {
  const int64_t channel_blocks = ceil_div(y.dim(3), kChannels), column_blocks = ceil_div(y.dim(2), kColumns * kWarps);
  int device = 0;
  check(cudaGetDevice(&device), "depthwise_conv2d", "cudaGetDevice");
  // Chunks of fewer rows where many multiprocessors would have one block alone.
  int rows = kMostRows;
  const auto blocks = [&] { return channel_blocks * column_blocks * ceil_div(y.dim(1), rows) * y.dim(0); };
  while (rows > kFewestRows && blocks() < 2 * processors_of(device)) rows /= 2;
  with_type(x.dtype(), "depthwise_conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) {
      const WindowParams<T> p = {.x = pointer<T>(x),
                                 .w = floats(w),
                                 .bias = floats(args.bias),
                                 .input_bias = floats(input.bias),
                                 .y = pointer<T>(y),
                                 .channels = static_cast<int>(x.dim(3)),
                                 .out_channels = static_cast<int>(y.dim(3)),
                                 .height = static_cast<int>(x.dim(1)),
                                 .width = static_cast<int>(x.dim(2)),
                                 .out_height = static_cast<int>(y.dim(1)),
                                 .pad_top = args.pad_top < 0 ? 1 : args.pad_top,
                                 .column_blocks = static_cast<int>(column_blocks),
                                 .chunk_rows = rows};
      const dim3 grid(static_cast<unsigned>(channel_blocks), static_cast<unsigned>(column_blocks * ceil_div(y.dim(1), rows)),
                      static_cast<unsigned>(y.dim(0)));
      const auto launch = [&](auto kernel) { launch_chained("depthwise_conv2d", kernel, grid, 32 * kWarps, 0, stream, p); };
      input.activation == Activation::kSilu ? launch(window_depthwise_kernel<true, T>) : launch(window_depthwise_kernel<false, T>);
    }
  });
}

}  // namespace linea::cuda
