// kernels/cuda/conv_halo.cu: 3×3 convolutions on sm_90 with short products: a tile's pixels come once, with their halo.
//
// Tiles    16 rows of 8 pixels; two blocks a multiprocessor, so that one stores while the other multiplies. The tile's pixels with
//          their halo come once for 64 channels (18 × 10 pixels, 23 KiB, two in turn) and serve all nine filter positions: a
//          position is another beginning in them. Filters come in stages of 128 × 64 (16 KiB, four in turn), of which each block of
//          a cluster of two asks for a half on behalf of both.
// Traffic  97 KiB for 64 channels, where nine separate boxes of pixels and filters would be 288.
// Roofline bound by compute: 0.39 ms at 1024²×128; 0.93 ms measured. Products of 128 pixels keep shared memory busy three quarters
//          of the time (96 of its 128 bytes a cycle), which holds it at 330 to 370 TFLOP/s for any number of channels.
#include "kernels/cuda/conv_hopper_kernels.h"
#include "kernels/cuda/device/conv_tile.cuh"

namespace linea::cuda {
namespace {

using Tile = ConvTile<kHaloTileRows, kHaloTileColumns>;
constexpr int kStages = 4, kCluster = 2;
constexpr int kPixelBytes = (Tile::kRows + 2) * (Tile::kColumns + 2) * kConvDepth * 2, kPixelBuffer = (kPixelBytes + 1023) / 1024 * 1024;
constexpr int kFilterBytes = kConvOutputs * kConvDepth * 2, kFilterPart = kFilterBytes / kCluster;
constexpr int kShared = 2 * kPixelBuffer + kStages * kFilterBytes + 1024 + (2 * kStages + 4) * static_cast<int>(sizeof(uint64_t));
static_assert(kFilterPart == kHaloFilterRows * kConvDepth * 2);
static_assert(Tile::kPixels * Tile::kStorePitch * 2 <= 2 * kPixelBuffer);  // where the result is turned over

#if LINEA_HOPPER_CODE

// What a block keeps in shared memory.
struct Shared {
  unsigned char *pixels, *filters;                                      // two buffers; kStages stages
  uint64_t *pixels_full, *pixels_empty, *filters_full, *filters_empty;  // a barrier each

