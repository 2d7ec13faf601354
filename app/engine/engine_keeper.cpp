// What the keeper decides: the fate of jobs, the order of events, what goes into the library.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "app/engine/engine_impl.h"
#include "app/engine/name_pattern.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using Kind = EngineEvent::Kind;

constexpr int64_t kMostEvents = 4096;
constexpr size_t kMostResults = 1000;  // in a view, which is copied at every change

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

EngineEvent event_of(Kind kind, JobId job, int picture = 0) {
  EngineEvent event{.kind = kind};
  event.job = job;
  event.picture = picture;
  return event;
}

}  // namespace

// ---- Events ---------------------------------------------------------------------------------------------------------------------

void Engine::Impl::emit(EngineEvent event) {
  if (options_.on_event) options_.on_event(event);
  post_event(std::move(event));
}

// A front end that does not poll loses progress and previews first, then the oldest events.
void Engine::Impl::post_event(EngineEvent event) {
  if (waiting_events_.load() >= kMostEvents) {
    std::vector<EngineEvent> all = take_events();
    std::erase_if(all, [](const EngineEvent& e) { return e.kind == Kind::kProgress || e.kind == Kind::kPreview; });
    const size_t kept = std::min<size_t>(all.size(), kMostEvents / 2);
    for (size_t i = all.size() - kept; i < all.size(); ++i) {
      waiting_events_.fetch_add(1);
      events_.post(std::move(all[i]));
    }
  }
  waiting_events_.fetch_add(1);
  events_.post(std::move(event));
}

std::vector<EngineEvent> Engine::Impl::take_events() {
  std::vector<EngineEvent> events = events_.take_all();
  waiting_events_.fetch_sub(static_cast<int64_t>(events.size()));
  return events;
}

void Engine::Impl::warn(const std::string& text, const RenderTask* task) {
  EngineEvent event = event_of(Kind::kWarning, task ? task->id : 0, task ? task->picture : 0);
  event.text = text;
  emit(std::move(event));
}

void Engine::Impl::publish() {
  auto snapshot = std::make_shared<QueueSnapshot>();
  snapshot->version = ++version_;
  snapshot->paused = state_.paused;
  snapshot->jobs = state_.in_order();
  snapshot->waiting = state_.waiting();
  snapshot->done_pictures = done_pictures_;
  for (const auto& [key, running] : running_) snapshot->running.push_back(running.shown);
  published_.publish(std::move(snapshot));
}

// ---- The library ----------------------------------------------------------------------------------------------------------------

// What cannot be written is said once, and the work goes on.
template <class Write> void Engine::Impl::write_library(const Write& write) {
  if (!library_) return;
  try {
    write(*library_);
  } catch (const Error& error) {
    if (warned_.insert(error.what()).second) warn(error.what());
  }
}

void Engine::Impl::store(const Record& record) {
  if (!options_.durable_queue) return;
  const JobView& view = *record.view;
  write_library([&](Library& library) {
    library.put_job({.id = view.id,
                     .position = record.position,
                     .state = name_of(view.state),
                     .job = to_json(*view.job),
                     .failure = view.failure,
                     .hint = view.hint,
                     .failure_kind = static_cast<int>(view.failure_kind),
                     .submitted = view.submitted,
                     .started = view.started,
                     .finished = view.finished});
  });
}

void Engine::Impl::forget(const std::vector<JobId>& ids) {
  if (!options_.durable_queue) return;
  for (const JobId id : ids) write_library([&](Library& library) { library.remove_job(id); });
}

int64_t Engine::Impl::register_picture(const RenderTask& task, const RenderedPicture& picture, PictureResult& result) {
  if (!task.job->stream.empty()) return 0;
  const PictureRequest& request = picture.settings.request;
  std::error_code error;
  const PictureRecord record{.path = fs::absolute(result.path, error).lexically_normal(),
                             .settings = result.settings,
                             .prompt = request.prompt,
                             .negative = request.negative,
                             .model = model_title(picture.settings),
                             .origin = task.job->origin,
                             .width = result.width,
                             .height = result.height,
                             .bytes = result.bytes,
                             .seed = result.seed,
                             .created = now()};
  int64_t id = 0;
  write_library([&](Library& library) {
    if (!options_.durable_queue || !state_.find(task.id)) {
      id = library.add_picture(record);
      return;
    }
    id = library.finish_job_picture({.job = task.id, .index = task.picture, .done = true, .path = result.path, .result = to_json(result)},
                                    record);
  });
  return id;
}

