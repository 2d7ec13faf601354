// How the engine starts: the library, the queue of the last run, the threads.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "app/engine/abandoned.h"
#include "app/engine/engine_impl.h"
#include "core/cache_folder.h"
#include "core/threads.h"
#include "kernels/devices.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr auto kKeptCheckpoints = std::chrono::hours(24 * 14);

// Checkpoints of pictures that nobody came back for.
void remove_old_checkpoints(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const fs::path& file = entry.path();
    const bool ours = file.extension() == ".safetensors" || file.extension() == ".part";
    if (ours && fs::last_write_time(file, error) + kKeptCheckpoints < fs::file_time_type::clock::now()) old.push_back(file);
  }
  for (const fs::path& file : old) fs::remove(file, error);
}

}  // namespace

Engine::Impl::Impl(EngineOptions options, std::shared_ptr<MemoryBudget> memory)
    : options_(std::move(options)),
      memory_(std::move(memory)),
      models_(memory_, options_.devices.empty() ? best_device() : options_.devices.front(), options_.memory_budget),
      previews_(options_.previews),
      state_(options_.kept_finished),
      rates_(cache_folder() / "rates.json"),
      unsaved_pictures_(std::max({options_.lanes, static_cast<int>(options_.devices.size()), 1}) + 1) {
  open_library();
  if (!options_.checkpoint_folder.empty()) remove_old_checkpoints(options_.checkpoint_folder);
  state_.paused = options_.start_paused;
  if (library_ && options_.durable_queue) restore_queue();
  memory_->on_change([this](const std::string& what) {
    command([this, what] {
      EngineEvent event{.kind = EngineEvent::Kind::kModel};
      event.text = what;
      emit(event);
    });
  });
  publish();
  start_threads();
}

// A library that only registers pictures may fail without harm; one that keeps the queue may not.
void Engine::Impl::open_library() {
  if (options_.library.empty()) return;
  if (!options_.durable_queue) {
    try {
      library_ = std::make_unique<Library>(options_.library);
    } catch (const Error& error) {
      command([this, text = std::string("pictures are not registered: ") + error.what()] { warn(text); });
    }
    return;
  }
  library_ = std::make_unique<Library>(options_.library);
  const fs::path lock = options_.library.string() + ".queue-lock";
  queue_lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (queue_lock_ >= 0 && ::flock(queue_lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(queue_lock_);
    throw Error(ErrorKind::kUsage, "another Linea is working on the queue of " + options_.library.string(), "close it first");
  }
  next_id_ = library_->next_job_id();
}

void Engine::Impl::restore_queue() {
  for (const StoredJob& stored : library_->jobs()) restore_job(stored);
  std::vector<fs::path> interrupted;
  for (const auto& [id, record] : state_.records()) {
    for (const auto& [picture, path] : record.paths) {
      if (!record.done.contains(picture)) interrupted.push_back(path);
    }
  }
  remove_abandoned_parts(interrupted);
}

void Engine::Impl::restore_job(const StoredJob& stored) {
  JobView view;
  view.id = stored.id;
  view.failure = stored.failure;
  view.hint = stored.hint;
  view.failure_kind = static_cast<ErrorKind>(std::clamp(stored.failure_kind, 0, static_cast<int>(ErrorKind::kInternal)));
  view.submitted = stored.submitted;
  view.started = stored.started;
  view.finished = stored.finished;
  for (const JobState state : {JobState::kDone, JobState::kFailed, JobState::kCancelled}) {
    if (stored.state == name_of(state)) view.state = state;
  }
  const std::string source = "job " + std::to_string(stored.id) + " of the library";
  const std::vector<StoredJobPicture> pictures = library_->job_pictures(stored.id);
  try {
    view.job = std::make_shared<const PictureJob>(picture_job_from_json(stored.job, source));
    for (const StoredJobPicture& picture : pictures) {
      if (!picture.done) continue;
      view.pictures.push_back(picture_result_from_json(picture.result, source));
      view.pictures.back().library_id = picture.library_id;  // written before the row existed
    }
  } catch (const Error& error) {
    view.job = std::make_shared<const PictureJob>();
    view.state = JobState::kFailed;
    view.failure = error.what();
  }
  view.done_pictures = static_cast<int>(view.pictures.size());
  // Killed between its last picture and its own end.
  const size_t there = view.pictures.size() + view.job->skipped.size();
  const bool complete = !is_finished(view.state) && there >= static_cast<size_t>(view.job->count);
  if (complete) view.state = JobState::kDone;
  Record& record = state_.restore(view, stored.position);
  if (complete) store(record);
  for (const StoredJobPicture& picture : pictures) record.paths[picture.index] = picture.path;
}

void Engine::Impl::start_threads() {
  const auto devices = static_cast<int>(options_.devices.size());
  const int lanes = std::max({options_.lanes, devices, 1}), before = thread_count();
  set_thread_count(options_.threads);
  threads_ = thread_count();
  set_thread_count(before);
  helper_ = std::thread([this] { run_helper(); });
  for (int i = 0; i < lanes; ++i) {
    lanes_.push_back(std::make_unique<Lane>());
    Lane& lane = *lanes_.back();
    lane.number = i;
    if (devices > 1) {
      const auto place = static_cast<size_t>(i % devices);
      lane.device = options_.devices[place];
      lane.instance = static_cast<int>(std::count(options_.devices.begin(), options_.devices.begin() + i % devices, *lane.device));
    }
    lane.thread = std::thread([this, &lane] { run_lane(lane); });
    lane.saver = std::thread([this, &lane] { run_saver(lane); });
  }
  set_lanes(lanes, 0);
  keeper_ = std::thread([this] { keep(); });  // last: it uses the others
  command([] {});                             // the first look at the queue
}

}  // namespace linea
