// kernels/cuda/step_kernel.cu: a whole decode step in one kernel, one block a processor (step_program.h).
//
// Maths    that of the ops, with their roundings: products of one row (small_linear.cu), mixes (mixes.cu), norms (recurrent_rows.cu), a
//          convolution's one token (scans.cu), the heads of RWKV-7 (rwkv7.cu) and of Mamba-2 (recurrence.cu)
// Shape    RWKV-7 7.2B: 32 layers of 8 instructions, 450 MB of weights each; 2.9B: 32 of 6, mixes being part of products, 164 MB each;
//          Mamba-2 2.7B: 64 layers of 3, 80 MB each.
// Tiles    outputs of a product are dealt out to blocks in runs of neighbours, and to a block's 14 warps in pieces of 5 KiB: a row of W,
//          part of one, or several. Rows in 16 bits are multiplied by tensor cores, 256 numbers on the diagonals of two tiles or eight
//          short rows at a time, x being in registers: 53 instructions for a row of 2560. Two more warps ask the copy engine for pieces,
//          those of the next instructions too, so that 140 KiB a processor, 18 MB in all, come while the blocks wait for each other or do
//          what reads next to nothing.
// Traffic  W once; x of an instruction once a block, twice its bytes as words, from the second-level cache; for a mix 40 to 70 KB of
//          constants a block from there.
// Roofline bound by memory: 14.4 GB a step of 7.2B in 16 bits, 4.8 ms at 2.98 TB/s; while weights stream, 95 % of the copy rate. From one
//          instruction to the next pass 1 to 3 µs: the last sums, the words' way, the first products. A layer of RWKV-7 has six or eight
//          such places, for which 18 MB in the rings (6 µs) and 34 MB in the second-level cache are asked for ahead. Memory does not give
//          all blocks the same, their ends of Mamba-2's first product lie 3 to 7 µs apart: there none asks ahead while others' present
//          weights are not on their way.
// Accuracy f32, rounded where the ops round. The order of a sum depends on the shape of W alone.
#include "kernels/cuda/step_kernel.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/step_block.cuh"
#include "kernels/cuda/device/step_heads.cuh"
#include "kernels/cuda/device/step_norms.cuh"
#include "kernels/cuda/device/step_products.cuh"
#include "kernels/cuda/device_facts.h"

namespace linea::cuda {
namespace {

using namespace step;

#if LINEA_HOPPER_CODE

template <class T> __device__ inline void run() {
  const StepInstruction& instruction = instruction_at(own_shared().current);
  switch (instruction.kind) {
    case StepKind::kProducts: meet(instruction); return advance(run_products<T>());
    case StepKind::kMix: run_mix<T>(instruction); break;
    case StepKind::kNorm: run_norm<T>(instruction); break;
    case StepKind::kRwkv7Heads: run_rwkv7_heads<T>(instruction); break;
    case StepKind::kRecurrence:
      has_whole_heads(instruction.as<StepRecurrence>().recurrence) ? run_recurrence<T, true>(instruction)
                                                                   : run_recurrence<T, false>(instruction);
      break;
    case StepKind::kSettle: run_settle(instruction); break;
  }
  advance(0);
}

#endif

constexpr int kAllThreads = kStepThreads + kStepCopiers * 32;  // 512, with 128 registers each

template <class T> __global__ void __launch_bounds__(kAllThreads, 1) step_kernel(const __grid_constant__ StepProgram program) {
#if LINEA_HOPPER_CODE
  if (threadIdx.x < 32) begin_copying(program);
  __syncthreads();
  if (threadIdx.x == 0) begin(program);
  if (program.counted > 0) __syncthreads();
  if (threadIdx.x >= kStepThreads) {
    // Having come from another lane, the address stays in a register: it would be made anew, in 40 cycles, wherever it is needed.
    const auto address = __shfl_sync(0xffffffffu, reinterpret_cast<unsigned long long>(&own_shared()), 0);
    if (own_lane() != 0) return;
    Shared& shared = *reinterpret_cast<Shared*>(address);
    const int copier = own_warp() - kStepWarps;
    program.ahead > 0 ? copy_pieces<true>(shared, copier) : copy_pieces<false>(shared, copier);
    return;
  }
  sync_workers();
#pragma unroll 1
  while (own_shared().current < program.instruction_count) run<T>();
#endif
}

template <class T> void launch(const StepProgram& program, int device, cudaStream_t stream) {
  constexpr auto kOp = "step";
  constexpr auto kKernel = step_kernel<T>;
  allow_shared(kKernel, sizeof(Shared), kOp);
  cudaLaunchAttribute together = {};
  together.id = cudaLaunchAttributeCooperative;  // all blocks at once, or none
  together.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(processors_of(device)));
  config.blockDim = dim3(kAllThreads);
  config.dynamicSmemBytes = sizeof(Shared);
  config.stream = stream;
  config.attrs = &together;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kKernel, program), kOp, "cudaLaunchKernelEx");
}

}  // namespace

void launch_step(DType type, const StepProgram& program, int device, cudaStream_t stream) {
  with_type(type, "step", [&](auto tag) { launch<typename decltype(tag)::type>(program, device, stream); });
}

}  // namespace linea::cuda
