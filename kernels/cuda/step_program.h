// kernels/cuda/step_program.h: a step of a recurrent model, all of its ops in one kernel.
//
// A step reads every weight once for one row of x, so that launches cost as much as work: each begins with nothing on its way from memory.
// A step program is a list of instructions for a kernel that stays on the machine for the whole step, one block a processor. Its warps ask
// for the weights of the next instructions while they wait for each other, so that memory rests little. What one instruction takes of
// another goes as words that tell themselves whether they are there (device/step_words.cuh); where it cannot, the blocks meet at a barrier.
//
// A StepRecorder takes ops instead of a stream: the backend offers it each, and what it does not take makes it submit what it has first.
// Short lists are submitted op by op, as they would be without it.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/ops.h"

namespace linea::cuda {

enum class StepKind : int;  // device/step.cuh
struct StepProducts;
struct StepRow;
struct StepTaken;  // step_links.h

// Whether the device runs step programs: Hopper. LINEA_CUDA_PROGRAMS=0 turns them off, for comparisons.
bool runs_step_programs(int device);

class StepRecorder {
 public:
  // Records what the calling thread submits to `device` until it is destroyed; enter() gives the stream.
  StepRecorder(int device, std::function<cudaStream_t()> enter);
  ~StepRecorder();
  StepRecorder(const StepRecorder&) = delete;
  StepRecorder& operator=(const StepRecorder&) = delete;

  // The calling thread's recorder of a device; null where there is none, or while it submits.
  static StepRecorder* of(int device);

  // Each is true where the op was taken. `plain` submits it alone.
  bool project(std::span<const Projection> projections, const LinearArgs& args, std::function<void()> plain);
  bool mix(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, std::span<const Mix> mixes,
           std::function<void()> plain);
  bool norm(const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args, std::function<void()> plain);
  bool convolve(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y, Activation activation,
                std::function<void()> plain);
  bool rwkv7_heads(const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y, std::function<void()> plain);
  bool mamba2_heads(const Mamba2Heads& in, const Tensor& state, const Tensor& y, std::function<void()> plain);

  // Submits what was taken.
  void flush();

 private:
  StepTaken& take(StepKind kind, std::function<void()> plain);
  bool joins_norm(const Tensor& x) const;
  bool joins_mix(const StepProducts& products, const std::vector<StepRow>& gives) const;
  bool is_settled(const Tensor& state) const;
  bool has_type(DType type);
  void submit_alone(const std::vector<StepTaken>& taken);
  void submit_program(std::vector<StepTaken> taken);

  int device_;
  std::function<cudaStream_t()> enter_;
  StepRecorder* outer_;
  bool submitting_ = false;
  DType type_;  // of the activations; kBool before the first
  std::vector<StepTaken> taken_;
};

}  // namespace linea::cuda
