// kernels/cuda/conv_hopper.cu: 3×3 convolutions of 16-bit types on sm_90's copy engine and warpgroup products.
//
// Maths    y[pixel, n] = residual + act( Σ_{ky,kx,c} x[pixel + (ky, kx) - 1, c] w[n, ky, kx, c] + bias ). Of a map that is enlarged 2× by
//          repetition, each parity of rows and columns sees only 2×2 different pixels, so it has filters of its own, 2×2, with those that
//          fall together added up: 4/9 of the products.
// Shape    DC-AE's decoder at 1024²: 3×3 at 1024²×128 and 512²×256, six of each: M = 1.05 M pixels, N = 128, K = 1152.
// Tiles    block = 128 outputs × 16×16 pixels: two warpgroups of 64 outputs each. The filters stand on the left, since the widest
//          instruction has 256 columns and half of these layers have 128 outputs. One warp asks the copy engine for boxes of 16×16 pixels
//          × 64 channels (zeros outside the map) and of 128 × 64 filter values, four stages of 48 KiB. The result is turned over in
//          shared memory.
// Traffic  x is read nine times (four, enlarged), all but one of them from the second-level cache.
// Roofline bound by compute: 309 GFLOP a convolution at 1024²×128 = 0.39 ms at 783 TFLOP/s; 1.3 ms measured, 0.57 ms for
//          the same work at 256²×512.
// Accuracy products and sums in f32 in one order over K, wherever the tile lies: strips equal the whole. One rounding of the result (two
//          where a residual is added); sums of filters are rounded to the type.
#include "kernels/cuda/conv_hopper.h"

#include <map>
#include <mutex>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/math.cuh"

namespace linea::cuda {
namespace {

constexpr int kConsumers = 2, kThreads = kConsumers * 128 + 32, kStages = 4;
constexpr int kTileRows = 16, kTileColumns = 16, kPixels = kTileRows * kTileColumns, kOutputs = 128, kDepth = 64;
constexpr int kPixelBytes = kPixels * kDepth * 2, kFilterBytes = kOutputs * kDepth * 2, kStageBytes = kPixelBytes + kFilterBytes;
constexpr int kShared = kStages * kStageBytes + 1024 + 2 * kStages * static_cast<int>(sizeof(uint64_t));
constexpr int kSums = kPixels / 2;         // of a thread: 64 outputs × 256 pixels over 128 threads
constexpr int kStorePitch = kOutputs + 8;  // elements; keeps eight pixels' rows in different banks

struct HopperConvParams {
  CUtensorMap x, w;
  void* y;
  const void* residual;  // may be null
  const float* bias;     // may be null
  int channels, out, out_height, out_width;
  int row_tiles, column_tiles, output_tiles;
  int pad_top;
  Activation activation;
};

// A block's place: the first pixel of its tile in the map that the filters walk over, and the parity of an enlarged map.
struct Place {
  int output, parity, row, column, member;

  template <bool kEnlarge> __device__ static Place of(const HopperConvParams& p, int block) {
    Place place;
    place.output = block % p.output_tiles * kOutputs;
    block /= p.output_tiles;
    place.parity = kEnlarge ? block % 4 : 0;
    if (kEnlarge) block /= 4;
    place.column = block % p.column_tiles * kTileColumns;
    block /= p.column_tiles;
    place.row = block % p.row_tiles * kTileRows;
    place.member = block / p.row_tiles;
    return place;
  }

