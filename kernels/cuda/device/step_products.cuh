// kernels/cuda/device/step_products.cuh: products as instructions of a step, with the norm that makes their input and the convolution of
// their outputs.
#pragma once

#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step_block.cuh"
#include "kernels/cuda/device/step_norms.cuh"
#include "kernels/cuda/device/step_words.cuh"

namespace linea::cuda::step {

#if LINEA_HOPPER_CODE

// A row of W in f32.
__device__ inline float multiply_row(const float* w, const float* x, int vectors) {
  float sums[2] = {};
#pragma unroll 2
  for (int v = own_lane(); v < vectors; v += 32) {
    float a[4], b[4];
    load(w + v * 4, a);
    load(x + v * 4, b);
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[j % 2] = fmaf(a[j], b[j], sums[j % 2]);
  }
  return sum_lanes(sums[0] + sums[1]);
}

// Vector v of a row in shared memory, zeros where it does not exist.
__device__ inline uint4 vector_where(bool exists, const void* row, int v) {
  uint4 vector;
  asm volatile(
      "{\n"
      ".reg .pred exists;\n"
      "setp.ne.u32 exists, %5, 0;\n"
      "mov.u32 %0, 0;\n"
      "mov.u32 %1, 0;\n"
      "mov.u32 %2, 0;\n"
      "mov.u32 %3, 0;\n"
      "@exists ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
      "}\n"
      : "=&r"(vector.x), "=&r"(vector.y), "=&r"(vector.z), "=&r"(vector.w)
      : "r"(shared_address(row) + 16 * v), "r"(static_cast<int>(exists))
      : "memory");
  return vector;
}

// What a warp's rows are multiplied with: a part of x, which stays in a lane's registers for all pieces of that part, so that only W is
// read from shared memory. 32 vectors are the 32 rows of four 8×8 matrices, of which lane 4 g + t gets word t of rows g; the two of a
// register pair are 16 vectors apart, as the sides of a product of tiles want it.
struct OwnVectors {
  static constexpr int kMost = kStepPieceBytes / 16 / 32;
  uint32_t v[kMost][4];
  const void* from = nullptr;

