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
};

struct StepRecurrence {
  RecurrenceParams recurrence;
  int heads;
};

}  // namespace linea::cuda
