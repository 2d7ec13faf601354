#include "kernels/weight_streaming.h"

#include <cuda_runtime_api.h>

#include <array>

#include "core/error.h"
#include "core/planning_memory.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/linear_extras.h"
#include "kernels/cuda/stream_allocator.h"

namespace linea {

using namespace cuda;

namespace {

constexpr const char* kOp = "weight streaming";

cudaStream_t stream_of(Device device) { return dynamic_cast<StreamAllocator&>(allocator_of(device)).stream(); }

class CudaCopier final : public Copier {
 public:
  explicit CudaCopier(Device device) : device_(device), work_(stream_of(device)) {
    check(cudaSetDevice(device.index), kOp, "cudaSetDevice");
    check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), kOp, "cudaStreamCreateWithFlags");
    for (cudaEvent_t* event : {&free_, done_.data(), done_.data() + 1}) {
      check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), kOp, "cudaEventCreateWithFlags");
    }
  }
  ~CudaCopier() override {
    cudaSetDevice(device_.index);
    cudaStreamSynchronize(copies_);
    for (const cudaEvent_t event : {free_, done_[0], done_[1]}) cudaEventDestroy(event);
    cudaStreamDestroy(copies_);
  }
  CudaCopier(const CudaCopier&) = delete;
  CudaCopier& operator=(const CudaCopier&) = delete;

  void start(int slot, std::vector<Copy> copies) override {
    check(cudaSetDevice(device_.index), kOp, "cudaSetDevice");
    check(cudaEventRecord(free_, work_), kOp, "cudaEventRecord");
    check(cudaStreamWaitEvent(copies_, free_, 0), kOp, "cudaStreamWaitEvent");
    for (const Copy& c : copies) {
      check(cudaMemcpyAsync(c.to, c.from, static_cast<size_t>(c.bytes), cudaMemcpyHostToDevice, copies_), kOp, "cudaMemcpyAsync");
    }
    check(cudaEventRecord(done_[static_cast<size_t>(slot)], copies_), kOp, "cudaEventRecord");
  }
  void finish(int slot) override { check(cudaStreamWaitEvent(work_, done_[static_cast<size_t>(slot)], 0), kOp, "cudaStreamWaitEvent"); }

 private:
  Device device_;
  cudaStream_t work_, copies_ = nullptr;
  cudaEvent_t free_ = nullptr;
  std::array<cudaEvent_t, 2> done_{};
};

// Pinned, so that copies run at the bus's speed beside the work; ordinary memory where the system has no more to pin, which is slower.
std::shared_ptr<void> host_block(int64_t bytes) {
  void* pinned = nullptr;
  if (cudaMallocHost(&pinned, static_cast<size_t>(bytes)) == cudaSuccess) {
    return std::shared_ptr<void>(pinned, [](void* pointer) { cudaFreeHost(pointer); });
  }
  cudaGetLastError();
  const Tensor plain({bytes}, DType::kU8);
  return {std::const_pointer_cast<void>(plain.owner()), plain.raw()};
}

class CudaStreaming final : public WeightStreaming {
 public:
  std::vector<Tensor> parts_of(const Weight& w) const override {
    const Tensor& scales = static_cast<const LinearExtras*>(w.packed.get())->scales;
    return scales.defined() ? std::vector<Tensor>{w.data, scales} : std::vector<Tensor>{w.data};
  }

  Weight with_parts(const Weight& w, std::span<const Tensor> parts) const override {
    const auto extras = std::make_shared<LinearExtras>();
    extras->changing = true;
    if (parts.size() > 1) extras->scales = parts[1];
    return {parts[0], w.shape, extras};
  }

  std::vector<Tensor> bring_home(std::span<const Tensor> tensors) const override {
    if (PlanningMemory::active()) return {};
    const SlotLayout layout = SlotLayout::of(tensors);
    const std::shared_ptr<void> block = host_block(layout.bytes);
    std::vector<Tensor> homes = layout.views(Tensor(block.get(), {layout.bytes}, DType::kU8, kCpuDevice, block));
    for (size_t i = 0; i < homes.size(); ++i) {
      allocator_of(tensors[i].device()).copy_to_host(homes[i].raw(), tensors[i].raw(), tensors[i].bytes());
    }
    return homes;
  }

  std::unique_ptr<Copier> open_copier(Context& ctx) const override { return std::make_unique<CudaCopier>(ctx.backend->device()); }
};

}  // namespace

const WeightStreaming& cuda_weight_streaming() {
  static const CudaStreaming streaming;
  return streaming;
}

}  // namespace linea
