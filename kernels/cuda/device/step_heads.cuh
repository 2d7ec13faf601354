// kernels/cuda/device/step_heads.cuh: one token of the heads of RWKV-7 and of Mamba-2 as instructions of a step, a head a block.
#pragma once

#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step_block.cuh"
#include "kernels/cuda/device/step_bodies.cuh"
#include "kernels/cuda/device/step_words.cuh"

namespace linea::cuda::step {

#if LINEA_HOPPER_CODE

// The two channels from c on, all on their way at once.
template <class T> __device__ inline void take(const StepRwkv7Heads<T>& all, int c, HeadStep<T>& step) {
  const uint32_t mark = own_mark();
  RowPart<2 * sizeof(T)> k, rate, v, v_first, share, q, g;
  RowPart<8> decay;
  uint32_t missing;
  do {
    k.load(words_at<T>(all.k, c));
    rate.load(words_at<T>(all.rate, c));
    decay.load(words_at<float>(all.decay, c));
    v.load(words_at<T>(all.v, c));
    q.load(words_at<T>(all.q, c));
    g.load(words_at<T>(all.g, c));
    missing = k.missing(mark) | rate.missing(mark) | decay.missing(mark) | v.missing(mark) | q.missing(mark) | g.missing(mark);
    if (all.in.share) {
      v_first.load(words_at<T>(all.v_first, c));
      share.load(words_at<T>(all.share, c));
      missing |= v_first.missing(mark) | share.missing(mark);
    }
  } while (missing);
  k.template unpack<T>(step.k);
  rate.template unpack<T>(step.rate);
  decay.template unpack<float>(step.decay);
  v.template unpack<T>(step.v);
  q.template unpack<T>(step.q);
  g.template unpack<T>(step.g);
  if (!all.in.share) return;
  v_first.template unpack<T>(step.first);
  share.template unpack<T>(step.share);
}

// Calls move(pointer to the cells of a key, their registers) for the keys of Cells, in a head of kKeys by kStepHead.
template <int kKeys, class Move> __device__ inline void for_whole_rows(float* head, Cells<kKeys>& cells, int column, int lane, Move move) {
  float* own = head + lane * kKeyGroup * kStepHead + column;
#pragma unroll
  for (int i = 0; i < Cells<kKeys>::kGroups; ++i) {
#pragma unroll
    for (int j = 0; j < kKeyGroup; ++j) move(own + (i * kKeyLanes * kKeyGroup + j) * kStepHead, cells.s[i][j]);
  }
}
template <int kKeys> __device__ inline void read_whole(float* head, Cells<kKeys>& cells, int column, int lane) {
  for_whole_rows(head, cells, column, lane, [](const float* from, float(&to)[kThreadColumns]) { load(from, to); });
}
template <int kKeys> __device__ inline void write_whole(float* head, Cells<kKeys>& cells, int column, int lane) {
  for_whole_rows(head, cells, column, lane, [](float* to, float(&from)[kThreadColumns]) { store(to, from); });
}

// The state is written last: nobody waits for it.
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
    float* state = all.recurrence.state + head * kStepHead * kStepHead;
    HeadStep<T> step = {};
    Cells<kStepHead> cells = {};
    if (leads) step.read_weights(all.in, all.out, first);
    if (works) read_whole(state, cells, column, lane);
    if (!met) meet(instruction);
    met = true;
    if (leads) {
      all.takes_words ? take(all, first, step) : step.read(all.in, all.out, 0, first);
      step.enter(all.in, 0, first, memory.stage, all.keeps_inputs);
    }
    sync_workers();
    if (works) advance_all<false>(cells, memory.stage, 1, column, lane, memory.parts);
    sync_workers();
    if (leads) {
      float y[2] = {memory.parts.sum(0, 2 * thread), memory.parts.sum(0, 2 * thread + 1)};
      step.leave(all.out, y);
      if (all.y) give_pair<T>(all.y, y, first);
      if (all.keeps_y) store(all.out.y + first, y);
    }
    if (works) write_whole(state, cells, column, lane);
  }
  if (!met) meet(instruction);
}

struct RecurrenceMemory {
  Stage<1, kStepKeys, kStepHead, false> stage;
  Parts<1, kStepHead> parts;
  alignas(16) float gate[kStepHead];
};

// Elements of a row from `first` on, from words where the row has them: `size` of them, and zeros up to `width`.
struct TakenVector {
  const uint32_t* words;
  const void* row;
  int64_t first;
  int size, width;
  float* to;
};
template <class T> __device__ inline void take_vector(const TakenVector& v) {
  constexpr int kWidth = 16 / sizeof(T);
#pragma unroll 1
  for (int i = own_lane() * kWidth; i < v.width; i += 32 * kWidth) {
    float values[kWidth] = {};
    if (v.words && i < v.size) {
      RowPart<16> part;
      do part.load(words_at<T>(v.words, static_cast<int>(v.first) + i));
      while (part.missing(own_mark()));
      part.template unpack<T>(values);
    } else {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        if (i + j < v.size) values[j] = to_float(static_cast<const T*>(v.row)[v.first + i + j]);
      }
    }
    store(v.to + i, values);
  }
}

