// app/studio/background.h: threads for work that may wait: one with the library, one that decodes pictures, one that looks at files, one
// that writes models.
//
// A task gives back what is to be done on the drawing thread, or nothing. Tasks of a lane run one after the other. A task that throws is
// reported there as an error.
//
// Thread rule: the drawing thread alone gives tasks. It never waits for a lane's lock: while a worker holds it (and may have lost its core
// just then), tasks stay here and are handed over by a later call.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "app/library/library.h"
#include "app/studio/ui_queue.h"

namespace linea::studio {

class Background {
 public:
  enum Lane { kLibrary, kPictures, kFiles, kModels, kLanes };
  using Done = std::function<void()>;
  using Task = std::function<Done()>;

  // `failed(text, hint)` is called on the drawing thread.
  Background(UiQueue& queue, std::function<void(const std::string&, const std::string&)> failed);
  ~Background();  // finishes what runs, drops what waits, except the library's writes
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void run(Lane lane, Task task);
  // In front of what waits: what is being looked at right now.
  void run_first(Lane lane, Task task);
  // Hands over what a lock kept back; once a frame. True while something is left.
  bool flush();
  size_t waiting(Lane lane) const;  // with the one that runs

  // From a task: done on the drawing thread while the task goes on.
  void post(Done work) { queue_.post(std::move(work)); }

  // Opened by the library's lane before its first task that needs it; empty path = no library.
  void open_library(const std::filesystem::path& path);
  using LibraryTask = std::function<Done(Library&)>;
  void with_library(LibraryTask task);  // does nothing without a library

 private:
  struct Worker {
    mutable std::mutex mutex;
    std::condition_variable wake;
    std::deque<Task> tasks;
    std::deque<Task> kept_back;  // of the drawing thread
    bool stop = false, drop = true, active = false;
    std::thread thread;
  };
  void loop(Worker& worker);
  static bool hand_over(Worker& worker);

  UiQueue& queue_;
  std::function<void(const std::string&, const std::string&)> failed_;
  std::array<Worker, kLanes> workers_;
  std::shared_ptr<Library> library_;  // belongs to the library's lane
};

}  // namespace linea::studio
