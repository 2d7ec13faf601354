// kernels/cuda/implicit_gemm_f32.cu: convolutions in f32, without TF32.
//
// Maths    implicit_gemm.h
// Shape    as in implicit_gemm.cu, where full precision is asked for: M = 1.05 M pixels, N = 128, K = 1152.
// Tiles    block = 128 pixels × 64 outputs, 256 threads of 8 × 4 sums; steps of 16 channels of one filter position, fetched into registers
//          while the step before is multiplied, then stored transposed ([channel][pixel], two buffers of 12 KiB).
// Traffic  x is read nine times for every 64 outputs, mostly from the second-level cache.
// Roofline bound by compute: 309 GFLOP = 5.1 ms at 60 TFLOP/s (H100, f32 outside tensor cores).
// Accuracy f32, one chain of fused multiply-adds over K.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/gather.cuh"
#include "kernels/cuda/device/math.cuh"

namespace linea::cuda {
namespace {

constexpr int kThreads = 256, kBlockPixels = 128, kBlockOutputs = 64, kDepth = 16;
constexpr int kPixelPitch = kBlockPixels + 4, kOutputPitch = kBlockOutputs + 4;  // keeps rows aligned and spreads them over the banks

__device__ float4 fetch(const float* from, int channel, const ImplicitGemmParams& p) {
  float4 v = {0, 0, 0, 0};
  if (!from || channel >= p.in) return v;
  if (p.vectorised) return *reinterpret_cast<const float4*>(from + channel);
  v.x = from[channel];
  if (channel + 1 < p.in) v.y = from[channel + 1];
  if (channel + 2 < p.in) v.z = from[channel + 2];
  if (channel + 3 < p.in) v.w = from[channel + 3];
  return v;
}

__device__ void put(float* tile, int pitch, int channel, int column, float4 v) {
  tile[channel * pitch + column] = v.x;
  tile[(channel + 1) * pitch + column] = v.y;
  tile[(channel + 2) * pitch + column] = v.z;
  tile[(channel + 3) * pitch + column] = v.w;
}

__global__ void __launch_bounds__(kThreads) implicit_gemm_f32_kernel(const __grid_constant__ ImplicitGemmParams p) {
  __shared__ __align__(16) float pixels[2][kDepth * kPixelPitch];
  __shared__ __align__(16) float weights[2][kDepth * kOutputPitch];
  const int output_blocks = (p.out + kBlockOutputs - 1) / kBlockOutputs;
  const int first_output = static_cast<int>(blockIdx.x % output_blocks) * kBlockOutputs;
  const int first_pixel = static_cast<int>(blockIdx.x / output_blocks) * kBlockPixels;
  const int thread = static_cast<int>(threadIdx.x);
  const int load_row = thread / 4, chunk = thread % 4 * 4;  // of the tiles: two pixels and one output a thread
  const Window<float> windows[2] = {{p, first_pixel + load_row}, {p, first_pixel + load_row + 64}};
  const int n = first_output + load_row;
  const float* filter = n < p.out ? static_cast<const float*>(p.w) + static_cast<int64_t>(n) * p.kernel * p.kernel * p.in : nullptr;

  float4 fetched[3];
  const auto fetch_step = [&](const Step<kDepth>& step) {
#pragma unroll
    for (int i = 0; i < 2; ++i) fetched[i] = fetch(windows[i].at(p, step.ky, step.kx), step.channel + chunk, p);
    const float* from = filter ? filter + static_cast<int64_t>(step.ky * p.kernel + step.kx) * p.in : nullptr;
    fetched[2] = fetch(from, step.channel + chunk, p);
  };
  const auto put_step = [&](int buffer) {
#pragma unroll
    for (int i = 0; i < 2; ++i) put(pixels[buffer], kPixelPitch, chunk, load_row + i * 64, fetched[i]);
    put(weights[buffer], kOutputPitch, chunk, load_row, fetched[2]);
  };

  const int pixel_group = thread / 16 * 8, output_group = thread % 16 * 4;
  float sums[8][4] = {};
  const int steps = p.kernel * p.kernel * ((p.in + kDepth - 1) / kDepth);
  Step<kDepth> step;
  fetch_step(step);
  put_step(0);
  for (int s = 0; s < steps; ++s) {
    __syncthreads();
    const bool more = s + 1 < steps;
    if (more) {
      step.advance(p);
      fetch_step(step);
    }
    const float *a_tile = pixels[s % 2], *b_tile = weights[s % 2];
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float a[8], b[4];
      load(a_tile + k * kPixelPitch + pixel_group, a);
      load(b_tile + k * kOutputPitch + output_group, b);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
      }
    }
    if (more) put_step((s + 1) % 2);
  }

  for (int i = 0; i < 8; ++i) {
    const int pixel = first_pixel + pixel_group + i;
    if (pixel >= p.pixels) return;
    const float* residual = p.residual ? static_cast<const float*>(p.residual) + pixel * p.residual_pitch : nullptr;
    const float* gate = p.gate ? p.gate + pixel / p.rows_per_gate * p.gate_pitch : nullptr;
    float* y = static_cast<float*>(p.y) + pixel * p.y_pitch;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int output = first_output + output_group + j;
      if (output >= p.out) continue;
      float v = sums[i][j];
      if (p.bias) v += p.bias[output];
      v = activate(v, p.activation);
      if (gate) v *= gate[output];
      if (residual) v += residual[output];
      y[output] = v;
    }
  }
}

}  // namespace

void implicit_gemm_f32(const char* op, cudaStream_t stream, const ImplicitGemmParams& p) {
  const int64_t blocks = ceil_div(p.pixels, kBlockPixels) * ceil_div(p.out, kBlockOutputs);
  implicit_gemm_f32_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(p);
  check_launch(op);
}

}  // namespace linea::cuda
