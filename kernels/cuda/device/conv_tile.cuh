// kernels/cuda/device/conv_tile.cuh: what the 3×3 convolutions of sm_90 share: where a block's tile of pixels lies, and how its sums become
// y.
//
// A tile has kRows × kColumns pixels and 128 outputs. The filters stand on the left of the products, since half of the layers have 128
// outputs and an instruction's wider side is the right one. Two warpgroups take 64 outputs each.
#pragma once

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/math.cuh"

namespace linea::cuda {

struct HopperConvParams {
  CUtensorMap x, w;
  void* y;
  const void* residual;  // may be null
  const float* bias;     // may be null
  int channels, out, out_height, out_width;
  int row_tiles, column_tiles, output_tiles, members;
  int pad_top;
  Activation activation;
};

constexpr int kConvConsumers = 2, kConvOutputs = 128, kConvDepth = 64;  // warpgroups; outputs of a tile; channels of a stage
constexpr int kConvThreads = kConvConsumers * 128 + 32;                 // and one warp that asks for everything

template <int kTileRows, int kTileColumns> struct ConvTile {
  static constexpr int kRows = kTileRows, kColumns = kTileColumns, kPixels = kRows * kColumns;
  static constexpr int kSums = kPixels / 2;             // of a thread: 64 outputs × kPixels over 128 threads
  static constexpr int kStorePitch = kConvOutputs + 8;  // elements; keeps eight pixels' rows in different banks

  int output, parity, row, column, member;  // the first pixel in the map that the filters walk over; the parity of an enlarged map

  // Blocks of a cluster of kCluster have neighbouring tiles and the same filters; one beyond the last tile lies outside the map.
  template <bool kEnlarge, int kCluster> __device__ static ConvTile of(const HopperConvParams& p, int block) {
    ConvTile t;
    int tile = block % kCluster;
    block /= kCluster;
    t.output = block % p.output_tiles * kConvOutputs;
    block /= p.output_tiles;
    t.parity = kEnlarge ? block % 4 : 0;
    if (kEnlarge) block /= 4;
    tile += block * kCluster;
    t.column = tile % p.column_tiles * kColumns;
    tile /= p.column_tiles;
    t.row = tile % p.row_tiles * kRows;
    t.member = tile / p.row_tiles;
    return t;
  }

  // Where pixel i of the tile lies in y; negative when it does not.
  template <bool kEnlarge> __device__ int64_t pixel(const HopperConvParams& p, int i) const {
    int r = row + i / kColumns, c = column + i % kColumns;
    if (kEnlarge) {
      r = 2 * r + parity / 2 - 1 + p.pad_top;
      c = 2 * c + parity % 2;
    }
    if (member >= p.members || r < 0 || r >= p.out_height || c >= p.out_width) return -1;
    return (static_cast<int64_t>(member) * p.out_height + r) * p.out_width + c;
  }

  // The first pixel that the filters see, which may lie outside the map.
  template <bool kEnlarge> __device__ int first_row(const HopperConvParams& p) const {
    return row + (kEnlarge ? parity / 2 - 1 : -p.pad_top);
  }
  template <bool kEnlarge> __device__ int first_column() const { return column + (kEnlarge ? parity % 2 : 0) - 1; }
};

#if LINEA_HOPPER_CODE

// act(sums + bias), 64 outputs × all pixels of a group, into tile [pixel][output].
template <Activation kActivation, class Tile, class T>
__device__ void store_sums(const HopperConvParams& p, const Tile& place, const float (&sums)[Tile::kSums], T* tile, int group) {
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32,
            first = group * 64 + thread / 32 * 16;  // of the warp's outputs
  float bias[2] = {};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int n = place.output + first + lane / 4 + 8 * r;
    if (p.bias && n < p.out) bias[r] = p.bias[n];
  }
#pragma unroll
  for (int j = 0; j < Tile::kPixels / 8; j += 2) {
    uint32_t matrices[4];  // outputs 0…7 and 8…15 of pixels 8j …, then of the next eight pixels
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const int i = 4 * (j + m / 2) + 2 * (m % 2);
      matrices[m] = pack_pair<T>(activate_16(sums[i] + bias[m % 2], kActivation), activate_16(sums[i + 1] + bias[m % 2], kActivation));
    }
    store_matrices_transposed(tile + (8 * (j + lane / 16) + lane % 8) * Tile::kStorePitch + first + lane / 8 % 2 * 8, matrices);
  }
}

// The tile's pixels to y, 16 bytes a thread, so that a pixel's channels are written together.
template <bool kEnlarge, class Tile, class T> __device__ void store_pixels(const HopperConvParams& p, const Tile& place, const T* tile) {
  constexpr int kChunks = kConvOutputs / 8, kPasses = Tile::kPixels * kChunks / (kConvConsumers * 128), kAtOnce = 4;
  const int chunk = static_cast<int>(threadIdx.x) % kChunks * 8, n = place.output + chunk;
  if (n >= p.out) return;
#pragma unroll
  for (int pass = 0; pass < kPasses; pass += kAtOnce) {
    int64_t at[kAtOnce];
    uint4 residual[kAtOnce] = {};
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int64_t pixel =
          place.template pixel<kEnlarge>(p, static_cast<int>(threadIdx.x) / kChunks + (pass + k) * (kConvConsumers * 128 / kChunks));
      at[k] = pixel < 0 ? -1 : pixel * p.out + n;
      if (p.residual && pixel >= 0) residual[k] = *reinterpret_cast<const uint4*>(static_cast<const T*>(p.residual) + at[k]);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (at[k] < 0) continue;
      const int i = static_cast<int>(threadIdx.x) / kChunks + (pass + k) * (kConvConsumers * 128 / kChunks);
      uint4 bits = *reinterpret_cast<const uint4*>(tile + i * Tile::kStorePitch + chunk);
      if (p.residual) {
        float v[8], other[8];
        load(reinterpret_cast<const T*>(&bits), v);
        load(reinterpret_cast<const T*>(&residual[k]), other);
#pragma unroll
        for (int c = 0; c < 8; ++c) v[c] += other[c];
        store(reinterpret_cast<T*>(&bits), v);
      }
      *reinterpret_cast<uint4*>(static_cast<T*>(p.y) + at[k]) = bits;
    }
  }
}

// y of a tile, by the warpgroups that multiply, once nobody reads `memory` any more. `group`: of the thread.
template <bool kEnlarge, class T, class Tile>
__device__ void store_tile(const HopperConvParams& p, const Tile& place, const float (&sums)[Tile::kSums], void* memory, int group) {
  const auto meet = [] { asm volatile("bar.sync 1, 256;" ::: "memory"); };  // both groups
  T* tile = static_cast<T*>(memory);
  meet();
  switch (p.activation) {
    case Activation::kSilu: store_sums<Activation::kSilu>(p, place, sums, tile, group); break;
    case Activation::kRelu: store_sums<Activation::kRelu>(p, place, sums, tile, group); break;
    case Activation::kGeluTanh: store_sums<Activation::kGeluTanh>(p, place, sums, tile, group); break;
    default: store_sums<Activation::kNone>(p, place, sums, tile, group);
  }
  meet();
  store_pixels<kEnlarge>(p, place, tile);
}

#endif

}  // namespace linea::cuda
