// app/engine/engine_impl.h: the engine's threads. Private to app/engine.
//
//   keeper  owns the queue, the library and the order of events; does what commands and the other threads tell it, one thing at a time
//   lanes   render one picture at a time each (app/engine/render.h)
//   saver   encodes and writes finished pictures, beside the next one's rendering
//   helper  plans, loads and puts out models on request
//
// They share nothing but mailboxes and the loaded models, so there is no lock to hold for long and no order of locks to keep.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <semaphore>
#include <set>
#include <thread>

#include "app/engine/denoising_places.h"
#include "app/engine/engine.h"
#include "app/engine/mailbox.h"
#include "app/engine/picture_models.h"
#include "app/engine/queue_state.h"
#include "app/engine/rates.h"
#include "app/engine/render.h"
#include "app/library/library.h"

namespace linea {

class Engine::Impl {
 public:
  Impl(EngineOptions options, std::shared_ptr<MemoryBudget> memory);
  ~Impl() { stop(false); }

  // Any thread.
  using Command = std::function<void()>;
  void command(Command command);  // to be run by the keeper
  JobId new_id() { return next_id_.fetch_add(1); }
  std::shared_ptr<const QueueSnapshot> snapshot() const { return published_.read(); }
  std::vector<EngineEvent> take_events();
  void request_plan(const PictureSettings& settings, uint64_t tag);
  void preload(const PictureSettings& settings);
  void put_out_models();
  void set_previews(bool on) { previews_.store(on); }
  void stop(bool finish_pictures);
  bool wait_idle(double seconds);

  // The keeper's thread.
  void accept(JobId id, const std::shared_ptr<const PictureJob>& job, QueuePlace place);
  void cancel(JobId id);
  void cancel_all();
  void set_paused(bool paused);
  void retry(JobId id);
  void move(JobId id, int position);
  void remove(JobId id);
  void clear_finished();
  void set_lanes(int lanes, int denoising);

 private:
  using Record = QueueState::Record;
  using PictureKey = std::pair<JobId, int>;
  struct Saving {
    RenderTask task;
    RenderedPicture picture;
  };
  struct Lane {
    Mailbox<std::optional<RenderTask>> inbox;  // nothing = end
    bool busy = false;                         // the keeper's
    int number = 0;
    std::optional<Device> device;  // its own, where several share the pictures
    int instance = 0;              // of models on that device
    bool lost = false;             // its device failed; the keeper's
    std::thread thread;
    Mailbox<std::shared_ptr<Saving>> to_save;  // null = end
    std::thread saver;                         // a device can render as fast as one thread compresses
  };
  struct Running {
    RenderTask task;
    RunningPicture shown;
    double started = 0;
  };

  // Starting (engine_start.cpp).
  void open_library();
  void restore_queue();
  void restore_job(const StoredJob& stored);
  void start_threads();

  // Threads (engine_threads.cpp).
  void keep();
  void run_lane(Lane& lane);
  void render_in(Lane& lane, const RenderTask& task);
  RenderHooks hooks_for(const RenderTask& task);
  void run_saver(Lane& lane);
  void run_helper();
  void answer_plan(const PictureSettings& settings, uint64_t tag);

  // The keeper's thread (engine_keeper.cpp).
  void emit(EngineEvent event);
  void post_event(EngineEvent event);
  void warn(const std::string& text, const RenderTask* task = nullptr);
  template <class Write> void write_library(const Write& write);
  void store(const Record& record);
  void assign();
  bool hand_over(Lane& lane, const RenderTask& task, const Error& error);
  void fail_without_devices();
  bool start_picture(Lane& lane, Record& record, int picture);
  std::filesystem::path choose_path(Record& record, int picture);
  void on_progress(const RenderTask& task, const Progress& progress);
  void on_preview(const RenderTask& task, const std::shared_ptr<const Image>& preview, int step);
  void on_failed(const RenderTask& task, const Error& error);
  void on_saved(const RenderTask& task, const RenderedPicture& picture, PictureResult result);
  void interrupt_pictures(JobId id);
  void finish(Record& record, JobState state);
  void fail(Record& record, const Error& error);
  void forget(const std::vector<JobId>& ids);
  int64_t register_picture(const RenderTask& task, const RenderedPicture& picture, PictureResult& result);
  double job_seconds_left(const Running& running) const;
  int threads_a_lane() const { return std::max(threads_ / denoising_lanes_, 1); }
  std::string rate_key(const PictureSettings& settings) const;
  void publish();
  void begin_stop(bool finish_pictures);

  const EngineOptions options_;
  std::shared_ptr<MemoryBudget> memory_;
  PictureModels models_;
  std::atomic<JobId> next_id_{1};
  std::atomic<bool> previews_;
  std::atomic<uint64_t> wanted_plan_{0};

  Mailbox<Command> commands_;
  std::atomic<uint64_t> posted_{0};
  Mailbox<EngineEvent> events_;
  std::atomic<int64_t> waiting_events_{0};
  Published<QueueSnapshot> published_;

  // The keeper's own.
  QueueState state_;
  std::unique_ptr<Library> library_;
  int queue_lock_ = -1;
  std::map<PictureKey, Running> running_;
  std::set<std::string> warned_;
  Rates rates_;
  double decode_seconds_ = 0;  // of the last picture
  uint64_t version_ = 0;
  int done_pictures_ = 0;
  int threads_ = 1, active_lanes_ = 1;
  int denoising_lanes_ = 1;         // of the active ones, at a time
  std::optional<Error> last_loss_;  // of the last of several devices
  bool stopping_ = false;

  std::mutex idle_mutex_;
  std::condition_variable idle_changed_;
  uint64_t handled_ = 0;  // commands
  bool idle_ = true, ended_ = false;

  std::vector<std::unique_ptr<Lane>> lanes_;
  DenoisingPlaces denoising_places_{1};
  std::counting_semaphore<> unsaved_pictures_;  // bounds the memory that they take
  Mailbox<std::optional<Command>> to_help_;     // nothing = end
  std::thread keeper_, helper_;
  std::mutex stop_mutex_;
};

}  // namespace linea