// ---- Commands -------------------------------------------------------------------------------------------------------------------

void Engine::Impl::accept(JobId id, const std::shared_ptr<const PictureJob>& job, QueuePlace place) {
  JobView view;
  view.id = id;
  view.job = job;
  view.submitted = now();
  Record& record = state_.add(view, place);
  record.done.insert(job->skipped.begin(), job->skipped.end());
  store(record);
  emit(event_of(Kind::kAccepted, id));
  try {
    if (job->count < 1) throw Error(ErrorKind::kUsage, "a job of " + std::to_string(job->count) + " pictures");
    if (job->stream.empty()) {
      const NamePattern checked(job->name_pattern);
    }
    if (static_cast<int>(record.done.size()) >= job->count) finish(record, JobState::kDone);
  } catch (const Error& error) {
    fail(record, error);
  }
}

void Engine::Impl::interrupt_pictures(JobId id) {
  for (const auto& [key, running] : running_) {
    if (key.first == id) running.task.cancel.cancel();
  }
}

void Engine::Impl::cancel(JobId id) {
  Record* record = state_.find(id);
  if (!record || !record->wanted()) return;
  interrupt_pictures(id);
  finish(*record, JobState::kCancelled);
}

void Engine::Impl::cancel_all() {
  std::vector<JobId> ids;
  for (const auto& [id, record] : state_.records()) {
    if (record.wanted()) ids.push_back(id);
  }
  for (const JobId id : ids) cancel(id);
}

void Engine::Impl::set_paused(bool paused) {
  state_.paused = paused;
  emit(event_of(Kind::kQueueChanged, 0));
}

void Engine::Impl::retry(JobId id) {
  Record* record = state_.find(id);
  if (!record || (record->view->state != JobState::kFailed && record->view->state != JobState::kCancelled)) return;
  state_.wait_again(*record);
  state_.change(*record, [](JobView& view) {
    view.state = JobState::kQueued;
    view.failure.clear(), view.hint.clear();
    view.finished = 0;
  });
  store(*record);
  emit(event_of(Kind::kAccepted, id));
  if (static_cast<int>(record->done.size()) >= record->view->job->count) finish(*record, JobState::kDone);
}

void Engine::Impl::move(JobId id, int position) {
  state_.move(id, position);
  if (const Record* record = state_.find(id)) store(*record);
  emit(event_of(Kind::kQueueChanged, id));
}

void Engine::Impl::remove(JobId id) {
  if (!state_.find(id)) return;
  interrupt_pictures(id);
  state_.remove(id);
  forget({id});
  emit(event_of(Kind::kQueueChanged, id));
}

void Engine::Impl::clear_finished() {
  std::vector<JobId> ids;
  for (const auto& [id, record] : state_.records()) {
    if (!record.wanted()) ids.push_back(id);
  }
  for (const JobId id : ids) state_.remove(id);
  forget(ids);
  emit(event_of(Kind::kQueueChanged, 0));
}

// Several devices keep a lane each.
void Engine::Impl::set_lanes(int lanes, int denoising) {
  const int least = std::max(static_cast<int>(options_.devices.size()), 1);
  active_lanes_ = std::clamp(lanes, least, static_cast<int>(lanes_.size()));
  denoising_lanes_ = denoising > 0 ? std::clamp(denoising, least, active_lanes_) : active_lanes_;
  denoising_places_.set(denoising_lanes_);
}

std::string Engine::Impl::rate_key(const PictureSettings& settings) const {
  return model_key(settings) + "\n" + std::to_string(threads_a_lane());
}

