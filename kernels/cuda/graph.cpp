#include "kernels/cuda/graph.h"

#include <utility>

#include "kernels/cuda/check.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "graph";

thread_local cudaStream_t recording = nullptr;
thread_local cudaStream_t branch = nullptr;  // of the recording
thread_local bool has_branch = false;
thread_local std::vector<std::shared_ptr<const void>> kept;

// Streams of its own record, so that what other threads submit meanwhile is not recorded with it.
class Recorder {
 public:
  Recorder() {
    create_streams();
    const cudaError_t status = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    if (status != cudaSuccess) destroy_streams();
    check(status, kOp, "cudaStreamBeginCapture");
    recording = stream_;
    branch = branch_;
    has_branch = false;
    kept.clear();
  }
  ~Recorder() {
    if (recording) {  // the work threw: what was recorded is not wanted
      cudaGraph_t graph = nullptr;
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
    }
    recording = branch = nullptr;
    destroy_streams();
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  cudaGraph_t finish() {
    cudaGraph_t graph = nullptr;
    recording = branch = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), kOp, "cudaStreamEndCapture");
    return graph;
  }

 private:
  // Blocks of the branch wait while any of the recording's own may begin.
  void create_streams() {
    int least = 0, greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), kOp, "cudaDeviceGetStreamPriorityRange");
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), kOp, "cudaStreamCreateWithPriority");
    const cudaError_t status = cudaStreamCreateWithPriority(&branch_, cudaStreamNonBlocking, least);
    if (status != cudaSuccess) cudaStreamDestroy(stream_);
    check(status, kOp, "cudaStreamCreateWithPriority");
  }
  void destroy_streams() {
    cudaStreamDestroy(branch_);
    cudaStreamDestroy(stream_);
  }

  cudaStream_t stream_ = nullptr, branch_ = nullptr;
};

}  // namespace

cudaStream_t recording_stream() { return recording; }

cudaStream_t begin_branch() {
  LINEA_ASSERT(recording);
  cudaEvent_t here = nullptr;
  check(cudaEventCreateWithFlags(&here, cudaEventDisableTiming), kOp, "cudaEventCreateWithFlags");
  const cudaError_t recorded = cudaEventRecord(here, recording);
  const cudaError_t waits = recorded == cudaSuccess ? cudaStreamWaitEvent(branch, here, 0) : recorded;
  cudaEventDestroy(here);
  check(waits, kOp, "cudaStreamWaitEvent");
  has_branch = true;
  return branch;
}

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
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, has_branch ? cudaGraphInstantiateFlagUseNodePriority : 0);
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