  // Where pixel i of the tile lies in y; negative when it does not.
  template <bool kEnlarge> __device__ int64_t pixel(const HopperConvParams& p, int i) const {
    int r = row + i / kTileColumns, c = column + i % kTileColumns;
    if (kEnlarge) {
      r = 2 * r + parity / 2 - 1 + p.pad_top;
      c = 2 * c + parity % 2;
    }
    if (r < 0 || r >= p.out_height || c >= p.out_width) return -1;
    return (static_cast<int64_t>(member) * p.out_height + r) * p.out_width + c;
  }
};

#if LINEA_HOPPER_CODE

// One thread asks for everything, a stage ahead of the consumers by as many stages as there are.
template <bool kEnlarge>
__device__ void produce(const HopperConvParams& p, const Place& place, unsigned char* stages, uint64_t* full, uint64_t* empty, int steps) {
  constexpr int kSide = kEnlarge ? 2 : 3;
  const int first_row = place.row + (kEnlarge ? place.parity / 2 - 1 : -p.pad_top);
  const int first_column = place.column + (kEnlarge ? place.parity % 2 : 0) - 1;
  int channel = 0, ky = 0, kx = 0;
  for (int s = 0; s < steps; ++s) {
    const int stage = s % kStages;
    if (s >= kStages) wait_phase(empty + stage, (s / kStages - 1) % 2);
    unsigned char* pixels = stages + stage * kStageBytes;
    arrive_expecting(full + stage, kStageBytes);
    copy_box(pixels, p.x, full + stage, channel, first_column + kx, first_row + ky, place.member);
    copy_box(pixels + kPixelBytes, p.w, full + stage, (ky * kSide + kx) * p.channels + channel, place.parity * p.out + place.output);
    channel += kDepth;
    if (channel < p.channels) continue;
    channel = 0;
    if (++kx < kSide) continue;
    kx = 0;
    ++ky;
  }
}

template <class T>
__device__ void consume(float (&sums)[kSums], const unsigned char* stages, uint64_t* full, uint64_t* empty, int steps, int group) {
  for (int s = 0; s < steps; ++s) {
    const int stage = s % kStages;
    wait_phase(full + stage, s / kStages % 2);
    const unsigned char* pixels = stages + stage * kStageBytes;
    const uint64_t a = matrix_descriptor(pixels + kPixelBytes + group * (kFilterBytes / kConsumers)), b = matrix_descriptor(pixels);
    begin_products();
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k) multiply_group<T>(sums, a + 2 * k, b + 2 * k);
    commit_products();
    wait_products<1>();  // of the stage before, which may be filled again
    if (s > 0 && threadIdx.x % 128 == 0) arrive(empty + (s - 1) % kStages);
  }
  wait_products<0>();
}

template <class T> __device__ uint32_t pack(float low, float high) {
  const T pair[2] = {from_float<T>(low), from_float<T>(high)};
  return *reinterpret_cast<const uint32_t*>(pair);
}

// act(sums + bias), 64 outputs × 256 pixels of a group, into tile [pixel][output].
template <class T>
__device__ void store_sums(const HopperConvParams& p, const Place& place, const float (&sums)[kSums], T* tile, int group) {
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32,
            first = group * 64 + thread / 32 * 16;  // of the warp's outputs
  float bias[2] = {};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int n = place.output + first + lane / 4 + 8 * r;
    if (p.bias && n < p.out) bias[r] = p.bias[n];
  }
#pragma unroll
  for (int j = 0; j < kPixels / 8; j += 2) {
    uint32_t matrices[4];  // outputs 0…7 and 8…15 of pixels 8j …, then of the next eight pixels
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const int i = 4 * (j + m / 2) + 2 * (m % 2);
      matrices[m] = pack<T>(activate(sums[i] + bias[m % 2], p.activation), activate(sums[i + 1] + bias[m % 2], p.activation));
    }
    store_matrices_transposed(tile + (8 * (j + lane / 16) + lane % 8) * kStorePitch + first + lane / 8 % 2 * 8, matrices);
  }
}

// The tile's pixels to y, 16 bytes a thread, so that a pixel's channels are written together.
template <bool kEnlarge, class T> __device__ void store_pixels(const HopperConvParams& p, const Place& place, const T* tile) {
  constexpr int kChunks = kOutputs / 8;
  const int chunk = static_cast<int>(threadIdx.x) % kChunks * 8, n = place.output + chunk;
  if (n >= p.out) return;
  for (int i = static_cast<int>(threadIdx.x) / kChunks; i < kPixels; i += kConsumers * 128 / kChunks) {
    const int64_t pixel = place.pixel<kEnlarge>(p, i);
    if (pixel < 0) continue;
    uint4 bits = *reinterpret_cast<const uint4*>(tile + i * kStorePitch + chunk);
    const int64_t at = pixel * p.out + n;
    if (p.residual) {
      float v[8], other[8];
      load(reinterpret_cast<const T*>(&bits), v);
      load(static_cast<const T*>(p.residual) + at, other);
#pragma unroll
      for (int k = 0; k < 8; ++k) v[k] += other[k];
      store(reinterpret_cast<T*>(&bits), v);
    }
    *reinterpret_cast<uint4*>(static_cast<T*>(p.y) + at) = bits;
  }
}

