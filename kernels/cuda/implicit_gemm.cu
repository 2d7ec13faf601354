// kernels/cuda/implicit_gemm.cu: convolutions of 16-bit types on tensor cores.
//
// Maths    implicit_gemm.h
// Shape    DC-AE's decoder at 1024²: 3×3 at 1024²×128 and 512²×256, ten of each: M = 1.05 M pixels, N = 128, K = 1152.
// Tiles    block = 128 pixels × 128 (64, 32) outputs, 8 warps of 32 × half of that; steps of 32 channels of one filter position through
//          three stages of shared memory (61 KiB), filled by cp.async. Rows of 40 elements keep ldmatrix free of bank conflicts.
// Traffic  x is read nine times, eight of them from the second-level cache, since a block's windows overlap; w stays there.
// Roofline bound by compute: 309 GFLOP a convolution at 1024²×128 = 0.39 ms at 783 TFLOP/s; mma.sync reaches at most 60 % of that.
// Accuracy products and sums in f32 (one chain over K), one rounding of the result.
#include "kernels/cuda/implicit_gemm.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/gather.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"

namespace linea::cuda {
namespace {

constexpr int kThreads = 256, kStages = 3;
constexpr int kBlockPixels = 128, kDepth = 32, kPitch = kDepth + 8;
constexpr int kChunk = 8, kChunks = kDepth / kChunk;  // elements of a 16-byte copy, and copies of a row

// Channels [channel, channel + 8) into shared memory; those beyond `in`, and all of a null source, become zeros.
template <class T> __device__ void copy_chunk(T* to, const T* from, int channel, const ImplicitGemmParams& p) {
  if (p.vectorised) {
    const bool valid = from && channel < p.in;
    copy_async_16(to, valid ? from + channel : static_cast<const T*>(p.w), valid);
    return;
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) to[i] = from && channel + i < p.in ? from[channel + i] : from_float<T>(0.0f);
}

template <class T> __device__ void finish(const ImplicitGemmParams& p, int pixel, int n, float v0, float v1) {
  if (pixel >= p.pixels || n >= p.out) return;
  float v[2] = {v0, v1};
  const T* residual = p.residual ? static_cast<const T*>(p.residual) + pixel * p.residual_pitch : nullptr;
  T* y = static_cast<T*>(p.y) + pixel * p.y_pitch;
  const float* gate = p.gate ? p.gate + pixel / p.rows_per_gate * p.gate_pitch : nullptr;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (n + i >= p.out) continue;
    if (p.bias) v[i] += p.bias[n + i];
    v[i] = activate(v[i], p.activation);
    if (gate) v[i] *= gate[n + i];
    if (residual) v[i] += to_float(residual[n + i]);
  }
  if (p.vectorised && p.out % 2 == 0 && p.y_pitch % 2 == 0) {
    store(y + n, v);
    return;
  }
  y[n] = from_float<T>(v[0]);
  if (n + 1 < p.out) y[n + 1] = from_float<T>(v[1]);
}

template <class T, int kBlockOutputs>
__global__ void __launch_bounds__(kThreads) implicit_gemm_kernel(const __grid_constant__ ImplicitGemmParams p) {
  constexpr int kLoads = kBlockPixels * kChunks / kThreads, kWeightChunks = kBlockOutputs * kChunks;
  constexpr int kWarpOutputs = kBlockOutputs / 2, kTiles = kWarpOutputs / 8;  // 8 outputs of one mma
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  T* pixels = reinterpret_cast<T*>(shared_bytes);         // [stage][pixel][channel]
  T* weights = pixels + kStages * kBlockPixels * kPitch;  // [stage][output][channel]

  const int output_blocks = (p.out + kBlockOutputs - 1) / kBlockOutputs;
  const int first_output = static_cast<int>(blockIdx.x % output_blocks) * kBlockOutputs;
  const int first_pixel = static_cast<int>(blockIdx.x / output_blocks) * kBlockPixels;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int chunk = thread % kChunks * kChunk, load_row = thread / kChunks;
  const Window<T> windows[kLoads] = {{p, first_pixel + load_row}, {p, first_pixel + load_row + kThreads / kChunks}};
  static_assert(kLoads == 2);
  const int64_t filter_size = static_cast<int64_t>(p.kernel) * p.kernel * p.in;

  const auto fill = [&](int stage, const Step<kDepth>& step) {
    T* to = pixels + stage * kBlockPixels * kPitch;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int row = load_row + i * kThreads / kChunks;
      copy_chunk(to + row * kPitch + chunk, windows[i].at(p, step.ky, step.kx), step.channel + chunk, p);
    }
    T* filters = weights + stage * kBlockOutputs * kPitch;
#pragma unroll
    for (int i = thread; i < kWeightChunks; i += kThreads) {
      const int row = i / kChunks, n = first_output + row;
      const T* from =
          n < p.out ? static_cast<const T*>(p.w) + n * filter_size + (step.ky * p.kernel + step.kx) * static_cast<int64_t>(p.in) : nullptr;
      copy_chunk(filters + row * kPitch + chunk, from, step.channel + chunk, p);
    }
  };

