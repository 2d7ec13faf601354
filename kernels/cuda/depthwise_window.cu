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
// Halves   Rows of e4m3 are computed in pairs of halves, a tap one instruction for two channels: 29 instructions an output from x in
//          halves, 33 from bf16. Halves are 2^-12 from what they stand for, e4m3 2^-4; sums count in sixteens, and what they become with
//          the gate has the exponents of f32.
// e4m3     A product that takes rows of e4m3 wants one scale for each, and no warp sees a row. So a warp scales its 64 channels of a pixel
//          by one of the powers 2^(8e-4), which puts the largest between 1 and 256, and notes e; a second kernel looks at a row's exponents
//          and rewrites those 64 channels that have another one than the row's largest: few, as what networks have lies around 1, the
//          middle of a step. e4m3 is precise from 2^-6 on. A warp turns a row of outputs in shared memory, so that four threads have a
//          pixel: the largest of all eight pixels takes two exchanges, and a row is stored 16 bytes a thread. Bytes: 164 µs at 4096².
// Accuracy f32, or halves for e4m3; each sum runs over ky, and within one over kx, wherever strip and chunk begin: strips equal the whole.
//          The bits of 16-bit results are those of depthwise_tiled.cu.
#include <cuda_fp8.h>

#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/depthwise.h"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device_facts.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "depthwise_conv2d";
constexpr int kWarps = 4;
constexpr int kColumns = 8, kChannels = 64, kPixels = kColumns + 2;
constexpr int kStages = 3, kChunk = 8, kChunks = kChannels / kChunk;  // 16-byte copies of a pixel's plane
constexpr int kPlane = kPixels * kChannels, kStage = 2 * kPlane, kCopies = kStage / kChunk / 32;
constexpr int kFewestRows = 8;  // of a chunk

struct WindowParams {
  const void* x;
  const float *w, *bias, *input_bias;  // biases may be null
  void* y;
  int8_t* exponents;  // for e4m3: [rows of the map, strips, blocks of channels, kColumns]
  int channels, out_channels;
  int height, width, out_height, pad_top, column_blocks, chunk_rows;
};

// ---- How two channels of a thread are computed: elements of x, pairs that are summed, results as 16-bit pairs -------------------------

struct FloatPair {
  float x, y;
};
__device__ inline FloatPair fma(FloatPair a, FloatPair b, FloatPair c) { return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y)}; }
__device__ inline __half2 fma(__half2 a, __half2 b, __half2 c) { return __hfma2(a, b, c); }

template <class T, bool kActivates> struct InFloats {
  using Element = T;
  using Result = T;
  using Pair = FloatPair;
  static constexpr int kBlocks = 3;  // on a multiprocessor
  static constexpr float kUnit = 1;  // what a sum of 1 stands for

  __device__ static Pair pair(float x, float y) { return {x, y}; }
  // The pair at `from` as the convolution sees it.
  __device__ static Pair take(const T* from, Pair half_bias, bool inside) {
    uint32_t pair = *reinterpret_cast<const uint32_t*>(from);
    Pair v;
    if constexpr (kActivates) {
      unpack_pair<T>(pair, v.x, v.y);
      pair = pack_pair<T>(silu_of_half(fmaf(0.5f, v.x, half_bias.x)), silu_of_half(fmaf(0.5f, v.y, half_bias.y)));
      if (!inside) pair = 0;
    }
    unpack_pair<T>(pair, v.x, v.y);
    return v;
  }
  __device__ static uint32_t gated(Pair u, Pair half_gate) {
    return pack_pair<T>(u.x * silu_of_half(half_gate.x), u.y * silu_of_half(half_gate.y));
  }
};