// A picture that has no checkpoint worth keeping ends at once; the others after their step.
void Engine::Impl::begin_stop(bool finish_pictures) {
  stopping_ = true;
  if (finish_pictures) return;
  for (const auto& [key, running] : running_) {
    running.task.stop->store(true);
    const bool worth_keeping =
        !options_.checkpoint_folder.empty() && running.task.unsaved_seconds->load() >= options_.checkpoint_seconds / 4;
    if (!worth_keeping) running.task.cancel.cancel();
  }
}

// ---- Pictures -------------------------------------------------------------------------------------------------------------------

void Engine::Impl::assign() {
  if (last_loss_) fail_without_devices();
  if (stopping_) return;
  for (int i = 0; i < active_lanes_; ++i) {
    const std::unique_ptr<Lane>& lane = lanes_[static_cast<size_t>(i)];
    while (!lane->busy && !lane->lost) {
      const auto next = state_.next_picture();
      if (!next) return;
      if (start_picture(*lane, *next->first, next->second)) break;
    }
  }
}

// Whether another device makes the picture that this lane's device could not.
bool Engine::Impl::hand_over(Lane& lane, const RenderTask& task, const Error& error) {
  if (!lane.device || error.kind() != ErrorKind::kDevice) return false;
  const bool known = lane.lost;
  for (const std::unique_ptr<Lane>& other : lanes_) {
    if (other->device == lane.device && other->instance == lane.instance) other->lost = true;
  }
  if (std::all_of(lanes_.begin(), lanes_.end(), [](const auto& other) { return other->lost; })) {
    last_loss_.emplace(error);
    return false;
  }
  if (!known) warn(lane.device->name() + " is lost, its pictures go to the other devices: " + error.what(), &task);
  running_.erase({task.id, task.picture});
  if (Record* record = state_.find(task.id)) record->in_flight.erase(task.picture);
  return true;
}

void Engine::Impl::fail_without_devices() {
  std::vector<JobId> ids;
  for (const auto& [id, record] : state_.records()) {
    if (record.wanted()) ids.push_back(id);
  }
  for (const JobId id : ids) {
    if (Record* record = state_.find(id)) fail(*record, *last_loss_);
  }
}

// A name that no file and no running picture has, unless the job may overwrite; kept over restarts once it is chosen.
fs::path Engine::Impl::choose_path(Record& record, int picture) {
  const PictureJob& job = *record.view->job;
  if (const auto chosen = record.paths.find(picture); chosen != record.paths.end()) return chosen->second;
  const fs::path wanted = job.folder / NamePattern(job.name_pattern).expand(job, picture);
  fs::path path = wanted;
  std::error_code error;
  const auto taken = [&] {
    return fs::exists(path, error) ||
           std::any_of(running_.begin(), running_.end(), [&](const auto& r) { return r.second.task.target == path; });
  };
  for (int n = 2; !job.overwrite && taken(); ++n) {
    path.replace_filename(wanted.stem().string() + "-" + std::to_string(n) + wanted.extension().string());
  }
  record.paths[picture] = path;
  return path;
}

// False when the job failed instead.
bool Engine::Impl::start_picture(Lane& lane, Record& record, int picture) {
  const JobId id = record.view->id;
  RenderTask task{.id = id, .job = record.view->job, .picture = picture, .threads = threads_a_lane()};
  if (lane.device) task.device = lane.device, task.instance = lane.instance;
  try {
    if (task.job->stream.empty()) task.target = choose_path(record, picture);
  } catch (const Error& error) {
    fail(record, error);
    return false;
  }
  if (record.view->state == JobState::kQueued) {
    state_.change(record, [](JobView& view) {
      view.state = JobState::kRunning;
      if (view.started == 0) view.started = now();
    });
    store(record);
    emit(event_of(Kind::kStarted, id, picture));
  }
  if (options_.durable_queue) {
    write_library([&](Library& library) { library.put_job_picture({.job = id, .index = picture, .path = task.target}); });
  }
  record.in_flight.insert(picture);
  Running& running = running_[{id, picture}];
  running.task = task;
  running.shown = {.job = id, .picture = picture};
  running.started = now();
  lane.busy = true;
  lane.inbox.post(task);
  return true;
}