  template <int kLoads> __device__ void take(const void* x) {
    static_assert(kLoads <= kMost);
    if (x == from) return;
    from = x;
    const int matrix = own_lane() / 8, vector = (matrix % 2 * 2 + matrix / 2) * 8 + own_lane() % 8;
#pragma unroll
    for (int j = 0; j < kLoads; ++j) load_matrices(v[j], static_cast<const uint4*>(x) + 32 * j + vector);
  }
};

// The sum of what the products of a row's vectors leave on the diagonals: lane 4 g + t has (g, 2 t) and (g, 2 t + 1) of the vectors g and
// g + 16, and in a second product the same of the others.
__device__ inline float sum_diagonals(const float (&first)[4], const float (&second)[4]) {
  const float own = own_lane() / 4 % 2 == 0 ? first[0] + second[2] : first[1] + second[3];
  return sum_lanes<8>(__shfl_sync(0xffffffffu, own, own_lane() % 8 * 4 + own_lane() % 8 / 2));
}

// A row of W in 16 bits of 32 kLoads vectors by products of tiles, which take a tenth of the instructions that conversions and sums of f32
// would: a matrix of 8 vectors of the row beside one of x, of which the diagonal is wanted. A product of tiles takes four of the row and
// two of x.
template <class T, int kLoads> __device__ inline float multiply_whole_row(const uint4* w, const OwnVectors& x) {
  uint32_t left[kLoads][4];
#pragma unroll
  for (int j = 0; j < kLoads; ++j) load_matrices(left[j], w + 32 * j + own_lane());
  float sums[2][2][4] = {};  // of every second product, so that fewer wait for each other; by which of x
#pragma unroll
  for (int j = 0; j < kLoads; ++j) {
    multiply<T>(sums[j % 2][0], left[j], x.v[j][0], x.v[j][1]);
    multiply<T>(sums[j % 2][1], left[j], x.v[j][2], x.v[j][3]);
  }
  float first[4], second[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    first[i] = sums[0][0][i] + sums[1][0][i];
    second[i] = sums[0][1][i] + sums[1][1][i];
  }
  return sum_diagonals(first, second);
}

template <class T, int kLoads>
__device__ inline void multiply_whole_rows(int rows, const unsigned char* w, const T* x, OwnVectors& own, float* to) {
  own.take<kLoads>(x);
#pragma unroll 1
  for (int row = 0; row < rows; ++row) {
    const float sum = multiply_whole_row<T, kLoads>(reinterpret_cast<const uint4*>(w) + row * kLoads * 32, own);
    if (own_lane() == 0) to[row] = sum;
  }
}

// A row of W of any length, a vector of W and of x a lane.
template <class T> __device__ inline float multiply_row(const T* w, const T* x, int vectors) {
  float first[4] = {}, second[4] = {};
#pragma unroll 1
  for (int v = own_lane(); v - own_lane() < vectors; v += 32) {
    const uint4 a = vector_where(v < vectors, w, v), b = vector_where(v < vectors, x, v);
    const uint32_t left[4] = {a.x, a.y, a.z, a.w};
    multiply<T>(first, left, b.x, b.z);
    multiply<T>(second, left, b.y, b.w);
  }
  return sum_diagonals(first, second);
}

// Eight short rows of W at a time: lane 4 g + t has every fourth vector of row g, and gets the row's sum.
__device__ inline float multiply_eight_rows(const float* row, bool exists, const float* x, int vectors) {
  float sum = 0;
#pragma unroll 2
  for (int v = own_lane() % 4; v < vectors; v += 4) {
    float a[4] = {}, b[4];
    if (exists) load(row + v * 4, a);
    load(x + v * 4, b);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum = fmaf(a[j], b[j], sum);
  }
  return sum_lanes<4>(sum);
}
// x is every column of the right tile.
template <class T> __device__ inline float multiply_eight_rows(const T* row, bool exists, const T* x, int vectors) {
  float sums[2][4] = {};
#pragma unroll 2
  for (int first = 0; first < vectors; first += 4) {
    const int v = first + own_lane() % 4;
    const uint4 a = vector_where(exists && v < vectors, row, v), b = vector_where(v < vectors, x, v);
    const uint32_t left[2][4] = {{a.x, 0, a.y, 0}, {a.z, 0, a.w, 0}};
    multiply<T>(sums[0], left[0], b.x, b.y);
    multiply<T>(sums[1], left[1], b.z, b.w);
  }
  return sums[0][0] + sums[1][0];
}

template <class T>
__device__ inline void multiply_rows(int rows, int bytes, const unsigned char* w, const T* x, OwnVectors& own, float* to) {
  constexpr int kShort = 1024;  // bytes: 16 vectors for each of four lanes
  if (bytes <= kShort) {
#pragma unroll 1
    for (int first = 0; first < rows; first += 8) {
      const int row = first + own_lane() / 4;
      const float sum = multiply_eight_rows(reinterpret_cast<const T*>(w + row * bytes), row < rows, x, bytes / 16);
      if (own_lane() % 4 == 0 && row < rows) to[row] = sum;
    }
    return;
  }
  if constexpr (sizeof(T) == 2) {
    constexpr int kBytes = 32 * 16;  // of one load: rows of 2560 channels, of 4096 or 16384 in parts, of 1024
    if (bytes == 10 * kBytes) return multiply_whole_rows<T, 10>(rows, w, x, own, to);
    if (bytes == 8 * kBytes) return multiply_whole_rows<T, 8>(rows, w, x, own, to);
    if (bytes == 4 * kBytes) return multiply_whole_rows<T, 4>(rows, w, x, own, to);
  }
#pragma unroll 1
  for (int row = 0; row < rows; ++row) {
    const float sum = multiply_row(reinterpret_cast<const T*>(w + row * bytes), x, bytes / 16);
    if (own_lane() == 0) to[row] = sum;
  }
}

template <class T> __device__ inline void multiply_piece(const Piece& piece, const unsigned char* w, OwnVectors& own, float* to) {
  if (piece.is_wide) return multiply_rows(piece.rows, piece.bytes, w, reinterpret_cast<const float*>(piece.x), own, to);
  if constexpr (!std::is_same_v<T, float>) multiply_rows(piece.rows, piece.bytes, w, reinterpret_cast<const T*>(piece.x), own, to);
}

// What an output needs besides its sum, on its way into shared memory before the instruction's input is there: weights have pushed it out
// of the caches. A thread finds there what it asked for itself; the next tap is kStepThreads further.
struct EndingPlaces {
  float *filter, *window, *tap_bias, *bias, *gate;
  uint32_t* residual;  // two words