// Halves are 2^-12 from what they stand for.
template <class T, bool kActivates> struct InHalves {
  using Element = T;
  using Result = __nv_bfloat16;
  using Pair = __half2;
  static constexpr int kBlocks = 4;
  static constexpr float kUnit = 16;  // sums that are as large as halves only where the largest of them meet filters beyond 16

  __device__ static Pair pair(float x, float y) { return __floats2half2_rn(x, y); }
  __device__ static Pair take(const T* from, Pair half_bias, bool inside) {
    Pair v = halves(*reinterpret_cast<const uint32_t*>(from));
    if constexpr (kActivates) {
      const Pair half = __hfma2(v, __float2half2_rn(0.5f), half_bias);
      v = __hfma2(half, tanh_of(half), half);
      if (!inside) v = Pair();
    }
    return v;
  }
  __device__ static uint32_t gated(Pair u, Pair half_gate) {
    const Pair largest = __float2half2_rn(65504.0f);  // ∞ times 0 would be no number
    const float2 v = __half22float2(__hmin2(__hmax2(u, -largest), largest)), half = __half22float2(__hmax2(half_gate, -largest));
    return pack_pair<__nv_bfloat16>(v.x * silu_of_half(half.x), v.y * silu_of_half(half.y));
  }

 private:
  __device__ static Pair halves(uint32_t pair) {
    if constexpr (!std::is_same_v<T, __half>) {
      float low, high;
      unpack_pair<T>(pair, low, high);
      pair = pack_finite_halves(low, high);
    }
    return *reinterpret_cast<const Pair*>(&pair);
  }
  __device__ static Pair tanh_of(Pair v) {
    uint32_t t;
    asm("tanh.approx.f16x2 %0, %1;" : "=r"(t) : "r"(*reinterpret_cast<const uint32_t*>(&v)));
    return *reinterpret_cast<const Pair*>(&t);
  }
};

// A thread's two channels of either plane. What leads to the gate is halved (which is exact), as silu_of_half wants it.
template <class In> struct Filters {
  using Pair = In::Pair;
  Pair w[2][9], start[2], half_bias[2];

  __device__ Filters(const WindowParams& p, int channel) {
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
      const int c = plane * p.out_channels + channel;
      const auto pair_at = [c](const float* values, int64_t offset, float scale) {
        float v[2] = {};
        if (values) load(values + offset + c, v);
        return In::pair(scale * v[0], scale * v[1]);
      };
      const float scale = plane == 1 ? 0.5f : 1.0f / In::kUnit;
#pragma unroll
      for (int tap = 0; tap < 9; ++tap) w[plane][tap] = pair_at(p.w, static_cast<int64_t>(tap) * p.channels, scale);
      start[plane] = pair_at(p.bias, 0, scale);
      half_bias[plane] = pair_at(p.input_bias, 0, 0.5f);
    }
  }
};

// Sums of the output row that the next input row ends, and of the one that it continues.
template <class In> struct Sums {
  In::Pair ending[2][kColumns], begun[2][kColumns];

  __device__ explicit Sums(const Filters<In>& f) {
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) ending[plane][c] = begun[plane][c] = f.start[plane];
    }
  }
};

// Where a warp's work lies: columns from `column`, output rows from first_row, input rows [begin_row, end_row) of the map.
struct Place {
  int member, column, first_row, top, begin_row, end_row;
  bool left, right, ends_below;  // whether there are pixels beside the strip; whether zeros follow below

