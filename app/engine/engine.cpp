#include "app/engine/engine.h"

#include "app/engine/engine_impl.h"
#include "kernels/devices.h"

namespace linea {

const JobView* QueueSnapshot::find(JobId id) const {
  for (const std::shared_ptr<const JobView>& job : jobs) {
    if (job->id == id) return job.get();
  }
  return nullptr;
}

Engine::Engine(EngineOptions options) {
  const Device first = options.devices.empty() ? best_device() : options.devices.front();
  memory_ = std::make_shared<MemoryBudget>(options.memory_budget > 0 ? options.memory_budget : free_memory(first));
  impl_ = std::make_unique<Impl>(std::move(options), memory_);
}

Engine::~Engine() { stop(); }

JobId Engine::submit(PictureJob job, QueuePlace place) {
  const JobId id = impl_->new_id();
  impl_->command(
      [impl = impl_.get(), id, place, shared = std::make_shared<const PictureJob>(std::move(job))] { impl->accept(id, shared, place); });
  return id;
}

void Engine::cancel(JobId id) {
  impl_->command([impl = impl_.get(), id] { impl->cancel(id); });
}

void Engine::cancel_all() {
  impl_->command([impl = impl_.get()] { impl->cancel_all(); });
}

void Engine::pause() {
  impl_->command([impl = impl_.get()] { impl->set_paused(true); });
}

void Engine::resume() {
  impl_->command([impl = impl_.get()] { impl->set_paused(false); });
}

void Engine::retry(JobId id) {
  impl_->command([impl = impl_.get(), id] { impl->retry(id); });
}

JobId Engine::duplicate(JobId id, QueuePlace place) {
  const std::shared_ptr<const QueueSnapshot> now = queue();
  const JobView* view = now->find(id);
  return view ? submit(*view->job, place) : 0;
}

void Engine::move(JobId id, int position) {
  impl_->command([impl = impl_.get(), id, position] { impl->move(id, position); });
}

void Engine::remove(JobId id) {
  impl_->command([impl = impl_.get(), id] { impl->remove(id); });
}

void Engine::clear_finished() {
  impl_->command([impl = impl_.get()] { impl->clear_finished(); });
}

std::shared_ptr<const QueueSnapshot> Engine::queue() const { return impl_->snapshot(); }
std::vector<EngineEvent> Engine::take_events() { return impl_->take_events(); }
void Engine::request_plan(const PictureSettings& settings, uint64_t tag) { impl_->request_plan(settings, tag); }
void Engine::preload(const PictureSettings& settings) { impl_->preload(settings); }
void Engine::put_out_models() { impl_->put_out_models(); }
void Engine::set_previews(bool on) { impl_->set_previews(on); }
void Engine::set_lanes(int lanes, int denoising) {
  impl_->command([impl = impl_.get(), lanes, denoising] { impl->set_lanes(lanes, denoising); });
}
void Engine::stop() { impl_->stop(/*finish_pictures=*/false); }
void Engine::finish_pictures_and_stop() { impl_->stop(/*finish_pictures=*/true); }
bool Engine::wait_idle(double seconds) { return impl_->wait_idle(seconds); }

}  // namespace linea
