#include "app/engine/memory_budget.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>

#include "app/engine/plan.h"
#include "core/error.h"
#include "kernels/devices.h"

namespace linea {
namespace {

constexpr size_t kHistoryLines = 50;

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

int64_t first_number(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  int64_t value = 0;
  if (key.empty()) return file >> value ? value : -1;
  while (file >> word) {
    if (word == key && file >> value) return value;
  }
  return -1;
}

}  // namespace

std::string bytes_text(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  char text[32];
  if (b >= 1e9) {
    std::snprintf(text, sizeof text, "%.1f GB", b * 1e-9);
  } else if (b >= 1e6) {
    std::snprintf(text, sizeof text, "%.0f MB", b * 1e-6);
  } else {
    std::snprintf(text, sizeof text, "%.0f kB", b * 1e-3);
  }
  return text;
}

int64_t free_cpu_memory() {
  const int64_t kibibytes = first_number("/proc/meminfo", "MemAvailable:");
  int64_t free = kibibytes > 0 ? kibibytes << 10 : std::numeric_limits<int64_t>::max() / 2;
  const int64_t limit = first_number("/sys/fs/cgroup/memory.max", ""), used = first_number("/sys/fs/cgroup/memory.current", "");
  const int64_t cached = std::max<int64_t>(first_number("/sys/fs/cgroup/memory.stat", "inactive_file"), 0);  // given back on demand
  if (limit > 0 && used >= 0) free = std::min(free, std::max<int64_t>(limit - used + cached, 0));
  return free;
}

int64_t free_memory(Device device) {
  if (device.is_cpu()) return free_cpu_memory();
  if (const std::optional<DeviceInfo> info = device_info(device)) return info->free_bytes;
  throw Error(ErrorKind::kDevice, "device " + device.name() + " is not here", "linea doctor lists the devices");
}

MemoryBudget::MemoryBudget(int64_t bytes) : budget_(bytes > 0 ? bytes : free_cpu_memory()) { publish(); }

int64_t MemoryBudget::used() const {
  int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.model.bytes;
  return sum;
}

MemoryBudget::Entry* MemoryBudget::find(int64_t ticket) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.model.ticket == ticket; });
  return found == entries_.end() ? nullptr : &*found;
}

void MemoryBudget::publish() {
  auto snapshot = std::make_shared<ResidencySnapshot>();
  snapshot->budget = budget_;
  snapshot->used = used();
  for (const Entry& entry : entries_) snapshot->models.push_back(entry.model);
  snapshot->history = history_;
  published_.publish(std::move(snapshot));
}

// Unlocks for the callback, which may look at the budget.
void MemoryBudget::note(std::unique_lock<std::mutex>& lock, const std::string& what) {
  history_.push_back(what);
  if (history_.size() > kHistoryLines) history_.erase(history_.begin());
  publish();
  const std::function<void(const std::string&)> callback = callback_;
  lock.unlock();
  if (callback) callback(what);
  lock.lock();
}

void MemoryBudget::make_room(std::unique_lock<std::mutex>& lock, int64_t bytes, const std::string& name, int64_t except) {
  std::vector<int64_t> refused;
  while (used() + bytes > budget_) {
    const Entry* oldest = nullptr;
    for (const Entry& entry : entries_) {
      const bool can_go = !entry.model.in_use && entry.put_out && entry.model.ticket != except &&
                          std::find(refused.begin(), refused.end(), entry.model.ticket) == refused.end();
      if (can_go && (!oldest || entry.model.last_used < oldest->model.last_used)) oldest = &entry;
    }
    if (!oldest) {
      std::string keepers;
      for (const Entry& entry : entries_) {
        keepers += (keepers.empty() ? "; in use: " : ", ") + entry.model.name + " " + bytes_text(entry.model.bytes);
      }
      throw Error(ErrorKind::kMemory,
                  name + " needs " + bytes_text(bytes) + " more, and " + bytes_text(std::max<int64_t>(budget_ - used(), 0)) + " of " +
                      bytes_text(budget_) + " are free" + keepers,
                  "choose a smaller size or model, or allow more memory");
    }
    const Entry going = *oldest;
    lock.unlock();
    const bool gone = going.put_out();
    lock.lock();
    if (!gone) {
      refused.push_back(going.model.ticket);
      continue;
    }
    std::erase_if(entries_, [&](const Entry& entry) { return entry.model.ticket == going.model.ticket; });
    note(lock, "put out " + going.model.name + " (" + bytes_text(going.model.bytes) + ") to make room for " + name);
  }
}

int64_t MemoryBudget::reserve(const Holder& holder) {
  std::unique_lock lock(mutex_);
  make_room(lock, holder.bytes, holder.name, 0);
  const int64_t ticket = next_ticket_++;
  entries_.push_back({{.ticket = ticket,
                       .kind = holder.kind,
                       .name = holder.name,
                       .bytes = holder.bytes,
                       .in_use = true,
                       .since = now(),
                       .last_used = now()},
                      holder.put_out});
  note(lock, "loaded " + holder.name + " (" + bytes_text(holder.bytes) + ")");
  return ticket;
}

void MemoryBudget::resize(int64_t ticket, int64_t bytes) {
  std::unique_lock lock(mutex_);
  const Entry* entry = find(ticket);
  if (!entry || entry->model.bytes == bytes) return;
  const std::string name = entry->model.name;
  if (bytes > entry->model.bytes) make_room(lock, bytes - entry->model.bytes, name, ticket);
  if (Entry* still = find(ticket)) still->model.bytes = bytes;
  publish();
}

void MemoryBudget::use(int64_t ticket) {
  const std::lock_guard lock(mutex_);
  if (Entry* entry = find(ticket)) entry->model.in_use = true, entry->model.last_used = now();
  publish();
}

void MemoryBudget::idle(int64_t ticket) {
  const std::lock_guard lock(mutex_);
  if (Entry* entry = find(ticket)) entry->model.in_use = false, entry->model.last_used = now();
  publish();
}

void MemoryBudget::give_back(int64_t ticket) {
  std::unique_lock lock(mutex_);
  const Entry* entry = find(ticket);
  if (!entry) return;
  const ResidentModel gone = entry->model;
  std::erase_if(entries_, [&](const Entry& other) { return other.model.ticket == ticket; });
  note(lock, "put out " + gone.name + " (" + bytes_text(gone.bytes) + ")");
}

int64_t MemoryBudget::available(int64_t ticket) const {
  const std::lock_guard lock(mutex_);
  int64_t kept = 0;
  for (const Entry& entry : entries_) {
    if (entry.model.ticket != ticket && (entry.model.in_use || !entry.put_out)) kept += entry.model.bytes;
  }
  return std::max<int64_t>(budget_ - kept, 0);
}

void MemoryBudget::set_budget(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  budget_ = bytes > 0 ? bytes : free_cpu_memory() + used();
  publish();
}

void MemoryBudget::on_change(std::function<void(const std::string&)> callback) {
  const std::lock_guard lock(mutex_);
  callback_ = std::move(callback);
}

}  // namespace linea