double Engine::Impl::job_seconds_left(const Running& running) const {
  const Progress& p = running.shown.progress;
  const auto found = state_.records().find(running.task.id);
  if (p.stage != "denoise" || p.seconds_left < 0 || found == state_.records().end()) return running.shown.seconds_left;
  const Record& record = found->second;
  const double picture_left = p.seconds_left + decode_seconds_;
  const double picture = record.view->pictures.empty() ? now() - running.started + picture_left : record.view->pictures.back().seconds;
  const double others = record.view->job->count - static_cast<double>(record.done.size() + record.in_flight.size());
  return picture_left + picture * std::ceil(others / static_cast<double>(denoising_lanes_));
}

void Engine::Impl::on_progress(const RenderTask& task, const Progress& progress) {
  const auto running = running_.find({task.id, task.picture});
  if (running == running_.end()) return;
  RunningPicture& shown = running->second.shown;
  shown.progress = progress;
  if (progress.stage == "decode" && progress.step == 1) decode_seconds_ = progress.seconds;
  shown.seconds_left = job_seconds_left(running->second);
  EngineEvent event = event_of(Kind::kProgress, task.id, task.picture);
  event.progress = progress;
  event.seconds_left = shown.seconds_left;
  emit(std::move(event));
}

void Engine::Impl::on_preview(const RenderTask& task, const std::shared_ptr<const Image>& preview, int step) {
  const auto running = running_.find({task.id, task.picture});
  if (running == running_.end()) return;
  running->second.shown.preview = preview;
  running->second.shown.preview_step = step;
  EngineEvent event = event_of(Kind::kPreview, task.id, task.picture);
  event.preview = preview;
  event.progress.step = step;
  emit(std::move(event));
}

void Engine::Impl::on_failed(const RenderTask& task, const Error& error) {
  running_.erase({task.id, task.picture});
  Record* record = state_.find(task.id);
  if (!record) return;
  record->in_flight.erase(task.picture);
  if (!record->wanted()) return;
  if (error.kind() != ErrorKind::kCancelled) return fail(*record, error);
  // Stopped with the engine, or cancelled and wanted again: it waits for its turn.
  if (record->in_flight.empty()) {
    state_.change(*record, [](JobView& view) { view.state = JobState::kQueued; });
    store(*record);
  }
}

void Engine::Impl::on_saved(const RenderTask& task, const RenderedPicture& picture, PictureResult result) {
  running_.erase({task.id, task.picture});
  ++done_pictures_;
  rates_.add(rate_key(task.job->settings), picture.flops, picture.seconds);
  result.library_id = register_picture(task, picture, result);
  EngineEvent event = event_of(Kind::kPictureDone, task.id, task.picture);
  event.result = result;
  emit(std::move(event));
  Record* record = state_.find(task.id);
  if (!record) return;
  record->in_flight.erase(task.picture);
  record->done.insert(task.picture);
  state_.change(*record, [&](JobView& view) {
    ++view.done_pictures;
    if (view.pictures.size() >= kMostResults) view.pictures.erase(view.pictures.begin());
    view.pictures.push_back(std::move(result));
  });
  if (record->wanted() && static_cast<int>(record->done.size()) >= task.job->count) finish(*record, JobState::kDone);
}

void Engine::Impl::fail(Record& record, const Error& error) {
  interrupt_pictures(record.view->id);
  state_.change(record, [&](JobView& view) {
    view.failure = error.what();
    view.hint = error.hint();
    view.failure_kind = error.kind();
  });
  finish(record, JobState::kFailed);
}

void Engine::Impl::finish(Record& record, JobState state) {
  state_.change(record, [&](JobView& view) {
    view.state = state;
    view.finished = now();
  });
  const std::shared_ptr<const JobView> view = record.view;
  store(record);
  forget(state_.finish(record));
  const Kind kind = state == JobState::kDone ? Kind::kJobDone : state == JobState::kFailed ? Kind::kJobFailed : Kind::kJobCancelled;
  EngineEvent event = event_of(kind, view->id);
  event.text = view->failure;
  event.hint = view->hint;
  event.error = view->failure_kind;
  emit(std::move(event));
}

}  // namespace linea
