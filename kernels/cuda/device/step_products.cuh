// kernels/cuda/device/step_products.cuh: products as instructions of a step, with the norm that makes their input and the convolution of
// their outputs.
#pragma once

#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step_block.cuh"
#include "kernels/cuda/device/step_norms.cuh"
#include "kernels/cuda/device/step_words.cuh"

namespace linea::cuda::step {

#if LINEA_HOPPER_CODE

template <class T> __device__ inline float dot(const unsigned char* w, const unsigned char* x, int vectors) {
  constexpr int kWidth = 16 / sizeof(T);
  float sums[2] = {};
#pragma unroll(sizeof(T) == 2 ? 5 : 2)
  for (int v = own_lane(); v < vectors; v += 32) {
    float a[kWidth], b[kWidth];
    load(reinterpret_cast<const T*>(w) + v * kWidth, a);
    load(reinterpret_cast<const T*>(x) + v * kWidth, b);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sums[j % 2] = fmaf(a[j], b[j], sums[j % 2]);
  }
  return sum_lanes(sums[0] + sums[1]);
}

// Rows of at most a vector a lane, four at a time, whose sums across lanes overlap.
template <class T>
__device__ inline void multiply_short_rows(const unsigned char* w, const unsigned char* x, int rows, int bytes, float* to) {
  constexpr int kWidth = 16 / sizeof(T), kTogether = 4;
  const int lane = own_lane();
  const bool reads = lane < bytes / 16;
  float b[kWidth] = {};
  if (reads) load(reinterpret_cast<const T*>(x) + lane * kWidth, b);
#pragma unroll 1
  for (int first = 0; first < rows; first += kTogether) {
    float sums[kTogether] = {};
#pragma unroll
    for (int r = 0; r < kTogether; ++r) {
      if (!reads || first + r >= rows) continue;
      float a[kWidth];
      load(reinterpret_cast<const T*>(w + (first + r) * bytes) + lane * kWidth, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sums[r] = fmaf(a[j], b[j], sums[r]);
    }
#pragma unroll
    for (int r = 0; r < kTogether; ++r) {
      const float sum = sum_lanes(sums[r]);
      if (lane == 0 && first + r < rows) to[first + r] = sum;
    }
  }
}

template <class T> __device__ inline void multiply_rows(const Piece& piece, const unsigned char* w, const unsigned char* x, float* to) {
  const int bytes = piece.row_bytes();
  if (bytes <= 32 * 16) return multiply_short_rows<T>(w, x, piece.rows, bytes, to);
  const unsigned char* part = x + piece.segment * piece.product->segment_bytes;
#pragma unroll 1
  for (int r = 0; r < piece.rows; ++r) {
    const float sum = dot<T>(w + r * bytes, part, bytes / 16);
    if (own_lane() == 0) to[r] = sum;
  }
}

template <class T> __device__ inline void multiply_piece(const Piece& piece, const unsigned char* w, const unsigned char* x, float* to) {
  const Product& p = piece.product->base;
  if (p.type == DType::kF32) return multiply_rows<float>(piece, w, x, to);
  if constexpr (!std::is_same_v<T, float>) multiply_rows<T>(piece, w, x, to);
}

// What a convolution needs for one output besides its sum, on its way into shared memory while that is made: weights have pushed it out of
// the caches. A thread finds there what it asked for itself.
struct TapPlaces {
  float *filter, *window, *bias;  // of the present thread; the next tap is kStepThreads further

  __device__ TapPlaces() {
    filter = own_shared().taps + threadIdx.x;
    window = filter + kStepTaps * kStepThreads;
    bias = window + (kStepTaps - 1) * kStepThreads;
  }
};

__device__ inline void expect(const StepConvolution& conv, int c) {
  if (c < 0 || c >= conv.dim) return;
  const TapPlaces to;
  if (conv.bias) copy_async_4(to.bias, conv.bias + c);
#pragma unroll 1
  for (int j = 0; j < conv.taps; ++j) {
    copy_async_4(to.filter + j * kStepThreads, conv.w + j * conv.dim + c);
    if (j + 1 < conv.taps) copy_async_4(to.window + j * kStepThreads, conv.window + j * conv.dim + c);
  }
  commit_copies();
}

// One more token of the convolution of an output, which was `value`.
template <class T> __device__ inline void convolve(const StepConvolution& conv, int output, float value) {
  const int c = output - conv.first;
  if (c < 0 || c >= conv.dim) return;
  const TapPlaces from;
  value = rounded<T>(value);
  wait_copies<0>();
  float window[kStepTaps], sum = conv.bias ? *from.bias : 0.0f;
#pragma unroll
  for (int j = 0; j < kStepTaps; ++j) {
    if (j < conv.taps) window[j] = j + 1 < conv.taps ? from.window[j * kStepThreads] : value;
  }
#pragma unroll
  for (int j = 0; j < kStepTaps; ++j) {
    if (j < conv.taps) sum = fmaf(from.filter[j * kStepThreads], window[j], sum);
  }
  if (conv.activation == Activation::kSilu) sum = silu(sum);
  if (conv.y_words) give<T>(conv.y_words, sum, c);
  if (conv.y) static_cast<T*>(conv.y)[c] = from_float<T>(sum);
#pragma unroll
  for (int j = 0; j + 1 < kStepTaps; ++j) {
    if (j + 1 < conv.taps) conv.window[j * conv.dim + c] = window[j + 1];
  }
}

// An output of a block's: the ending of its sum.
template <class T> struct Output {
  const StepProduct* product = nullptr;
  int output = 0;
  Ending ending;

  __device__ void read(const StepProducts& all, const UnitRange& units, int item) {
    const int unit = units.begin + (item >> all.unit_shift), row = item & ((1 << all.unit_shift) - 1);
    product = nullptr;
    if (unit >= units.end) return;
    const StepProduct& p = product_of(all, unit);
    output = ((unit - p.first_unit) << p.unit_shift) + row;
    if (row >> p.unit_shift != 0 || output >= p.base.out) return;
    product = &p;
    ending = Ending();
    ending.read(p.base, 0, output);
    if (all.convolution.taps > 0 && product == &all.product[0]) expect(all.convolution, output - all.convolution.first);
    if (p.residual_words) ending.residual = take_element<T>(p.residual_words, p.base.y_type, output);
  }
  __device__ void finish(const StepProducts& all, const float* parts, int item) const {
    if (!product) return;
    const int unit = item >> all.unit_shift, row = item & ((1 << all.unit_shift) - 1);
    float sum = 0;
    for (int s = 0; s < 1 << all.segment_shift; ++s) sum += parts[(((unit << all.segment_shift) + s) << all.unit_shift) + row];
    const Product& p = product->base;
    float value = fmaf(sum, ending.scale, ending.bias);
    if (p.function != Function::kIdentity) value = evaluate(value, p.function);
    value = fmaf(value, ending.gate, ending.residual);
    if (p.y) store_element(p.y, p.y_type, output, value);
    if (product->y_words) p.y_type == DType::kF32 ? give<float>(product->y_words, value, output) : give<T>(product->y_words, value, output);
    if (all.convolution.taps > 0 && product == &all.product[0]) convolve<T>(all.convolution, output, value);
  }
};

// The inputs that the block's units need, but for one that a norm has put there.
__device__ inline void read_inputs(const StepProducts& all, const UnitRange& units) {
  unsigned needed = 0;
#pragma unroll 1
  for (int i = 0; i < all.count; ++i) {
    const int end = i + 1 < all.count ? all.product[i + 1].first_unit : all.units;
    if (all.product[i].first_unit < units.end && end > units.begin) needed |= 1u << all.product[i].input;
  }
#pragma unroll 1
  for (int i = all.has_norm ? 1 : 0; i < all.inputs; ++i) {
    if ((needed >> i & 1) == 0) continue;
    if (all.input[i].words) {
      take_row(all.input[i].words, all.input[i].bytes, own_shared().inputs + all.input[i].place);
      continue;
    }
    const auto* from = static_cast<const uint4*>(all.input[i].x);
    auto* to = reinterpret_cast<uint4*>(own_shared().inputs + all.input[i].place);
#pragma unroll 2
    for (int v = static_cast<int>(threadIdx.x); v < all.input[i].bytes / 16; v += kStepThreads) to[v] = from[v];
  }
}

// The first input, where it is a row's norm.
template <class T> __device__ inline void norm_input(const StepProducts& all) {
  const UnitRange units(all.shares);
  T* to = reinterpret_cast<T*>(own_shared().inputs + all.input[0].place);
  normalize_row<T>(all.norm, to, units.begin == 0 ? static_cast<T*>(all.norm.y) : nullptr);
}

// What runs between two barriers had better stay in registers and in the instruction cache: weights push all else out of the caches. So no
// functions are called here, and code is there once.
template <class T> __device__ __noinline__ void run_products(const StepProducts& all) {
  const UnitRange units(all.shares);
  const int first_piece = own_shared().first_piece;
  read_inputs(all, units);
  const int thread = static_cast<int>(threadIdx.x);
  Output<T> own;
  own.read(all, units, thread);
  sync_workers();
  const int pieces = pieces_of_block(all);
  // A warp's pieces are those of its slots.
#pragma unroll 1
  for (int index = (own_warp() + kStepWarps - first_piece % kStepWarps) % kStepWarps; index < pieces; index += kStepWarps) {
    const Piece piece(all, units.begin, index);
    const unsigned char* x = own_shared().inputs + all.input[piece.product->input].place;
    multiply_piece<T>(piece, piece_at(first_piece + index), x, own_shared().parts + (index << all.unit_shift));
    release_piece(first_piece + index);
  }
  sync_workers();
  const int items = (units.end - units.begin) << all.unit_shift;
#pragma unroll 1
  for (int item = thread; item < items; item += kStepThreads) {
    if (item != thread) own.read(all, units, item);
    own.finish(all, own_shared().parts, item);
  }
}

#endif

}  // namespace linea::cuda::step