  __device__ EndingPlaces() {
    filter = own_shared().endings + threadIdx.x;
    window = filter + kStepTaps * kStepThreads;
    tap_bias = window + (kStepTaps - 1) * kStepThreads;
    bias = tap_bias + kStepThreads;
    gate = bias + kStepThreads;
    residual = own_shared().residuals[threadIdx.x];
  }
};

__device__ inline void expect(const StepConvolution& conv, int c) {
  if (c < 0 || c >= conv.dim) return;
  const EndingPlaces to;
  if (conv.bias) copy_async<4>(to.tap_bias, conv.bias + c);
#pragma unroll 1
  for (int j = 0; j < conv.taps; ++j) {
    copy_async<4>(to.filter + j * kStepThreads, conv.w + j * conv.dim + c);
    if (j + 1 < conv.taps) copy_async<4>(to.window + j * kStepThreads, conv.window + j * conv.dim + c);
  }
}

// One more token of the convolution of an output, which was `value`.
template <class T> __device__ inline void convolve(const StepConvolution& conv, int output, float value) {
  const int c = output - conv.first;
  if (c < 0 || c >= conv.dim) return;
  const EndingPlaces from;
  value = rounded<T>(value);
  float window[kStepTaps], sum = conv.bias ? *from.tap_bias : 0.0f;
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

// An output of a block's; no product where the item is none.
template <class T> struct Output {
  const StepProduct* product = nullptr;
  int output = 0;

  __device__ Output(const StepProducts& all, const UnitRange& units, int item) {
    const int unit = units.begin + (item >> all.unit_shift), row = item & ((1 << all.unit_shift) - 1);
    if (unit >= units.end) return;
    const StepProduct& p = product_of(all, unit);
    output = ((unit - p.first_unit) << p.unit_shift) + row;
    if (row >> p.unit_shift == 0 && output < p.base.out) product = &p;
  }
  __device__ bool is_convolved(const StepProducts& all) const { return all.convolution.taps > 0 && product == &all.product[0]; }

  // Asks for all that finish() needs but the sum.
  __device__ void expect(const StepProducts& all) const {
    if (!product) return;
    const EndingPlaces to;
    const Product& p = product->base;
    if (p.bias) copy_async<4>(to.bias, p.bias + output);
    if (p.gate) copy_async<4>(to.gate, p.gate + output);
    if (product->residual_words && p.y_type == DType::kF32) {
      copy_async<8>(to.residual, words_at<float>(product->residual_words, output));
    } else if (product->residual_words) {
      copy_async<4>(to.residual, words_at<T>(product->residual_words, output));
    }
    if (is_convolved(all)) step::expect(all.convolution, output - all.convolution.first);
    commit_copies();
  }
  // Words that had not been given yet when they were asked for are waited for here.
  __device__ float residual(const EndingPlaces& from) const {
    const Product& p = product->base;
    if (!product->residual_words) return p.residual ? element_of(p.residual, p.y_type, output) : 0.0f;
    const uint32_t mark = own_mark(), low = from.residual[0];
    if (p.y_type != DType::kF32) {
      return (low ^ mark) >> 16 != 0 ? take_element<T>(product->residual_words, output) : element_of_word<T>(low);
    }
    const uint32_t high = from.residual[1];
    if (((low ^ mark) | (high ^ mark)) >> 16 != 0) return take_element<float>(product->residual_words, output);
    return __uint_as_float(__byte_perm(low, high, 0x5410));
  }
  __device__ void finish(const StepProducts& all, const float* parts, int item) const {
    if (!product) return;
    const int unit = item >> all.unit_shift, row = item & ((1 << all.unit_shift) - 1);
    const EndingPlaces from;
    const Product& p = product->base;
    float sum = 0;
#pragma unroll 1
    for (int s = 0; s < 1 << all.segment_shift; ++s) sum += parts[(((unit << all.segment_shift) + s) << all.unit_shift) + row];
    wait_copies<0>();
    float value = p.bias ? sum + *from.bias : sum;
    if (p.function != Function::kIdentity) value = evaluate(value, p.function);
    value = fmaf(value, p.gate ? *from.gate : 1.0f, residual(from));
    if (p.y) store_element(p.y, p.y_type, output, value);
    if (product->y_words) p.y_type == DType::kF32 ? give<float>(product->y_words, value, output) : give<T>(product->y_words, value, output);
    if (is_convolved(all)) convolve<T>(all.convolution, output, value);
  }
};

// The inputs that the block's units need, a bit for each.
__device__ inline unsigned inputs_of(const StepProducts& all, const UnitRange& units) {
  unsigned needed = 0;
#pragma unroll 1
  for (int i = 0; i < all.count; ++i) {
    const int end = i + 1 < all.count ? all.product[i + 1].first_unit : all.units;
    if (all.product[i].first_unit < units.end && end > units.begin) needed |= 1u << all.product[i].input;
  }
  return needed;
}

// But for one that a norm has put there.
__device__ inline void read_inputs(const StepProducts& all, unsigned needed) {
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

// Constants of an instruction's mixes, kStepMixConstants and one for each input, as pieces of the ring.
struct MixConstants {
  int first_piece, each;  // pieces of one

  __device__ MixConstants(const StepProducts& all, int first) : first_piece(first), each(pieces_of_mix(all.norm.dim)) {}
  __device__ void read(int which, int c, float (&v)[kVector]) const {
    const int place = c * static_cast<int>(sizeof(float));
    const unsigned char* piece = piece_at(first_piece + which * each + place / kStepPieceBytes);
    load(reinterpret_cast<const float*>(piece + place % kStepPieceBytes), v);
  }
};

// The inputs that the block needs, where they are mixes: every block norms the row for itself. The instruction's first piece is the one
// after the constants' then.
template <class T> __device__ __noinline__ void mix_inputs(const StepProducts& all, unsigned needed) {
  const UnitRange units(all.shares);
  const MixConstants constants(all, own_shared().first_piece);
  Row<1> row;
  row.take<T>(all.norm.words, all.norm.x, all.norm.x_type, all.norm.dim);
  const float factor = row.normalize(all.norm.dim, true, all.norm.eps).y;
  Row<1>::for_vectors(all.norm.dim, [&](int, int c) {
    float h[kVector], bias[kVector], previous[kVector], share[kVector];
    constants.read(0, c, h);
    constants.read(1, c, bias);
    constants.read(2, c, previous);
#pragma unroll
    for (int j = 0; j < kVector; ++j) h[j] = fmaf(row.v[0][j] * factor, h[j], bias[j]);
    if (c / kVector % static_cast<int>(gridDim.x) == static_cast<int>(blockIdx.x)) store(all.mixed.next_state + c, h);
    int which = kStepMixConstants;
#pragma unroll 1
    for (unsigned left = needed; left != 0; left &= left - 1) {
      const int input = __ffs(static_cast<int>(left)) - 1;
      constants.read(which++, c, share);
#pragma unroll
      for (int j = 0; j < kVector; ++j) share[j] = fmaf(previous[j] - h[j], share[j], h[j]);
      store(reinterpret_cast<T*>(own_shared().inputs + all.input[input].place) + c, share);
      const int first_unit = all.input[input].first_unit;
      auto* y = static_cast<T*>(all.mixed.y[input]);
      if (y && first_unit >= units.begin && first_unit < units.end) store(y + c, share);
    }
  });
  const int pieces = (kStepMixConstants + __popc(needed)) * constants.each;
  release_pieces(constants.first_piece, pieces);
  if (threadIdx.x == 0) own_shared().first_piece += pieces;
}

// The first input, where it is a row's norm.
template <class T> __device__ __noinline__ void norm_input(const StepProducts& all) {
  normalize_row<T>(all.norm, [&](int i, const float(&v)[kVector]) {
    store(reinterpret_cast<T*>(own_shared().inputs + all.input[0].place) + i, v);
    if (all.norm.y && blockIdx.x == 0) store(static_cast<T*>(all.norm.y) + i, v);
  });
}

// All inputs that the block's units need.
template <class T> __device__ inline void make_inputs(const StepProducts& all) {
  const unsigned needed = inputs_of(all, UnitRange(all.shares));
  if (all.has_mix) return mix_inputs<T>(all, needed);
  if (all.has_norm) norm_input<T>(all);
  read_inputs(all, needed);
}

// The sums of all the block's pieces, by all warps in turns.
template <class T> __device__ inline void multiply_pieces(const StepProducts& all) {
  const UnitRange units(all.shares);
  const ProductFinder products(all);
  const int pieces = pieces_of_block(all), first_piece = own_shared().first_piece;
  OwnVectors own;
  // A warp's pieces are those of its slots.
#pragma unroll 1
  for (int index = (own_warp() + kStepWarps - first_piece % kStepWarps) % kStepWarps; index < pieces; index += kStepWarps) {
    const Piece piece(all, products, units.begin, index);
    multiply_piece<T>(piece, piece_at(first_piece + index), own, own_shared().parts + (index << all.unit_shift));
    release_piece(first_piece + index);
  }
}

// `own`: the thread's first, for which it has asked.
template <class T> __device__ inline void finish_outputs(const StepProducts& all, Output<T> own) {
  const UnitRange units(all.shares);
  const int items = (units.end - units.begin) << all.unit_shift;
  int item = static_cast<int>(threadIdx.x);
#pragma unroll 1
  while (item < items) {
    own.finish(all, own_shared().parts, item);
    item += kStepThreads;
    if (item >= items) return;
    own = Output<T>(all, units, item);
    own.expect(all);
  }
}

// What runs between two barriers had better stay in registers and in the instruction cache: weights push all else out of the caches. So no
// functions are called where weights stream, and code is there once. Returns the pieces of the ring that W took.
template <class T> __device__ __noinline__ int run_products() {
  const auto& all = present().as<StepProducts>();
  Output<T>(all, UnitRange(all.shares), static_cast<int>(threadIdx.x)).expect(all);
  make_inputs<T>(all);
  sync_workers();
  multiply_pieces<T>(all);
  const Output<T> own(all, UnitRange(all.shares), static_cast<int>(threadIdx.x));  // found while others multiply
  sync_workers();
  finish_outputs<T>(all, own);
  return pieces_of_block(all);
}

#endif

}  // namespace linea::cuda::step