  __device__ static Shared at(unsigned char* bytes) {
    Shared s;
    s.pixels = bytes + (1024 - shared_address(bytes) % 1024) % 1024;
    s.filters = s.pixels + 2 * kPixelBuffer;
    s.pixels_full = reinterpret_cast<uint64_t*>(s.filters + kStages * kFilterBytes);
    s.pixels_empty = s.pixels_full + 2;
    s.filters_full = s.pixels_empty + 2;
    s.filters_empty = s.filters_full + kStages;
    return s;
  }
  __device__ void init_barriers() const {
    for (int i = 0; i < 2; ++i) {
      init_barrier(pixels_full + i, 1);
      init_barrier(pixels_empty + i, kConvConsumers);
    }
    for (int i = 0; i < kStages; ++i) {
      init_barrier(filters_full + i, 1);
      init_barrier(filters_empty + i, kConvConsumers * kCluster);
    }
    publish_barriers();
  }
};

// One thread asks for everything, as far ahead of the consumers as there is room.
template <bool kEnlarge> __device__ void produce(const HopperConvParams& p, const Tile& place, const Shared& shared) {
  constexpr int kSide = kEnlarge ? 2 : 3, kTaps = kSide * kSide, kAhead = kTaps / 2;
  constexpr int kBoxBytes = (Tile::kRows + kSide - 1) * (Tile::kColumns + kSide - 1) * kConvDepth * 2;
  const int first_row = place.template first_row<kEnlarge>(p), first_column = place.template first_column<kEnlarge>();
  const int rank = cluster_rank(), slabs = p.channels / kConvDepth;
  const auto ask_for_pixels = [&](int slab) {
    const int buffer = slab % 2;
    if (slab >= 2) wait_phase(shared.pixels_empty + buffer, (slab / 2 - 1) % 2);
    arrive_expecting(shared.pixels_full + buffer, kBoxBytes);
    copy_box(shared.pixels + buffer * kPixelBuffer, p.x, shared.pixels_full + buffer, slab * kConvDepth, first_column, first_row,
             place.member);
  };
  ask_for_pixels(0);
  int step = 0;
  for (int slab = 0; slab < slabs; ++slab) {
    for (int tap = 0; tap < kTaps; ++tap, ++step) {
      if (tap == kAhead && slab + 1 < slabs) ask_for_pixels(slab + 1);
      const int stage = step % kStages;
      if (step >= kStages) wait_phase(shared.filters_empty + stage, (step / kStages - 1) % 2);
      arrive_expecting(shared.filters_full + stage, kFilterBytes);
      copy_box_to_all(shared.filters + stage * kFilterBytes + rank * kFilterPart, p.w, shared.filters_full + stage,
                      tap * p.channels + slab * kConvDepth, place.parity * p.out + place.output + rank * (kConvOutputs / kCluster),
                      (1 << kCluster) - 1);
    }
  }
}

template <bool kEnlarge, class T>
__device__ void consume(const HopperConvParams& p, const Shared& shared, float (&sums)[Tile::kSums], int group) {
  constexpr int kSide = kEnlarge ? 2 : 3, kTaps = kSide * kSide, kPitch = Tile::kColumns + kSide - 1;
  const bool speaks = threadIdx.x % 128 == 0;
  const int slabs = p.channels / kConvDepth;
  int step = 0;
  for (int slab = 0; slab < slabs; ++slab) {
    wait_phase(shared.pixels_full + slab % 2, slab / 2 % 2);
    const unsigned char* pixels = shared.pixels + slab % 2 * kPixelBuffer;
    for (int tap = 0; tap < kTaps; ++tap, ++step) {
      const int stage = step % kStages;
      wait_phase(shared.filters_full + stage, step / kStages % 2);
      const uint64_t a = matrix_descriptor(shared.filters + stage * kFilterBytes + group * (kFilterBytes / kConvConsumers)),
                     b = matrix_descriptor(pixels + (tap / kSide * kPitch + tap % kSide) * kConvDepth * 2, kPitch * kConvDepth * 2);
      begin_products();
#pragma unroll
      for (int k = 0; k < kConvDepth / 16; ++k) multiply_group<T>(sums, a + 2 * k, b + 2 * k);
      commit_products();
      wait_products<1>();  // of the position before, whose filters may be replaced, as may the pixels after the last
      if (speaks && step > 0) {
        for (int rank = 0; rank < kCluster; ++rank) release_at(shared.filters_empty + (step - 1) % kStages, rank);
        if (tap == 0) arrive(shared.pixels_empty + (slab - 1) % 2);
      }
    }
  }
  wait_products<0>();
}

#endif

template <bool kEnlarge, class T>
__global__ void __launch_bounds__(kConvThreads, 2) halo_conv_kernel(const __grid_constant__ HopperConvParams p) {
#if LINEA_HOPPER_CODE
  extern __shared__ unsigned char shared_bytes[];
  const Shared shared = Shared::at(shared_bytes);
  if (threadIdx.x == 0) shared.init_barriers();
  arrive_at_cluster();
  wait_for_cluster();  // the other block's barriers are ready too
  const Tile place = Tile::of<kEnlarge, kCluster>(p, static_cast<int>(blockIdx.x));
  const int group = static_cast<int>(threadIdx.x) / 128;
  if (group == kConvConsumers) {
    if (threadIdx.x % 32 == 0) produce<kEnlarge>(p, place, shared);
    __syncwarp();
    arrive_at_cluster();
  } else {
    float sums[Tile::kSums] = {};
    consume<kEnlarge, T>(p, shared, sums, group);
    arrive_at_cluster();
    store_tile<kEnlarge, T>(p, place, sums, shared.pixels, group);
  }
  wait_for_cluster();  // a block stays until the other has sent it everything that it sends
#endif
}

template <bool kEnlarge, class T> void launch(cudaStream_t stream, const HopperConvParams& p) {
  allow_shared(halo_conv_kernel<kEnlarge, T>, kShared, "conv2d");
  const int64_t pairs = ceil_div(int64_t{p.column_tiles} * p.row_tiles * p.members, kCluster);
  cudaLaunchAttribute cluster;
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {kCluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(pairs * kCluster * p.output_tiles * (kEnlarge ? 4 : 1)));
  config.blockDim = dim3(kConvThreads);
  config.dynamicSmemBytes = kShared;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, halo_conv_kernel<kEnlarge, T>, p), "conv2d", "launch");
}

}  // namespace

void halo_conv(cudaStream_t stream, DType type, bool enlarge, const HopperConvParams& p) {
  with_type(type, "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) enlarge ? launch<true, T>(stream, p) : launch<false, T>(stream, p);
  });
}

}  // namespace linea::cuda
