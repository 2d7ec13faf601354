// kernels/cuda/groups.cuh: kernels over groups of neighbouring channels (heads, norm groups), with sums over a group.
//
// An operation has `count` groups in all rows, `groups` of `size` channels in each, and apply<width, threads>(row, first channel, shared),
// called by the threads of a group together: a warp, or a block where groups are wide.
#pragma once

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/math.cuh"

namespace linea::cuda {

constexpr int kGroupThreads = 256;
constexpr int kWideGroup = 1024;  // from here on a whole block takes a group

// The sum over a group's threads, the same for all of them, in one fixed order.
template <int kThreads> __device__ inline float sum_group(float v, float* shared) {
  v = sum_lanes(v);
  if constexpr (kThreads > 32) {
    __syncthreads();  // the sums of the last call were read
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
#pragma unroll
    for (int i = 0; i < kThreads / 32; ++i) v += shared[i];
  }
  return v;
}

// Calls f(i) for every kWidth-th channel i of a group that is this thread's.
template <int kWidth, int kThreads, class F> __device__ inline void for_own_channels(int size, F&& f) {
  for (int i = static_cast<int>(threadIdx.x) % kThreads * kWidth; i < size; i += kThreads * kWidth) f(i);
}

template <int kWidth, int kThreads, class Op>
__global__ void __launch_bounds__(kGroupThreads) map_groups_kernel(const __grid_constant__ Op op) {
  follow_previous();
  __shared__ float shared[kThreads > 32 ? kThreads / 32 : 1];
  constexpr int kGroups = kGroupThreads / kThreads;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kGroups + threadIdx.x / kThreads;
  if (index >= op.count) return;  // a whole warp, or a whole block where a block takes one group
  const int64_t row = index / op.groups;
  op.template apply<kWidth, kThreads>(row, static_cast<int>(index - row * op.groups) * op.size, shared);
}

// `vectorised`: groups begin and end at vectors of kVector elements in all tensors.
template <class Op> void map_groups(const char* name, cudaStream_t stream, const Op& op, bool vectorised) {
  constexpr int kPair = 2;
  if (op.count == 0 || op.size == 0) return;
  const bool wide = op.size >= kWideGroup;
  const auto blocks = static_cast<unsigned>(ceil_div(op.count, wide ? 1 : kGroupThreads / 32));
  if (wide && vectorised) {
    launch_chained(name, map_groups_kernel<kVector, kGroupThreads, Op>, blocks, kGroupThreads, 0, stream, op);
  } else if (wide) {
    launch_chained(name, map_groups_kernel<1, kGroupThreads, Op>, blocks, kGroupThreads, 0, stream, op);
  } else if (vectorised && op.size >= 32 * kVector) {
    launch_chained(name, map_groups_kernel<kVector, 32, Op>, blocks, kGroupThreads, 0, stream, op);
  } else if (vectorised && op.size >= 32 * kPair) {  // heads of 64: every lane has two channels
    launch_chained(name, map_groups_kernel<kPair, 32, Op>, blocks, kGroupThreads, 0, stream, op);
  } else {
    launch_chained(name, map_groups_kernel<1, 32, Op>, blocks, kGroupThreads, 0, stream, op);
  }
}

}  // namespace linea::cuda
