#include "app/studio/background.h"

#include <utility>

#include "core/error.h"

namespace linea::studio {

Background::Background(UiQueue& queue, std::function<void(const std::string&, const std::string&)> failed)
    : queue_(queue), failed_(std::move(failed)) {
  workers_[kLibrary].drop = false;
  for (Worker& worker : workers_) worker.thread = std::thread([this, &worker] { loop(worker); });
}

Background::~Background() {
  for (Worker& worker : workers_) {
    const std::lock_guard lock(worker.mutex);
    worker.stop = true;
    for (Task& task : worker.kept_back) worker.tasks.push_back(std::move(task));
    if (worker.drop) worker.tasks.clear();
    worker.wake.notify_one();
  }
  for (Worker& worker : workers_) worker.thread.join();
}

void Background::run(Lane lane, Task task) {
  workers_[lane].kept_back.push_back(std::move(task));
  hand_over(workers_[lane]);
}

void Background::run_first(Lane lane, Task task) {
  Worker& worker = workers_[lane];
  const std::unique_lock lock(worker.mutex, std::try_to_lock);
  if (!lock.owns_lock()) {
    worker.kept_back.push_front(std::move(task));
    return;
  }
  worker.tasks.push_front(std::move(task));
  worker.wake.notify_one();
}

bool Background::hand_over(Worker& worker) {
  if (worker.kept_back.empty()) return true;
  const std::unique_lock lock(worker.mutex, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  for (Task& task : worker.kept_back) worker.tasks.push_back(std::move(task));
  worker.kept_back.clear();
  worker.wake.notify_one();
  return true;
}

bool Background::flush() {
  bool left = false;
  for (Worker& worker : workers_) left = !hand_over(worker) || left;
  return left;
}

size_t Background::waiting(Lane lane) const {
  const Worker& worker = workers_[lane];
  const std::unique_lock lock(worker.mutex, std::try_to_lock);
  if (!lock.owns_lock()) return 1 + worker.kept_back.size();
  return worker.tasks.size() + worker.kept_back.size() + (worker.active ? 1 : 0);
}

void Background::open_library(const std::filesystem::path& path) {
  run(kLibrary, [this, path]() -> Done {
    if (!path.empty()) library_ = std::make_shared<Library>(path);
    return {};
  });
}

void Background::with_library(LibraryTask task) {
  run(kLibrary, [this, task = std::move(task)]() -> Done { return library_ ? task(*library_) : Done(); });
}

void Background::loop(Worker& worker) {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(worker.mutex);
      worker.active = false;
      worker.wake.wait(lock, [&] { return worker.stop || !worker.tasks.empty(); });
      if (worker.tasks.empty()) return;
      task = std::move(worker.tasks.front());
      worker.tasks.pop_front();
      worker.active = true;
    }
    try {
      if (Done done = task()) queue_.post(std::move(done));
    } catch (const Error& error) {
      queue_.post([this, text = std::string(error.what()), hint = error.hint()] { failed_(text, hint); });
    } catch (const std::exception& error) {
      queue_.post([this, text = std::string(error.what())] { failed_(text, ""); });
    }
  }
}

}  // namespace linea::studio
