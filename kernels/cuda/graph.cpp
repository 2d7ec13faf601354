#include "kernels/cuda/graph.h"

#include <utility>

#include "kernels/cuda/check.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "graph";

thread_local cudaStream_t recording = nullptr;
thread_local std::vector<std::shared_ptr<const void>> kept;

// A stream of its own records, so that what other threads submit meanwhile is not recorded with it.
class Recorder {
 public:
  Recorder() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), kOp, "cudaStreamCreateWithFlags");
    const cudaError_t status = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    if (status != cudaSuccess) cudaStreamDestroy(stream_);
    check(status, kOp, "cudaStreamBeginCapture");
    recording = stream_;
    kept.clear();
  }
  ~Recorder() {
    if (recording) {  // the work threw: what was recorded is not wanted
      cudaGraph_t graph = nullptr;
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
    }
    recording = nullptr;
    cudaStreamDestroy(stream_);
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  cudaGraph_t finish() {
    cudaGraph_t graph = nullptr;
    recording = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), kOp, "cudaStreamEndCapture");
    return graph;
  }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace

cudaStream_t recording_stream() { return recording; }

OutsideRecording::OutsideRecording() : recording_(std::exchange(recording, nullptr)) {
  check(cudaThreadExchangeStreamCaptureMode(&mode_), kOp, "cudaThreadExchangeStreamCaptureMode");
}
OutsideRecording::~OutsideRecording() {
  cudaThreadExchangeStreamCaptureMode(&mode_);
  recording = recording_;
}

void keep_with_recording(std::shared_ptr<const void> what) { kept.push_back(std::move(what)); }

CapturedGraph::CapturedGraph(const std::function<void()>& work, int device, cudaStream_t stream) : device_(device), stream_(stream) {
  LINEA_ASSERT(!recording);
  Recorder recorder;
  work();
  const cudaGraph_t graph = recorder.finish();
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  check(status, kOp, "cudaGraphInstantiate");
  kept_ = std::exchange(kept, {});
}

CapturedGraph::~CapturedGraph() {
  cudaSetDevice(device_);
  cudaGraphExecDestroy(executable_);  // deferred by the runtime while a launch is under way
}

void CapturedGraph::submit() {
  check(cudaSetDevice(device_), kOp, "cudaSetDevice");
  check(cudaGraphLaunch(executable_, stream_), kOp, "cudaGraphLaunch");
}

}  // namespace linea::cuda