// A head's constants, which are asked for before its vectors are there: what weights have pushed out of the caches comes after
// microseconds.
struct HeadConstants {
  float bias, rate, skip;

  __device__ HeadConstants(const RecurrenceParams& p, int head)
      : bias(p.step_bias[head]), rate(p.step_rate[head]), skip(p.skip ? p.skip[head] : 0.0f) {}
};

// What the state is advanced with, for columns of a head: a vector a warp; zeros beyond the last key and column.
template <class T>
__device__ inline void set_stage(const StepRecurrence& all, int head, int column, const HeadConstants& constants,
                                 RecurrenceMemory& memory) {
  const RecurrenceParams& p = all.recurrence;
  const int64_t group = head / p.heads_per_group;
  const int columns = min(p.value_dim - column, kStepHead);
  TakenVector vector = {};
  switch (own_warp()) {
    case 0: vector = {all.q, p.q, group * p.q_head, p.key_dim, kStepKeys, memory.stage.q[0]}; break;
    case 1: vector = {all.k, p.k, group * p.k_head, p.key_dim, kStepKeys, memory.stage.k[0]}; break;
    case 2: vector = {all.v, p.v, head * p.v_head + column, columns, kStepHead, memory.stage.v[0]}; break;
    case 3: vector = {all.gate, p.gate, head * p.gate_head + column, p.gate ? columns : 0, kStepHead, memory.gate}; break;
    case 4: {
      const float raw = all.step ? take_element<T>(all.step, head) : to_float(static_cast<const T*>(p.step)[head]);
      const float step = evaluate(raw + constants.bias, Function::kSoftplus), decay = expf(step * constants.rate);
      for (int i = own_lane(); i < kStepKeys; i += 32) memory.stage.w[0][i] = i < p.key_dim ? decay : 0.0f;
      if (own_lane() == 0) memory.stage.scale[0] = step;
      return;
    }
    default: return;
  }
  take_vector<T>(vector);
}

// Whether heads are as large as they may be, and lie so that vectors of them can be read.
__device__ inline bool has_whole_heads(const RecurrenceParams& p) {
  return p.key_dim == kStepKeys && p.value_dim == kStepHead && p.vectorised_values;
}

// A block takes up to 64 columns of a head. Whole heads have code of their own: beside that for others their cells would not stay in
// registers.
template <class T, bool kWhole> __device__ __noinline__ void run_recurrence(const StepInstruction& instruction) {
  static_assert(sizeof(RecurrenceMemory) <= kStepInputBytes);
  const auto& all = instruction.as<StepRecurrence>();
  auto& memory = *reinterpret_cast<RecurrenceMemory*>(own_shared().inputs);
  const RecurrenceParams& p = all.recurrence;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, own_column = thread / kKeyLanes * kThreadColumns;
  const bool works = thread < workers_of(kStepHead);
  const int parts = kWhole ? 1 : (p.value_dim + kStepHead - 1) / kStepHead;
  bool met = false;
  for (int item = static_cast<int>(blockIdx.x); item < all.heads * parts; item += static_cast<int>(gridDim.x)) {
    const int head = item / parts, column = item % parts * kStepHead, columns = min(p.value_dim - column, kStepHead);
    float* state = p.state + head * kStepKeys * kStepHead;
    Cells<kStepKeys> cells = {};
    if (works) {
      if constexpr (kWhole) {
        read_whole(state, cells, own_column, lane);
      } else {
        cells.read(p, head, column + own_column, lane);
      }
    }
    const HeadConstants constants(p, head);
    if (!met) meet(instruction);
    met = true;
    set_stage<T>(all, head, column, constants, memory);
    sync_workers();
    if (works) advance_all<false>(cells, memory.stage, 1, own_column, lane, memory.parts);
    sync_workers();
    if (thread < columns) {
      float y = fmaf(constants.skip, memory.stage.v[0][thread], memory.parts.sum(0, thread));
      if (p.gate) y *= silu(memory.gate[thread]);
      const int64_t output = head * p.y_head + column + thread;
      if (all.y) give<T>(all.y, y, static_cast<int>(output));
      if (all.keeps_y) static_cast<T*>(p.y)[output] = from_float<T>(y);
    }
    if (works) {
      if constexpr (kWhole) {
        write_whole(state, cells, own_column, lane);
      } else {
        cells.write(p, head, column + own_column, lane);
      }
    }
    sync_workers();
  }
  if (!met) meet(instruction);
}

#endif

}  // namespace linea::cuda::step
