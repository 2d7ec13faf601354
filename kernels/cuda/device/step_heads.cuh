// kernels/cuda/device/step_heads.cuh: one token of the heads of RWKV-7 and of Mamba-2 as instructions of a step, a head a block.
#pragma once

#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step_block.cuh"
#include "kernels/cuda/device/step_bodies.cuh"

namespace linea::cuda::step {

#if LINEA_HOPPER_CODE

template <class T> __device__ __noinline__ void run_rwkv7_heads(const StepInstruction& instruction) {
  struct Memory {
    Stage<1, kStepHead, kStepHead, true> stage;
    Parts<1, kStepHead> parts;
  };
  static_assert(sizeof(Memory) <= kStepInputBytes);
  const auto& all = instruction.as<StepRwkv7Heads<T>>();
  auto& memory = *reinterpret_cast<Memory*>(own_shared().inputs);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, column = thread / kKeyLanes * kThreadColumns;
  const bool works = thread < workers_of(kStepHead), leads = thread < 32;
  bool met = false;
  for (int head = static_cast<int>(blockIdx.x); head < all.in.groups; head += static_cast<int>(gridDim.x)) {
    const int first = head * kStepHead + 2 * thread;
    HeadStep<T> step;
    Cells<kStepHead> cells;
    if (leads) step.read_weights(all.in, all.out, first);
    if (works) cells.read(all.recurrence, head, column, lane);
    if (!met) meet(instruction);
    met = true;
    if (leads) step.enter(all.in, all.out, 0, first, memory.stage);
    sync_workers();
    if (works) {
      advance_all<false>(cells, memory.stage, 1, column, lane, memory.parts);
      cells.write(all.recurrence, head, column, lane);
    }
    sync_workers();
    if (!leads) continue;
    float y[2] = {memory.parts.sum(0, 2 * thread), memory.parts.sum(0, 2 * thread + 1)};
    step.leave(all.out, 0, first, y);
  }
  if (!met) meet(instruction);
}

// A block takes up to 64 columns of a head.
template <class T> __device__ __noinline__ void run_recurrence(const StepInstruction& instruction) {
  struct Memory {
    Stage<1, kStepKeys, kStepHead, false> stage;
    Parts<1, kStepHead> parts;
  };
  static_assert(sizeof(Memory) <= kStepInputBytes);
  constexpr int kWorkers = workers_of(kStepHead);
  const auto& all = instruction.as<StepRecurrence>();
  const RecurrenceParams& p = all.recurrence;
  auto& memory = *reinterpret_cast<Memory*>(own_shared().inputs);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, own_column = thread / kKeyLanes * kThreadColumns;
  const bool works = thread < kWorkers;
  const int parts = (p.value_dim + kStepHead - 1) / kStepHead;
  bool met = false;
  for (int item = static_cast<int>(blockIdx.x); item < all.heads * parts; item += static_cast<int>(gridDim.x)) {
    const int head = item / parts, column = item % parts * kStepHead;
    Cells<kStepKeys> cells;
    if (works) cells.read(p, head, column + own_column, lane);
    if (!met) meet(instruction);
    met = true;
    if (works) {
      Arriving<kWorkers, T, 1, kStepKeys, kStepHead, false> vectors;
      vectors.read(p, 0, 1, head, column, thread);
      vectors.put(memory.stage, p, 1, head, column, thread);
    }
    sync_workers();
    if (works) {
      advance_all<false>(cells, memory.stage, 1, own_column, lane, memory.parts);
      cells.write(p, head, column + own_column, lane);
    }
    sync_workers();
    if (thread < kStepHead && column + thread < p.value_dim) {
      float y = fmaf(p.skip ? p.skip[head] : 0.0f, memory.stage.v[0][thread], memory.parts.sum(0, thread));
      if (p.gate) y *= silu(to_float(static_cast<const T*>(p.gate)[head * p.gate_head + column + thread]));
      static_cast<T*>(p.y)[head * p.y_head + column + thread] = from_float<T>(y);
    }
    sync_workers();
  }
  if (!met) meet(instruction);
}

#endif

}  // namespace linea::cuda::step
