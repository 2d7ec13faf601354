// kernels/cuda/device/step_bodies.cuh: the instructions of a step program that need the parameters of the recurrences.
#pragma once

#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step.cuh"

namespace linea::cuda {

struct StepGroups {
  StepNorm norm;  // of one group: its size, and the first one's addresses
  int groups;
};

// Heads of kStepHead channels.
template <class T> struct StepRwkv7Heads {
  Rwkv7InputsOp<T> in;
  RecurrenceParams recurrence;
  Rwkv7OutputsOp<T> out;
  const uint32_t *k, *rate, *decay, *v, *v_first, *share, *q, *g;  // their words, all or none
  uint32_t* y;
  bool takes_words, keeps_inputs, keeps_y;
};

struct StepRecurrence {
  RecurrenceParams recurrence;
  int heads;
  const uint32_t *q, *k, *v, *step, *gate;  // likewise
  uint32_t* y;
  bool keeps_y;
};

}  // namespace linea::cuda