  __device__ Place(const WindowParams& p, int warp) {
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

  __device__ RowCopies(const WindowParams& p, const Place& at, T* ring, int lane, int first_channel)
      : row(static_cast<const T*>(p.x) +
            ((static_cast<int64_t>(at.member) * p.height + at.begin_row) * p.width + at.column - 1) * p.channels + first_channel),
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

// Adds an input row, whose pairs of this thread begin at `from`; emit(column, pair) takes the outputs that it ends.
template <class In, class Emit>
__device__ void add_row(const Filters<In>& f, Sums<In>& sums, const Place& at, const typename In::Element* from, Emit&& emit) {
  using Pair = In::Pair;
  Pair v[2][kPixels];
#pragma unroll
  for (int pixel = 0; pixel < kPixels; ++pixel) {
    const bool inside = (pixel > 0 || at.left) && (pixel < kPixels - 1 || at.right);
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
      v[plane][pixel] = In::take(from + plane * kPlane + pixel * kChannels, f.half_bias[plane], inside);
    }
    if (pixel < 2) continue;
    const int c = pixel - 2;
    Pair u[2];
#pragma unroll
    for (int plane = 0; plane < 2; ++plane) {
      const auto add = [&](Pair sum, int ky) {
#pragma unroll
        for (int kx = 0; kx < 3; ++kx) sum = fma(f.w[plane][ky * 3 + kx], v[plane][c + kx], sum);
        return sum;
      };
      u[plane] = add(sums.ending[plane][c], 2);
      sums.ending[plane][c] = add(sums.begun[plane][c], 1);
      sums.begun[plane][c] = add(f.start[plane], 0);
    }
    emit(c, In::gated(u[0], u[1]));
  }
}

// ---- Where outputs go: put() a column's pair of this thread, then, where the row ends, end_row() --------------------------------------

template <class T> class PlainOutput {
 public:
  static constexpr int kMostRows = 16;  // of a chunk
  __device__ PlainOutput(const WindowParams& p, const Place& at, int channel, bool works)
      : pixel_(p.out_channels), pitch_(static_cast<int64_t>(p.width) * p.out_channels), works_(works) {
    y_ = static_cast<T*>(p.y) + first_pixel(p, at) * pixel_ + channel;
  }
  __device__ void put(int column, uint32_t pair, bool ends) {
    if (ends && works_) *reinterpret_cast<uint32_t*>(y_ + column * pixel_) = pair;
  }
  __device__ void end_row() { y_ += pitch_; }

  __device__ static int64_t first_pixel(const WindowParams& p, const Place& at) {
    return (static_cast<int64_t>(at.member) * p.out_height + at.first_row) * p.width + at.column;
  }

 private:
  T* y_;
  int64_t pixel_, pitch_;
  bool works_;
};

constexpr int kExponentStep = 8, kNoExponent = 127;      // the last: all values are 0
constexpr int kLeastExponent = -14, kMostExponent = 15;  // factors are normal numbers

// 2^(kExponentStep · exponent). Results come in sixteens (InHalves::kUnit), so this makes 2^(8e-4) of them: their steps begin at 1/16.
__device__ inline float power(int exponent) { return __int_as_float((127 + kExponentStep * exponent) << 23); }

// A row of the warp's outputs is turned in shared memory, so that kPixelLanes threads have a pixel.
template <class T> class ScaledOutput {
 public:
  static constexpr int kMostRows = 32;
  __device__ ScaledOutput(const WindowParams& p, const Place& at, int, bool)
      : column_(static_cast<int>(threadIdx.x) % 32 / kPixelLanes), within_(static_cast<int>(threadIdx.x) % kPixelLanes * kLaneChannels) {
    __shared__ __align__(16) T turned[kWarps][kColumns * kPitch];
    T* own = turned[threadIdx.x / 32];
    mine_ = own + threadIdx.x % 32 * 2;
    turned_ = reinterpret_cast<const uint4*>(own + column_ * kPitch + within_);
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x), strips = (p.width + kColumns - 1) / kColumns;
    works_ = block * kChannels + within_ < p.out_channels;
    y_ = static_cast<uint8_t*>(p.y) + (PlainOutput<T>::first_pixel(p, at) + column_) * p.out_channels + block * kChannels + within_;
    pitch_ = static_cast<int64_t>(p.width) * p.out_channels;
    const int64_t row = static_cast<int64_t>(at.member) * p.out_height + at.first_row, strip = (at.column + kColumns - 1) / kColumns;
    exponents_ = p.exponents + ((row * strips + strip) * blocks + block) * kColumns + column_;
    exponents_pitch_ = strips * blocks * kColumns;
  }
  __device__ void put(int column, uint32_t pair, bool) { *reinterpret_cast<uint32_t*>(mine_ + column * kPitch) = pair; }
  __device__ void end_row() {
    uint32_t pairs[kLaneChannels / 2], words[kLaneChannels / 4];
    const uint32_t largest = __float_as_uint(take_row(pairs));
    const int binary = static_cast<int>(largest >> 23) - 127;
    const int exponent = max(min((7 - binary) >> 3, kMostExponent), kLeastExponent);
    const float factor = power(exponent);
#pragma unroll
    for (int i = 0; i < kLaneChannels / 4; ++i) words[i] = scaled(pairs[2 * i], factor) | scaled(pairs[2 * i + 1], factor) << 16;
    if (works_) *reinterpret_cast<uint4*>(y_) = {words[0], words[1], words[2], words[3]};
    if (within_ == 0) *exponents_ = static_cast<int8_t>(largest == 0 ? kNoExponent : exponent);
    y_ += pitch_;
    exponents_ += exponents_pitch_;
  }