#endif

template <bool kEnlarge, class T>
__global__ void __launch_bounds__(kThreads, 1) hopper_conv_kernel(const __grid_constant__ HopperConvParams p) {
#if LINEA_HOPPER_CODE
  extern __shared__ unsigned char shared_bytes[];
  unsigned char* stages = shared_bytes + (1024 - shared_address(shared_bytes) % 1024) % 1024;
  uint64_t* full = reinterpret_cast<uint64_t*>(stages + kStages * kStageBytes);
  uint64_t* empty = full + kStages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + i, 1);
      init_barrier(empty + i, kConsumers);
    }
    publish_barriers();
  }
  __syncthreads();
  const Place place = Place::of<kEnlarge>(p, static_cast<int>(blockIdx.x));
  const int steps = (kEnlarge ? 4 : 9) * (p.channels / kDepth), group = static_cast<int>(threadIdx.x) / 128;
  if (group == kConsumers) {
    if (threadIdx.x % 32 == 0) produce<kEnlarge>(p, place, stages, full, empty, steps);
    return;
  }
  float sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = 0;
  consume<T>(sums, stages, full, empty, steps, group);
  const auto meet = [] { asm volatile("bar.sync 1, 256;" ::: "memory"); };  // both groups
  T* tile = reinterpret_cast<T*>(stages);
  meet();
  store_sums(p, place, sums, tile, group);
  meet();
  store_pixels<kEnlarge>(p, place, tile);
#endif
}

// filters [4, out, 2, 2, in] from w [out, 3, 3, in]: an even row's window meets one coarse row with its first filter row and the next with
// the other two; an odd row's the other way round. Columns likewise.
template <class T> __global__ void fold_kernel(const T* w, T* folded, int out, int in) {
  const int64_t filter = blockIdx.x;  // (parity · out + n) · 4 + tap
  const int tap = static_cast<int>(filter % 4), n = static_cast<int>(filter / 4 % out), parity = static_cast<int>(filter / 4 / out);
  const auto range = [](int odd, int second, int& from, int& to) {
    from = second ? (odd ? 2 : 1) : 0;
    to = second ? 3 : (odd ? 2 : 1);
  };
  int row_from, row_to, column_from, column_to;
  range(parity / 2, tap / 2, row_from, row_to);
  range(parity % 2, tap % 2, column_from, column_to);
  for (int c = static_cast<int>(threadIdx.x); c < in; c += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int ky = row_from; ky < row_to; ++ky) {
      for (int kx = column_from; kx < column_to; ++kx) sum += to_float(w[((static_cast<int64_t>(n) * 3 + ky) * 3 + kx) * in + c]);
    }
    folded[filter * in + c] = from_float<T>(sum);
  }
}

const Tensor& folded_filters(cudaStream_t stream, const Weight& w) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  Tensor& filters = static_cast<FoldedFilters*>(w.packed.get())->filters;
  if (filters.defined()) return filters;
  const int64_t out = w.shape[0], in = w.shape[1];
  filters = Tensor({4, out, 2, 2, in}, w.data.dtype(), w.data.device());
  with_type(w.data.dtype(), "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    fold_kernel<T><<<static_cast<unsigned>(16 * out), 128, 0, stream>>>(pointer<T>(w.data), pointer<T>(filters), static_cast<int>(out),
                                                                        static_cast<int>(in));
  });
  check_launch("conv2d");
  return filters;
}

// cuTensorMapEncodeTiled is the driver's, and the driver library is not linked.
using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

EncodeTiled encode_tiled() {
  static const EncodeTiled function = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &result) != cudaSuccess ||
        result != cudaDriverEntryPointSuccess) {
      cudaGetLastError();
      entry = nullptr;
    }
    return reinterpret_cast<EncodeTiled>(entry);
  }();
  return function;
}

