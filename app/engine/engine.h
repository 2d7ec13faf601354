// app/engine/engine.h: the queue of jobs and the threads that work on it. Every front end submits the same jobs here; the engine knows no
// window and prints nothing.
//
// Thread rule: every public method may be called from any thread, and none of them (but stop, wait and the constructor) ever waits for a
// kernel, a file, the database or a lock that is held across them: commands go into a lock-free mailbox that the engine's own thread
// empties, and what front ends read are immutable snapshots. A command therefore shows in queue() a moment after it was given.
//
// With a library the queue is durable: what was accepted goes on after the process was killed, picture by picture, and a long picture goes
// on from its last checkpoint, with the same bytes as an undisturbed run.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/engine/job.h"
#include "app/engine/memory_budget.h"
#include "app/engine/plan.h"
#include "core/cancel.h"
#include "core/device.h"
#include "core/image.h"

namespace linea {

struct EngineEvent {
  enum class Kind : uint8_t {
    kAccepted,      // job: it is in the queue, and on the disk if there is a library
    kStarted,       // job: its first picture begins
    kProgress,      // job, picture, progress, seconds_left
    kPreview,       // job, picture, preview: the picture as it looks at this step, a pixel a latent
    kPictureDone,   // job, picture, result: the file lies complete under its name, and in the library
    kJobDone,       // job
    kJobFailed,     // job, text, hint, error
    kJobCancelled,  // job
    kQueueChanged,  // order, pause, removal: look at queue()
    kModel,         // text: a model was loaded or put out; look at residency()
    kPlan,          // plan: the answer to request_plan
    kWarning,       // text (job, picture where it has to do with them)
  };
  Kind kind = Kind::kQueueChanged;
  JobId job = 0;
  int picture = 0;
  Progress progress{};
  double seconds_left = -1;  // of the whole job; negative while unknown
  std::shared_ptr<const Image> preview{};
  PictureResult result{};
  std::string text{}, hint{};
  ErrorKind error = ErrorKind::kInternal;
  std::shared_ptr<const PlanAnswer> plan{};
};

// A picture that is being made now.
struct RunningPicture {
  JobId job = 0;
  int picture = 0;
  Progress progress{};
  double seconds_left = -1;                // of the whole job
  std::shared_ptr<const Image> preview{};  // the last one, null before the first
  int preview_step = 0;
};

struct QueueSnapshot {
  uint64_t version = 0;  // grows with every change
  bool paused = false;
  std::vector<std::shared_ptr<const JobView>> jobs;  // running ones first, then the waiting in order, then the finished, newest first
  std::vector<RunningPicture> running;
  int waiting = 0;        // jobs in state kQueued
  int done_pictures = 0;  // since the engine was made

  const JobView* find(JobId id) const;
};

enum class QueuePlace : uint8_t { kBack, kFront };

struct EngineOptions {
  std::filesystem::path library;            // database that keeps the queue and the pictures; empty = memory only
  bool durable_queue = true;                // false: register pictures in the library, but keep jobs in memory (command line)
  std::filesystem::path checkpoint_folder;  // of long pictures; empty = none are kept
  double checkpoint_seconds = 10;           // of denoising between two checkpoints
  int lanes = 1;                            // most pictures at a time; each has its share of the threads
  // Several devices share the pictures, one lane each at least and each with models of its own; the same device may stand here twice. A
  // device that fails hands its pictures to the others; the last one's failure is that of the jobs. One device, or none: a job's own.
  std::vector<Device> devices{};
  int threads = 0;            // CPU threads in all; 0 = all cores
  int64_t memory_budget = 0;  // bytes of each device for models and their work; 0 = what it has free
  bool previews = true;       // kPreview events
  bool start_paused = false;
  size_t kept_finished = 200;  // finished jobs that stay in queue()
  // Called on the engine's threads, in order for each job; must be quick and must not throw. kPictureDone is called before the next
  // event of its job, so a caller may write its own record of the picture there.
  std::function<void(const EngineEvent&)> on_event;
  // Named tensors of the first picture of a job, for comparing implementations; called on an engine thread.
  std::function<void(const std::string& name, const Tensor& value)> trace;
  // Called on a lane's thread before each of its pictures; what it throws is as if the device had. For tests of failures.
  std::function<void(Device device, int lane)> before_picture;
};

class Engine {
 public:
  // Opens the library and takes up its unfinished jobs. Throws kBadFile for a library that cannot be used.
  explicit Engine(EngineOptions options);
  ~Engine();  // stop()
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  JobId submit(PictureJob job, QueuePlace place = QueuePlace::kBack);
  void cancel(JobId id);  // reacts within a step; finished pictures stay
  void cancel_all();
  void pause();                                                     // what runs ends its picture, nothing new starts
  void resume();                                                    //
  void retry(JobId id);                                             // a failed or cancelled job: its missing pictures
  JobId duplicate(JobId id, QueuePlace place = QueuePlace::kBack);  // 0 when there is no such job
  void move(JobId id, int position);                                // among the waiting jobs, 0 = next
  void remove(JobId id);                                            // from the list; a running job is cancelled first
  void clear_finished();

  std::shared_ptr<const QueueSnapshot> queue() const;  // never null
  // Events since the last call, oldest first: for front ends that poll (one consumer). When nobody polls, progress and previews are
  // dropped first and at most 4096 events are kept.
  std::vector<EngineEvent> take_events();

  // What the settings would need, computed beside the running work with the model, which is loaded for it; the answer comes as kPlan with
  // the same tag. A newer request replaces one that has not been begun.
  void request_plan(const PictureSettings& settings, uint64_t tag);
  void preload(const PictureSettings& settings);  // the model of these settings, in the background when nothing runs
  void put_out_models();                          // frees every picture model that is not in use
  MemoryBudget& memory() { return *memory_; }     // shared with other kinds of models
  std::shared_ptr<const ResidencySnapshot> residency() const { return memory_->snapshot(); }
  void set_previews(bool on);
  // Pictures at a time from now on, at most EngineOptions::lanes, and how many of them may be in their steps, which share the threads (0 =
  // all). With more lanes than that, text, decoding and files of some are done beside the steps of others.
  void set_lanes(int lanes, int denoising = 0);

  // Ends after the current step: a running picture is kept as a checkpoint where there is a folder for it, and waits in the queue.
  // Blocks until the threads have ended; further commands have no effect.
  void stop();
  // As stop, but running pictures are finished first.
  void finish_pictures_and_stop();
  // Blocks until nothing is queued or running (a paused queue: until nothing runs). False when the time ran out.
  bool wait_idle(double seconds = 1e9);

 private:
  class Impl;
  std::shared_ptr<MemoryBudget> memory_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace linea
