// kernels/cuda/graph.h: submitted work recorded as a CUDA graph, to be launched again as one.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace linea::cuda {

// The stream that records what the calling thread submits; null unless a capture is under way on it.
cudaStream_t recording_stream();

// While it lives, the calling thread's work is not part of its recording, and may allocate and copy.
class OutsideRecording {
 public:
  OutsideRecording();
  ~OutsideRecording();
  OutsideRecording(const OutsideRecording&) = delete;
  OutsideRecording& operator=(const OutsideRecording&) = delete;

 private:
  cudaStream_t recording_;
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// Keeps what the calling thread's recording reads for as long as the graph lives.
void keep_with_recording(std::shared_ptr<const void> what);

class CapturedGraph final : public Backend::CapturedWork {
 public:
  // Calls `work` once, which must submit to recording_stream() and neither wait, allocate device memory nor copy from or to the host.
  // `stream` is where launches go. What `work` throws passes through.
  CapturedGraph(const std::function<void()>& work, int device, cudaStream_t stream);
  ~CapturedGraph() override;
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  void submit() override;

 private:
  int device_;
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace linea::cuda
