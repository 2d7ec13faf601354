// kernels/cuda/conv_boxes.cu: 3×3 convolutions on sm_90 with long products: a box of pixels for every filter position.
//
// Tiles    16×16 pixels, one block a multiprocessor. One warp asks the copy engine for boxes of 16×16 pixels × 64 channels (zeros
//          outside the map) and of 128 × 64 filter values, four stages of 48 KiB.
// Traffic  x is read nine times (four, enlarged), all but one of them from the second-level cache.
// Roofline bound by compute: 0.39 ms at 512²×256, 0.77 ms measured; 0.39 ms at 256²×512, 0.57 ms measured. A block takes some 25 µs
//          beside its products, which weigh most where there are few channels: 1.36 ms for the same work at 1024²×128.
#include "kernels/cuda/conv_hopper_kernels.h"
#include "kernels/cuda/device/conv_tile.cuh"

namespace linea::cuda {
namespace {

using Tile = ConvTile<kBoxTileRows, kBoxTileColumns>;
constexpr int kStages = 4;
constexpr int kPixelBytes = Tile::kPixels * kConvDepth * 2, kFilterBytes = kConvOutputs * kConvDepth * 2,
              kStageBytes = kPixelBytes + kFilterBytes;
constexpr int kShared = kStages * kStageBytes + 1024 + 2 * kStages * static_cast<int>(sizeof(uint64_t));

#if LINEA_HOPPER_CODE

// One thread asks for everything, a stage ahead of the consumers by as many stages as there are.
template <bool kEnlarge>
__device__ void produce(const HopperConvParams& p, const Tile& place, unsigned char* stages, uint64_t* full, uint64_t* empty, int steps) {
  constexpr int kSide = kEnlarge ? 2 : 3;
  const int first_row = place.template first_row<kEnlarge>(p), first_column = place.template first_column<kEnlarge>();
  int channel = 0, ky = 0, kx = 0;
  for (int s = 0; s < steps; ++s) {
    const int stage = s % kStages;
    if (s >= kStages) wait_phase(empty + stage, (s / kStages - 1) % 2);
    unsigned char* pixels = stages + stage * kStageBytes;
    arrive_expecting(full + stage, kStageBytes);
    copy_box(pixels, p.x, full + stage, channel, first_column + kx, first_row + ky, place.member);
    copy_box(pixels + kPixelBytes, p.w, full + stage, (ky * kSide + kx) * p.channels + channel, place.parity * p.out + place.output);
    channel += kConvDepth;
    if (channel < p.channels) continue;
    channel = 0;
    if (++kx < kSide) continue;
    kx = 0;
    ++ky;
  }
}

template <class T>
__device__ void consume(float (&sums)[Tile::kSums], const unsigned char* stages, uint64_t* full, uint64_t* empty, int steps, int group) {
  for (int s = 0; s < steps; ++s) {
    const int stage = s % kStages;
    wait_phase(full + stage, s / kStages % 2);
    const unsigned char* pixels = stages + stage * kStageBytes;
    const uint64_t a = matrix_descriptor(pixels + kPixelBytes + group * (kFilterBytes / kConvConsumers)), b = matrix_descriptor(pixels);
    begin_products();
#pragma unroll
    for (int k = 0; k < kConvDepth / 16; ++k) multiply_group<T>(sums, a + 2 * k, b + 2 * k);
    commit_products();
    wait_products<1>();  // of the stage before, which may be filled again
    if (s > 0 && threadIdx.x % 128 == 0) arrive(empty + (s - 1) % kStages);
  }
  wait_products<0>();
}

#endif

template <bool kEnlarge, class T>
__global__ void __launch_bounds__(kConvThreads, 1) box_conv_kernel(const __grid_constant__ HopperConvParams p) {
#if LINEA_HOPPER_CODE
  extern __shared__ unsigned char shared_bytes[];
  unsigned char* stages = shared_bytes + (1024 - shared_address(shared_bytes) % 1024) % 1024;
  uint64_t* full = reinterpret_cast<uint64_t*>(stages + kStages * kStageBytes);
  uint64_t* empty = full + kStages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + i, 1);
      init_barrier(empty + i, kConvConsumers);
    }
    publish_barriers();
  }
  __syncthreads();
  const Tile place = Tile::of<kEnlarge, 1>(p, static_cast<int>(blockIdx.x));
  const int steps = (kEnlarge ? 4 : 9) * (p.channels / kConvDepth), group = static_cast<int>(threadIdx.x) / 128;
  if (group == kConvConsumers) {
    if (threadIdx.x % 32 == 0) produce<kEnlarge>(p, place, stages, full, empty, steps);
    return;
  }
  float sums[Tile::kSums] = {};
  consume<T>(sums, stages, full, empty, steps, group);
  store_tile<kEnlarge, T>(p, place, sums, stages, group);
#endif
}

template <bool kEnlarge, class T> void launch(cudaStream_t stream, const HopperConvParams& p) {
  allow_shared(box_conv_kernel<kEnlarge, T>, kShared, "conv2d");
  const int64_t blocks = int64_t{p.output_tiles} * (kEnlarge ? 4 : 1) * p.column_tiles * p.row_tiles * p.members;
  box_conv_kernel<kEnlarge, T><<<static_cast<unsigned>(blocks), kConvThreads, kShared, stream>>>(p);
  check_launch("conv2d");
}

}  // namespace

void box_conv(cudaStream_t stream, DType type, bool enlarge, const HopperConvParams& p) {
  with_type(type, "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) enlarge ? launch<true, T>(stream, p) : launch<false, T>(stream, p);
  });
}

}  // namespace linea::cuda