 private:
  using Pair = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;
  static constexpr int kPixelLanes = 32 / kColumns, kLaneChannels = kChannels / kPixelLanes;
  static constexpr int kPitch = kChannels + 8;  // the 16-byte reads of eight threads, two pixels, lie in different banks

  // This thread's channels of the row, and the largest of its pixel's; NaN only where nothing else is there.
  __device__ float take_row(uint32_t (&pairs)[kLaneChannels / 2]) const {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4 part = works_ ? turned_[i] : uint4();
      pairs[4 * i] = part.x, pairs[4 * i + 1] = part.y, pairs[4 * i + 2] = part.z, pairs[4 * i + 3] = part.w;
    }
    const auto size = [](uint32_t bits) { return __habs2(*reinterpret_cast<const Pair*>(&bits)); };
    Pair most = size(pairs[0]);
#pragma unroll
    for (int i = 1; i < kLaneChannels / 2; ++i) most = __hmax2(most, size(pairs[i]));
#pragma unroll
    for (int offset = 1; offset < kPixelLanes; offset *= 2) most = __hmax2(most, __shfl_xor_sync(0xffffffffu, most, offset));
    __syncwarp();  // the next row may be put
    return to_float(__hmax(most.x, most.y));
  }
  __device__ static uint32_t scaled(uint32_t pair, float factor) {
    float a, b;
    unpack_pair<T>(pair, a, b);
    return __nv_cvt_float2_to_fp8x2({a * factor, b * factor}, __NV_SATFINITE, __NV_E4M3);
  }

  const int column_, within_;  // of this thread when a row ends: its pixel, its first channel
  T* mine_;                    // where it puts its pairs
  const uint4* turned_;        // and the kLaneChannels of one pixel that it takes
  uint8_t* y_;
  int8_t* exponents_;
  int64_t pitch_;
  int exponents_pitch_;
  bool works_;
};

template <class In, template <class> class Output>
__global__ void __launch_bounds__(32 * kWarps, In::kBlocks) window_depthwise_kernel(const __grid_constant__ WindowParams p) {
  using T = In::Element;
  __shared__ __align__(128) T shared[kWarps][kStages * kStage];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first_channel = static_cast<int>(blockIdx.x) * kChannels, channel = first_channel + lane * 2;
  const bool works = channel < p.out_channels;
  Place at(p, warp);
  if (!at.fit(p.width)) return;
  const Filters<In> filters(p, works ? channel : 0);
  RowCopies<T> copies(p, at, shared[warp], lane, first_channel);
  follow_previous();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (at.begin_row + i < at.end_row) copies.request(i);
    commit_copies();
  }

  Sums<In> sums(filters);
  Output<typename In::Result> output(p, at, channel, works);
  int stage = 0;
#pragma unroll 1
  for (int row = at.begin_row; row < at.end_row; ++row) {
    wait_copies<kStages - 2>();
    __syncwarp();  // the row is there for all lanes, and none still reads the one before, whose place the next takes
    if (row + kStages - 1 < at.end_row) copies.request(stage == 0 ? kStages - 1 : stage - 1);
    commit_copies();
    const bool ends = row >= at.top + 2;
    add_row(filters, sums, at, shared[warp] + stage * kStage + lane * 2, [&](int c, uint32_t pair) { output.put(c, pair, ends); });
    if (ends) output.end_row();
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  if (!at.ends_below) return;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) output.put(c, In::gated(sums.ending[0][c], sums.ending[1][c]), true);
  output.end_row();
}

