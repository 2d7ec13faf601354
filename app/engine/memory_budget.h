// app/engine/memory_budget.h: one budget for everything that models keep in memory, and who was put out for whom.
//
// A holder (a picture model, a chat model) reserves its bytes before it loads. Where they do not fit, idle holders are asked to go, the one
// unused for longest first; where that is not enough, the reservation fails before any work begins.
//
// Thread rule: any thread. `put_out` callbacks run on the thread that reserves, without locks of the budget held.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "app/engine/published.h"
#include "core/device.h"

namespace linea {

struct ResidentModel {
  int64_t ticket = 0;
  std::string kind;  // "picture", "chat"
  std::string name;  // as shown: "sana-mini bf16"
  int64_t bytes = 0;
  bool in_use = false;
  double since = 0, last_used = 0;  // seconds since 1970
};

struct ResidencySnapshot {
  int64_t budget = 0, used = 0;         // bytes
  std::vector<ResidentModel> models{};  // what is loaded
  std::vector<std::string> history{};   // newest last, at most 50 lines: "put out RWKV-7 2.9B (5.8 GB) to make room for sana-mini"
};

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes);  // 0 = what is free now on this machine, and what its holders already have

  struct Holder {
    std::string kind, name;
    int64_t bytes = 0;
    // Gives the memory back and returns true, or false when it is in use after all. Empty = cannot be put out.
    std::function<bool()> put_out{};
  };
  // A ticket for the holder, in use until release(ticket). Throws kMemory, naming what is needed, what is free and who keeps the rest.
  int64_t reserve(const Holder& holder);
  void resize(int64_t ticket, int64_t bytes);  // as reserve for the difference
  void use(int64_t ticket);                    // in use: cannot be put out
  void idle(int64_t ticket);                   // may be put out
  void give_back(int64_t ticket);              // it is gone (also called by the budget after put_out)

  // Bytes that could be had, counting idle holders as free, and what the holder of `ticket` has already.
  int64_t available(int64_t ticket = 0) const;
  void set_budget(int64_t bytes);
  std::shared_ptr<const ResidencySnapshot> snapshot() const { return published_.read(); }
  // Called after every change, on the thread that caused it.
  void on_change(std::function<void(const std::string& what)> callback);

 private:
  struct Entry {
    ResidentModel model;
    std::function<bool()> put_out;
  };
  void make_room(std::unique_lock<std::mutex>& lock, int64_t bytes, const std::string& name, int64_t except);
  void note(std::unique_lock<std::mutex>& lock, const std::string& what);
  void publish();
  int64_t used() const;
  Entry* find(int64_t ticket);

  mutable std::mutex mutex_;
  int64_t budget_;
  int64_t next_ticket_ = 1;
  std::vector<Entry> entries_;
  std::vector<std::string> history_;
  std::function<void(const std::string&)> callback_;
  Published<ResidencySnapshot> published_;
};

// Bytes that a new allocation could get on the CPU: MemAvailable, or the limit of the control group where that is smaller.
int64_t free_cpu_memory();
// The same on any device. Throws kDevice for one that is not there.
int64_t free_memory(Device device);

}  // namespace linea