// A tensor of up to four dimensions, channels first, that is copied in boxes with 64 channels of 16 bits.
template <size_t kRank>
CUtensorMap tensor_map(DType type, const void* data, const cuuint64_t (&dims)[kRank], const cuuint32_t (&box)[kRank]) {
  CUtensorMap map;
  cuuint64_t strides[kRank - 1];  // bytes
  cuuint32_t steps[kRank];
  uint64_t stride = 2;
  for (size_t i = 0; i < kRank; ++i) {
    stride *= dims[i];
    if (i + 1 < kRank) strides[i] = stride;
    steps[i] = 1;
  }
  const CUresult status =
      encode_tiled()(&map, type == DType::kBF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                     static_cast<cuuint32_t>(kRank), const_cast<void*>(data), dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                     CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) throw Error(ErrorKind::kDevice, "conv2d: cuTensorMapEncodeTiled: error " + std::to_string(status));
  return map;
}

bool is_hopper(int device) {
  static std::mutex mutex;
  static auto& known = *new std::map<int, bool>;
  const std::lock_guard lock(mutex);
  const auto [place, is_new] = known.emplace(device, false);
  if (is_new) {
    int major = 0, minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "conv2d", "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "conv2d", "cudaDeviceGetAttribute");
    // The body is empty in code for any other architecture, sm_90 without the a among them, and then needs next to no registers.
    cudaFuncAttributes attributes;
    const bool has_code =
        cudaFuncGetAttributes(&attributes, hopper_conv_kernel<false, __nv_bfloat16>) == cudaSuccess && attributes.numRegs > kSums;
    place->second = major == 9 && minor == 0 && has_code && encode_tiled();
  }
  return place->second;
}

template <bool kEnlarge, class T> void launch(cudaStream_t stream, const HopperConvParams& p, int64_t members) {
  allow_shared(hopper_conv_kernel<kEnlarge, T>, kShared, "conv2d");
  const int64_t blocks = int64_t{p.output_tiles} * (kEnlarge ? 4 : 1) * p.column_tiles * p.row_tiles * members;
  hopper_conv_kernel<kEnlarge, T><<<static_cast<unsigned>(blocks), kThreads, kShared, stream>>>(p);
  check_launch("conv2d");
}

}  // namespace

bool is_hopper_conv(const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const int64_t out = w.shape[0], in = w.shape[1];
  return x.dtype() != DType::kF32 && w.packed && w.shape[2] == 3 && args.stride == 1 && in % kDepth == 0 && out % 8 == 0 && out >= 64 &&
         is_aligned(x.raw(), 0) && is_aligned(y.raw(), 0) && is_aligned(args.residual.raw(), 0) && is_hopper(x.device().index);
}

void hopper_conv(cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const auto channels = static_cast<cuuint64_t>(w.shape[1]), out = static_cast<cuuint64_t>(w.shape[0]);
  const bool enlarge = args.upsample_nearest;
  const Tensor& filters = enlarge ? folded_filters(stream, w) : w.data;
  HopperConvParams p = {};
  p.x = tensor_map<4>(x.dtype(), x.raw(),
                      {channels, static_cast<cuuint64_t>(x.dim(2)), static_cast<cuuint64_t>(x.dim(1)), static_cast<cuuint64_t>(x.dim(0))},
                      {kDepth, kTileColumns, kTileRows, 1});
  p.w = tensor_map<2>(x.dtype(), filters.raw(), {channels * (enlarge ? 4 : 9), out * (enlarge ? 4 : 1)}, {kDepth, kOutputs});
  p.y = y.raw();
  p.residual = args.residual.raw();
  p.bias = floats(args.bias);
  p.channels = static_cast<int>(channels);
  p.out = static_cast<int>(out);
  p.out_height = static_cast<int>(y.dim(1));
  p.out_width = static_cast<int>(y.dim(2));
  // Tiles cover y, or the small map of which y is the enlargement.
  p.row_tiles = static_cast<int>(ceil_div(enlarge ? x.dim(1) : y.dim(1), kTileRows));
  p.column_tiles = static_cast<int>(ceil_div(enlarge ? x.dim(2) : y.dim(2), kTileColumns));
  p.output_tiles = static_cast<int>(ceil_div(w.shape[0], kOutputs));
  p.pad_top = args.pad_top < 0 ? 1 : args.pad_top;
  p.activation = args.activation;
  with_type(x.dtype(), "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) enlarge ? launch<true, T>(stream, p, x.dim(0)) : launch<false, T>(stream, p, x.dim(0));
  });
}

}  // namespace linea::cuda