// ---- One scale for a row ---------------------------------------------------------------------------------------------------------------

constexpr int kMostExponentBlocks = 32 * 4;  // four of a lane

struct RowParams {
  uint8_t* y;
  const int8_t* exponents;  // [rows of the map, strips, blocks, kColumns]
  float* scales;
  float unit;  // what a value of 1 stands for
  int width, strips, channels, blocks;
};

// Sixteen e4m3 values times a power of two; results may lose digits below 2^-6.
__device__ inline uint4 multiplied(uint4 bits, __half2 factor) {
  uint32_t* words = &bits.x;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    uint32_t word = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i] >> 16 * half & 0xffff);
      const __half2 v = __hmul2(__half2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3)), factor);
      word |= static_cast<uint32_t>(__nv_cvt_halfraw2_to_fp8x2(v, __NV_SATFINITE, __NV_E4M3)) << 16 * half;
    }
    words[i] = word;
  }
  return bits;
}

// 2^(kExponentStep · difference), which is negative; below the least half nothing is left of e4m3.
__device__ inline __half2 half_power(int difference) {
  const int binary = kExponentStep * difference;
  return __float2half2_rn(binary < -24 ? 0.0f : __int_as_float((127 + binary) << 23));
}

// A block has a strip's row, a warp a pixel, and four lanes rewrite 64 channels. Most warps leave after their first load; the others have
// the bytes of kTogether loads a lane under way.
__global__ void __launch_bounds__(32 * kColumns) one_scale_kernel(const __grid_constant__ RowParams p) {
  constexpr int kBlockLanes = 4, kLaneBytes = kChannels / kBlockLanes, kLoadBlocks = 32 / kBlockLanes, kTogether = 32 / kLoadBlocks;
  follow_previous();
  const int lane = static_cast<int>(threadIdx.x) % 32, place = static_cast<int>(threadIdx.x) / 32;
  const unsigned map_row = blockIdx.x / static_cast<unsigned>(p.strips);
  const int strip = static_cast<int>(blockIdx.x) - static_cast<int>(map_row) * p.strips;
  const int column = min(strip * kColumns, p.width - kColumns) + place;
  if (column < strip * kColumns) return;  // the last strip begins within the one before, which has this pixel
  const int64_t row = static_cast<int64_t>(map_row) * p.width + column;
  const int8_t* from = p.exponents + static_cast<int64_t>(blockIdx.x) * p.blocks * kColumns + place;
  int exponents[kMostExponentBlocks / 32], smallest = kNoExponent;
#pragma unroll
  for (int i = 0; i < kMostExponentBlocks / 32; ++i) {
    const int block = i * 32 + lane;
    exponents[i] = block < p.blocks ? from[block * kColumns] : kNoExponent;
    smallest = min(smallest, exponents[i]);
  }
  smallest = __reduce_min_sync(0xffffffffu, smallest);
  if (lane == 0) p.scales[row] = smallest == kNoExponent ? 0.0f : p.unit * power(-smallest);
#pragma unroll
  for (int i = 0; i < kMostExponentBlocks / 32; ++i) {
    if (!__any_sync(0xffffffffu, exponents[i] != smallest && exponents[i] != kNoExponent)) continue;
    uint8_t* at = p.y + row * p.channels + (i * 32 + lane / kBlockLanes) * kChannels + lane % kBlockLanes * kLaneBytes;
    uint4 bits[kTogether];
    int differences[kTogether];
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
      const int block = j * kLoadBlocks + lane / kBlockLanes, exponent = __shfl_sync(0xffffffffu, exponents[i], block);
      const bool ends = (i * 32 + block) * kChannels + lane % kBlockLanes * kLaneBytes >= p.channels;
      differences[j] = ends || exponent == kNoExponent ? 0 : smallest - exponent;
      if (differences[j] != 0) bits[j] = *reinterpret_cast<const uint4*>(at + j * kLoadBlocks * kChannels);
    }
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
      if (differences[j] == 0) continue;
      *reinterpret_cast<uint4*>(at + j * kLoadBlocks * kChannels) = multiplied(bits[j], half_power(differences[j]));
    }
  }
}

}  // namespace

