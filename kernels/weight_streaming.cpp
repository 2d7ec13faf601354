#include "kernels/weight_streaming.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "core/error.h"

namespace linea {
namespace {

constexpr int64_t kAlignment = 256;  // of a tensor in its slot, as in an arena

class ThreadCopier final : public Copier {
 public:
  ThreadCopier() : thread_([this] { run(); }) {}
  ~ThreadCopier() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  ThreadCopier(const ThreadCopier&) = delete;
  ThreadCopier& operator=(const ThreadCopier&) = delete;

  void start(int slot, std::vector<Copy> copies) override {
    const std::lock_guard lock(mutex_);
    ++pending_[static_cast<size_t>(slot)];
    queue_.emplace_back(slot, std::move(copies));
    changed_.notify_all();
  }
  void finish(int slot) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return pending_[static_cast<size_t>(slot)] == 0; });
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return ending_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const auto [slot, copies] = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
      lock.lock();
      --pending_[static_cast<size_t>(slot)];
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<int, std::vector<Copy>>> queue_;
  std::array<int, 2> pending_{};
  bool ending_ = false;
  std::thread thread_;  // last: it uses the rest
};

// Ops have ended when they return, and weights are used as they lie in the file.
class HostStreaming final : public WeightStreaming {
 public:
  std::vector<Tensor> parts_of(const Weight& w) const override {
    LINEA_ASSERT(!w.packed);  // what is streamed was not loaded for_many_rows
    return {w.data};
  }
  Weight with_parts(const Weight& w, std::span<const Tensor> parts) const override { return {parts[0], w.shape, nullptr}; }
  std::vector<Tensor> bring_home(std::span<const Tensor> tensors) const override { return {tensors.begin(), tensors.end()}; }
  std::unique_ptr<Copier> open_copier(Context&) const override { return thread_copier(); }
};

}  // namespace

std::unique_ptr<Copier> thread_copier() { return std::make_unique<ThreadCopier>(); }

#if defined(LINEA_CUDA)
const WeightStreaming& cuda_weight_streaming();  // kernels/cuda/weight_streaming.cpp
#else
const WeightStreaming& cuda_weight_streaming() { throw Error(ErrorKind::kDevice, "this program was built without CUDA"); }
#endif

const WeightStreaming& weight_streaming_of(Device device) {
  static const HostStreaming host;
  if (device.is_cpu()) return host;
  return cuda_weight_streaming();
}

SlotLayout SlotLayout::of(std::span<const Tensor> tensors) {
  SlotLayout layout;
  for (const Tensor& t : tensors) {
    LINEA_ASSERT(t.is_contiguous());
    layout.places.push_back({t.shape(), t.dtype(), layout.bytes});
    layout.bytes += (t.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
  return layout;
}

std::vector<Tensor> SlotLayout::views(const Tensor& slot) const {
  std::vector<Tensor> tensors;
  for (const Place& place : places) {
    tensors.emplace_back(static_cast<char*>(slot.raw()) + place.offset, place.shape, place.dtype, slot.device(), slot.owner());
  }
  return tensors;
}

bool SlotLayout::suits(std::span<const Tensor> tensors) const {
  return std::equal(tensors.begin(), tensors.end(), places.begin(), places.end(),
                    [](const Tensor& t, const Place& place) { return t.shape() == place.shape && t.dtype() == place.dtype; });
}

Tensor SlotLayout::nowhere(Device device) { return Tensor(reinterpret_cast<void*>(kAlignment), {0}, DType::kU8, device, nullptr); }

SlotRing::SlotRing(Context& ctx, const SlotLayout& layout, const std::vector<std::vector<Tensor>>& homes, bool cycles)
    : layout_(layout), homes_(homes), cycles_(cycles) {
  for (int s = 0; s < 2; ++s) slots_.push_back(ctx.allocate({layout.bytes}, DType::kU8));
  if (!ctx.planning()) copier_ = weight_streaming_of(ctx.backend->device()).open_copier(ctx);
}

void SlotRing::start(size_t use) {
  const std::vector<Tensor>& home = homes_[use % homes_.size()];
  const Tensor& slot = slots_[use % 2];
  std::vector<Copier::Copy> copies;
  for (size_t i = 0; i < home.size(); ++i) {
    void* to = static_cast<char*>(slot.raw()) + layout_.places[i].offset;
    // Neighbours at home that are neighbours in the slot go as one.
    if (!copies.empty()) {
      Copier::Copy& last = copies.back();
      const int64_t gap = static_cast<const char*>(home[i].raw()) - static_cast<const char*>(last.from);
      if (home[i].owner() == home[i - 1].owner() && gap == static_cast<char*>(to) - static_cast<char*>(last.to)) {
        last.bytes = gap + home[i].bytes();
        continue;
      }
    }
    copies.push_back({to, home[i].raw(), home[i].bytes()});
  }
  copier_->start(static_cast<int>(use % 2), std::move(copies));
  started_ = use + 1;
}

// When layer n is asked for, the work of the layer before has been submitted, so the slot that it used may be filled after that work.
int SlotRing::acquire(size_t n) {
  LINEA_ASSERT(n == used_ % homes_.size() && (cycles_ || used_ < homes_.size()));
  const size_t use = used_++;
  if (copier_) {
    if (started_ <= use) start(use);
    copier_->finish(static_cast<int>(use % 2));
    if (cycles_ || use + 1 < homes_.size()) start(use + 1);
  }
  return static_cast<int>(use % 2);
}

}  // namespace linea
