#include "kernels/cuda/cuda_backend.h"

#include <map>
#include <mutex>

#include "core/error.h"
#include "core/planning_memory.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/step_program.h"
#include "kernels/cuda/stream_allocator.h"

namespace linea {

using namespace cuda;

namespace {

constexpr int kOldestMajor = 8;  // Ampere: the first with cp.async and bf16 tensor cores

void require_device(int index) {
  const std::string name = "device cuda:" + std::to_string(index);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess && status != cudaErrorNoDevice) {
    cudaGetLastError();
    throw Error(ErrorKind::kDevice, name + " cannot be used: " + cudaGetErrorString(status),
                "install or update the NVIDIA driver, or choose --device cpu");
  }
  if (index < 0 || index >= count) {
    throw Error(ErrorKind::kDevice,
                name + " does not exist: this machine has " + (count == 0 ? "no" : std::to_string(count)) +
                    (count == 1 ? " CUDA device" : " CUDA devices"),
                "choose --device cpu" + std::string(count > 0 ? " or cuda:0" : ""));
  }
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), name.c_str(), "cudaDeviceGetAttribute");
  if (major < kOldestMajor) {
    throw Error(ErrorKind::kDevice, name + " has compute capability " + std::to_string(major) + ".x; Linea needs 8.0 (Ampere) or newer",
                "choose --device cpu");
  }
}

}  // namespace

CudaBackend::CudaBackend(int index) : device_{DeviceKind::kCuda, index} {
  if (PlanningMemory::active()) return;  // for arguments and scratch alone: nothing is submitted, and the device need not exist
  require_device(index);
  const std::string name = device_.name();
  check(cudaSetDevice(index), name.c_str(), "cudaSetDevice");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), name.c_str(), "cudaStreamCreateWithFlags");
  allocator_ = std::make_unique<StreamAllocator>(index, stream_);
  matmul_ = std::make_unique<Matmul>(index);
  register_allocator(device_, *allocator_);
}

CudaBackend::~CudaBackend() {
  if (stream_) cudaStreamDestroy(stream_);
}

cudaStream_t CudaBackend::enter() const {
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) recorder->flush();
  check(cudaSetDevice(device_.index), "device", "cudaSetDevice");
  return recording_stream() ? recording_stream() : stream_;
}

std::unique_ptr<Backend::CapturedWork> CudaBackend::capture(const std::function<void()>& work) {
  const cudaStream_t stream = enter();
  return std::make_unique<CapturedGraph>(work, device_.index, stream);
}

// Ops of a step wait in the recorder until one comes that it does not take, or the sequence ends.
void CudaBackend::run_sequence(const std::function<void()>& work) {
  if (PlanningMemory::active() || !runs_step_programs(device_.index)) return work();
  StepRecorder recorder(device_.index, [this] { return enter(); });
  work();
  recorder.flush();
}

void CudaBackend::synchronize() {
  check(cudaStreamSynchronize(enter()), "synchronize", "cudaStreamSynchronize");
  matmul_->keep_choices();  // here, and not as they are made: a write of the file takes longer than a product's choice
}

namespace {

class EventTimeMark final : public Backend::TimeMark {
 public:
  explicit EventTimeMark(cudaStream_t stream) {
    check(cudaEventCreate(&event_), "mark_time", "cudaEventCreate");
    check(cudaEventRecord(event_, stream), "mark_time", "cudaEventRecord");
  }
  ~EventTimeMark() override { cudaEventDestroy(event_); }
  EventTimeMark(const EventTimeMark&) = delete;
  EventTimeMark& operator=(const EventTimeMark&) = delete;

  double seconds_until(const TimeMark& later) const override {
    float milliseconds = 0;
    const cudaEvent_t end = static_cast<const EventTimeMark&>(later).event_;
    check(cudaEventSynchronize(end), "mark_time", "cudaEventSynchronize");
    check(cudaEventElapsedTime(&milliseconds, event_, end), "mark_time", "cudaEventElapsedTime");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

std::unique_ptr<Backend::TimeMark> CudaBackend::mark_time() { return std::make_unique<EventTimeMark>(enter()); }

Backend& cuda_backend(int index) {
  // Never destroyed: tensors in other static objects may still need the allocators while the program ends.
  static std::mutex mutex;
  static auto& backends = *new std::map<std::pair<int, bool>, std::unique_ptr<CudaBackend>>;
  const PlanningMemory* planning = PlanningMemory::active();
  const bool only_plans = planning && planning->device() == Device{DeviceKind::kCuda, index};
  const std::lock_guard lock(mutex);
  std::unique_ptr<CudaBackend>& backend = backends[{index, only_plans}];
  if (!backend) backend = std::make_unique<CudaBackend>(index);
  return *backend;
}

}  // namespace linea