  float sums[2][kTiles][4] = {};
  const int steps = p.kernel * p.kernel * ((p.in + kDepth - 1) / kDepth);
  Step<kDepth> next;
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) {
      fill(s, next);
      next.advance(p);
    }
    commit_copies();
  }
  const int warp_pixel = warp % 4 * 32, warp_output = warp / 4 * kWarpOutputs;
  for (int s = 0; s < steps; ++s) {
    wait_copies<kStages - 2>();
    __syncthreads();  // stage s is here, and everyone is done with the stage that is filled next
    if (s + kStages - 1 < steps) {
      fill((s + kStages - 1) % kStages, next);
      next.advance(p);
    }
    commit_copies();

    const T* a_rows = pixels + (s % kStages * kBlockPixels + warp_pixel) * kPitch;
    const T* b_rows = weights + (s % kStages * kBlockOutputs + warp_output) * kPitch;
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) load_matrices(a[i], a_rows + (i * 16 + lane % 16) * kPitch + k + lane / 16 * 8);
#pragma unroll
      for (int j = 0; j < kTiles; j += 2) {
        uint32_t b[4];
        load_matrices(b, b_rows + (j * 8 + lane / 16 * 8 + lane % 8) * kPitch + k + lane / 8 % 2 * 8);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          multiply<T>(sums[i][j], a[i], b[0], b[1]);
          multiply<T>(sums[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const int pixel = first_pixel + warp_pixel + i * 16 + lane / 4, n = first_output + warp_output + j * 8 + lane % 4 * 2;
      finish<T>(p, pixel, n, sums[i][j][0], sums[i][j][1]);
      finish<T>(p, pixel + 8, n, sums[i][j][2], sums[i][j][3]);
    }
  }
}

template <class T, int kBlockOutputs> void launch(const char* op, cudaStream_t stream, const ImplicitGemmParams& p) {
  constexpr int kShared = kStages * (kBlockPixels + kBlockOutputs) * kPitch * static_cast<int>(sizeof(T));
  const int64_t blocks = ceil_div(p.pixels, kBlockPixels) * ceil_div(p.out, kBlockOutputs);
  allow_shared(implicit_gemm_kernel<T, kBlockOutputs>, kShared, op);
  implicit_gemm_kernel<T, kBlockOutputs><<<static_cast<unsigned>(blocks), kThreads, kShared, stream>>>(p);
  check_launch(op);
}

template <class T> void launch(const char* op, cudaStream_t stream, const ImplicitGemmParams& p) {
  if (p.out <= 32) return launch<T, 32>(op, stream, p);
  if (p.out <= 64) return launch<T, 64>(op, stream, p);
  launch<T, 128>(op, stream, p);
}

}  // namespace

void implicit_gemm_16(const char* op, cudaStream_t stream, DType type, const ImplicitGemmParams& p) {
  type == DType::kBF16 ? launch<__nv_bfloat16>(op, stream, p) : launch<__half>(op, stream, p);
}

void implicit_gemm(const char* op, cudaStream_t stream, DType type, const ImplicitGemmParams& p) {
  if (p.pixels == 0) return;
  type == DType::kF32 ? implicit_gemm_f32(op, stream, p) : implicit_gemm_16(op, stream, type, p);
}

}  // namespace linea::cuda
