#include "lm/state_memory.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/planning_memory.h"

namespace linea {
namespace {

constexpr size_t kMostSpares = 2;                   // of a size
constexpr int64_t kLargeFloats = int64_t{4} << 20;  // what is smaller is made faster than a thread is woken
constexpr uintptr_t kPage = 4096;                   // bytes
constexpr std::chrono::milliseconds kCopying(60);   // what a copy of a large state may take

class SparesOfHost : public std::enable_shared_from_this<SparesOfHost> {
 public:
  static std::shared_ptr<SparesOfHost> instance() {
    static const auto spares = [] {
      allocator_of(kCpuDevice);  // made first, so that it is there until the worker has ended
      return std::make_shared<SparesOfHost>();
    }();
    return spares;
  }
  SparesOfHost() = default;
  SparesOfHost(const SparesOfHost&) = delete;
  SparesOfHost& operator=(const SparesOfHost&) = delete;
  ~SparesOfHost() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    if (worker_.joinable()) worker_.join();
  }

  Tensor take(int64_t floats, bool more_will_follow) {
    Tensor block = take_spare(floats);
    if (!block.defined()) block = Tensor({floats}, DType::kF32);
    const auto give_back = [spares = shared_from_this(), block](const void*) { spares->keep(block, /*was_lent=*/true); };
    const Tensor lent(block.raw(), block.shape(), DType::kF32, kCpuDevice, std::shared_ptr<const void>(block.raw(), give_back));
    const std::lock_guard lock(mutex_);
    Size& size = sizes_[floats];
    ++size.lent;
    if (more_will_follow && floats >= kLargeFloats && size.spares.empty() && preparing_ == 0) prepare(floats);
    return lent;
  }

 private:
  struct Size {
    int64_t lent = 0;
    std::vector<Tensor> spares;
  };

  // One that is being made ready is worth waiting for.
  Tensor take_spare(int64_t floats) {
    std::unique_lock lock(mutex_);
    if (preparing_ == floats) asked_for_ = true, changed_.notify_all();
    changed_.wait(lock, [&] { return preparing_ != floats; });
    const auto found = sizes_.find(floats);
    if (found == sizes_.end() || found->second.spares.empty()) return {};
    Tensor block = std::move(found->second.spares.back());
    found->second.spares.pop_back();
    return block;
  }

  // A block that came back or was made ready: kept, or given to the system, and all with it when none of their size is lent any more.
  void keep(Tensor block, bool was_lent) {
    std::vector<Tensor> unwanted;  // released outside of the lock
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(block.elements());
    if (found != sizes_.end() && was_lent) --found->second.lent;
    if (found != sizes_.end() && found->second.lent == 0) {
      unwanted = std::move(found->second.spares);
      sizes_.erase(found);
    } else if (found != sizes_.end() && found->second.spares.size() < kMostSpares) {
      return found->second.spares.push_back(std::move(block));
    }
    unwanted.push_back(std::move(block));
  }

  // Under the lock.
  void prepare(int64_t floats) {
    if (worker_.joinable()) worker_.join();  // it has ended
    preparing_ = floats, asked_for_ = false;
    try {
      worker_ = std::thread([this, floats] { make_ready(floats); });
    } catch (const std::system_error&) {  // then the next state finds its memory itself
      preparing_ = 0;
    }
  }

  void make_ready(int64_t floats) {
    if (wait_for_the_copy()) make_block(floats);
    const std::lock_guard lock(mutex_);
    preparing_ = 0;
    changed_.notify_all();
  }

  void make_block(int64_t floats) {
    try {
      const Tensor block = Tensor({floats}, DType::kF32);
      auto* bytes = static_cast<volatile char*>(block.raw());
      for (int64_t at = 0; at < block.bytes(); at += static_cast<int64_t>(kPage)) bytes[at] = 0;
      keep(block, /*was_lent=*/false);
    } catch (const Error&) {  // no memory to spare
    }
  }

  // Whoever was given the last block fills it first, on all processors, unless it asks for another one at once. False when the program
  // ends.
  bool wait_for_the_copy() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kCopying, [&] { return asked_for_ || ends_; });
    return !ends_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Size> sizes_;  // by floats
  std::thread worker_;
  int64_t preparing_ = 0;   // floats of the block that worker_ makes ready, or 0
  bool asked_for_ = false;  // somebody waits for that block
  bool ends_ = false;
};

}  // namespace

Tensor state_block(int64_t floats, Device device, bool more_will_follow) {
  if (!device.is_cpu() || PlanningMemory::active() || floats == 0) return Tensor({floats}, DType::kF32, device);
  return SparesOfHost::instance()->take(floats, more_will_follow);
}

}  // namespace linea
