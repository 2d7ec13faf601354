// What the engine's threads do, and how they end.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

#include "app/engine/engine_impl.h"
#include "core/threads.h"

namespace linea {
namespace {

// Whatever went wrong, as one of ours.
Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {ErrorKind::kMemory, "out of memory", "try a smaller size"};
  } catch (const std::exception& error) {
    return {ErrorKind::kInternal, std::string("internal error: ") + error.what()};
  }
}

}  // namespace

void Engine::Impl::command(Command command) {
  posted_.fetch_add(1);
  commands_.post(std::move(command));
}

void Engine::Impl::keep() {
  for (bool ended = false; !ended;) {
    const std::vector<Command> batch = commands_.wait();
    for (const Command& command : batch) command();
    assign();
    publish();
    ended = stopping_ && running_.empty();
    const std::lock_guard lock(idle_mutex_);
    handled_ += batch.size();
    idle_ = running_.empty() && (state_.paused || stopping_ || !state_.anything_wanted());
    ended_ = ended;
    idle_changed_.notify_all();
  }
}

bool Engine::Impl::wait_idle(double seconds) {
  std::unique_lock lock(idle_mutex_);
  const auto idle = [&] { return ended_ || (idle_ && handled_ == posted_.load()); };
  constexpr double kForever = 1e8;
  if (seconds < kForever) return idle_changed_.wait_for(lock, std::chrono::duration<double>(seconds), idle);
  idle_changed_.wait(lock, idle);
  return true;
}

void Engine::Impl::stop(bool finish_pictures) {
  const std::lock_guard lock(stop_mutex_);
  if (!keeper_.joinable()) return;
  command([this, finish_pictures] { begin_stop(finish_pictures); });
  {
    std::unique_lock waiting(idle_mutex_);
    idle_changed_.wait(waiting, [&] { return ended_; });
  }
  keeper_.join();
  to_help_.post(std::nullopt);
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    lane->inbox.post(std::nullopt);
    lane->to_save.post(nullptr);
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    lane->thread.join();
    lane->saver.join();
  }
  helper_.join();
  memory_->on_change({});
  models_.save_previews();
  rates_.save();
  library_.reset();
  if (queue_lock_ >= 0) ::close(queue_lock_);
}

void Engine::Impl::run_lane(Lane& lane) {
  for (;;) {
    for (const std::optional<RenderTask>& task : lane.inbox.wait()) {
      if (!task) return;
      set_thread_count(task->threads);
      render_in(lane, *task);
    }
  }
}

void Engine::Impl::render_in(Lane& lane, const RenderTask& task) {
  try {
    auto saving = std::make_shared<Saving>();
    saving->task = task;
    if (options_.before_picture) options_.before_picture(task.device.value_or(kCpuDevice), lane.number);
    saving->picture = render(models_, task, hooks_for(task));
    unsaved_pictures_.acquire();
    lane.to_save.post(std::move(saving));
    command([&lane] { lane.busy = false; });
  } catch (...) {
    command([this, &lane, task, error = current_error()] {
      lane.busy = false;
      if (!hand_over(lane, task, error)) on_failed(task, error);
    });
  }
}

RenderHooks Engine::Impl::hooks_for(const RenderTask& task) {
  RenderHooks hooks;
  hooks.checkpoint_folder = options_.checkpoint_folder;
  hooks.checkpoint_seconds = options_.checkpoint_seconds;
  hooks.previews = [this] { return previews_.load(std::memory_order_relaxed); };
  hooks.progress = [this, task](const Progress& progress) { command([this, task, progress] { on_progress(task, progress); }); };
  hooks.preview = [this, task](const Image& preview, int step) {
    command([this, task, step, shared = std::make_shared<const Image>(preview)] { on_preview(task, shared, step); });
  };
  hooks.warning = [this, task](const std::string& text) { command([this, task, text] { warn(text, &task); }); };
  hooks.trace = options_.trace;
  hooks.begin_steps = [this, cancel = task.cancel] { return denoising_places_.take(cancel); };
  return hooks;
}

void Engine::Impl::run_saver(Lane& lane) {
  set_thread_count(1);
  for (;;) {
    for (const std::shared_ptr<Saving>& saving : lane.to_save.wait()) {
      if (!saving) return;
      try {
        PictureResult result = save_picture(saving->task, saving->picture);
        saving->picture.image = {};
        command([this, saving, result = std::move(result)] { on_saved(saving->task, saving->picture, result); });
      } catch (...) {
        command([this, saving, error = current_error()] { on_failed(saving->task, error); });
      }
      unsaved_pictures_.release();
    }
  }
}

void Engine::Impl::run_helper() {
  set_thread_count(1);
  for (;;) {
    for (const std::optional<Command>& work : to_help_.wait()) {
      if (!work) return;
      try {
        (*work)();
      } catch (...) {
        command([this, error = current_error()] { warn(error.what()); });
      }
    }
  }
}

void Engine::Impl::put_out_models() {
  to_help_.post([this] { models_.put_out_idle(); });
}

void Engine::Impl::preload(const PictureSettings& settings) {
  to_help_.post([this, settings] { models_.take(settings).preload(settings.request); });
}

void Engine::Impl::request_plan(const PictureSettings& settings, uint64_t tag) {
  const uint64_t number = wanted_plan_.fetch_add(1) + 1;
  to_help_.post([this, settings, tag, number] {
    if (wanted_plan_.load() == number) answer_plan(settings, tag);
  });
}

void Engine::Impl::answer_plan(const PictureSettings& settings, uint64_t tag) {
  auto answer = std::make_shared<PlanAnswer>();
  answer->tag = tag;
  try {
    PictureModels::Use use = models_.take(settings);
    answer->available = std::max<int64_t>(use.available(), 0);
    try {
      answer->plan = use.plan(settings.request);
      answer->fits = true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kMemory) throw;
      answer->plan = use.least_plan(settings.request);
    }
    const int64_t unit = use.pipeline().vae_config().compression() * use.pipeline().transformer_config().patch_size;
    PictureSettings smaller = settings;
    for (double scale = 0.875; !answer->fits && !answer->nearest_that_fits && scale > 0.05; scale *= 0.875) {
      const auto scaled = [&](int64_t side) {
        return std::max<int64_t>(std::llround(static_cast<double>(side) * scale / static_cast<double>(unit)) * unit, unit);
      };
      smaller.request.size = {scaled(answer->plan.asked.height), scaled(answer->plan.asked.width)};
      if (use.pipeline().least_memory(smaller.request) <= answer->available) answer->nearest_that_fits = smaller.request.size;
    }
  } catch (...) {
    const Error error = current_error();
    answer->problem = error.what();
    answer->problem_kind = error.kind();
    answer->hint = error.hint();
  }
  command([this, answer, settings] {  // the rates are the keeper's
    if (answer->problem.empty()) answer->plan.seconds = rates_.seconds_for(rate_key(settings), answer->plan.flops);
    EngineEvent event{.kind = EngineEvent::Kind::kPlan};
    event.plan = answer;
    emit(event);
  });
}

}  // namespace linea