bool is_window_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args, const DepthwiseInput& input) {
  constexpr int64_t kMostOffset = 1 << 30;  // of a row's copies, in elements
  const int64_t top = args.pad_top < 0 ? 1 : args.pad_top, bottom = y.dim(1) + 2 - x.dim(1) - top;
  return is_tiled_depthwise(x, w, y, args, input) && args.gated && w.dim(0) == 3 && top <= 1 && bottom <= 1 && x.dim(2) >= kColumns &&
         kPixels * x.dim(3) < kMostOffset && y.dim(3) <= kMostExponentBlocks * kChannels;
}

int64_t exponent_bytes(const Tensor& y) {
  return y.dim(0) * y.dim(1) * ceil_div(y.dim(2), kColumns) * kColumns * ceil_div(y.dim(3), kChannels);
}

namespace {

// Those with which the multiprocessor that has most rows to read, two beyond each chunk among them, has the fewest.
int rows_of_chunk(int64_t height, int64_t columns_of_blocks, int most, int processors) {
  int best = kFewestRows;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int rows = most; rows >= kFewestRows; --rows) {
    const int64_t time = ceil_div(columns_of_blocks * ceil_div(height, rows), processors) * (rows + 2);
    if (time < least) least = time, best = rows;
  }
  return best;
}

template <template <class, bool> class In, template <class> class Output>
void launch_window(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const Tensor& exponents,
                   const DepthwiseArgs& args, const DepthwiseInput& input) {
  const int64_t channel_blocks = ceil_div(y.dim(3), kChannels), column_blocks = ceil_div(y.dim(2), kColumns * kWarps);
  int device = 0;
  check(cudaGetDevice(&device), kOp, "cudaGetDevice");
  const int rows = rows_of_chunk(y.dim(1), channel_blocks * column_blocks * y.dim(0), Output<__half>::kMostRows, processors_of(device));
  const WindowParams p = {.x = x.raw(),
                          .w = floats(w),
                          .bias = floats(args.bias),
                          .input_bias = floats(input.bias),
                          .y = y.raw(),
                          .exponents = static_cast<int8_t*>(exponents.raw()),
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
  const auto launch = [&](auto kernel) { launch_chained(kOp, kernel, grid, 32 * kWarps, 0, stream, p); };
  with_type(x.dtype(), kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) {
      input.activation == Activation::kSilu ? launch(window_depthwise_kernel<In<T, true>, Output>)
                                            : launch(window_depthwise_kernel<In<T, false>, Output>);
    }
  });
}

}  // namespace

void window_depthwise(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args,
                      const DepthwiseInput& input) {
  launch_window<InFloats, PlainOutput>(stream, x, w, y, Tensor(), args, input);
}

void window_depthwise_rows(cudaStream_t stream, const Tensor& x, const Tensor& w, const ProductRows& y, const Tensor& exponents,
                           const DepthwiseArgs& args, const DepthwiseInput& input) {
  launch_window<InHalves, ScaledOutput>(stream, x, w, y.values, exponents, args, input);
  const Tensor& values = y.values;
  const RowParams p = {.y = pointer<uint8_t>(values),
                       .exponents = static_cast<const int8_t*>(exponents.raw()),
                       .scales = y.scales.data<float>(),
                       .unit = InHalves<__half, true>::kUnit,
                       .width = static_cast<int>(values.dim(2)),
                       .strips = static_cast<int>(ceil_div(values.dim(2), kColumns)),
                       .channels = static_cast<int>(values.dim(3)),
                       .blocks = static_cast<int>(ceil_div(values.dim(3), kChannels))};
  const auto blocks = static_cast<unsigned>(values.dim(0) * values.dim(1) * p.strips);
  launch_chained(kOp, one_scale_kernel, blocks, 32 * kColumns, 0, stream, p);
}

}  // namespace linea::cuda
