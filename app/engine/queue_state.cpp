#include "app/engine/queue_state.h"

#include <algorithm>

namespace linea {

QueueState::Record* QueueState::find(JobId id) {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

QueueState::Record& QueueState::add(const JobView& view, QueuePlace place) {
  // In front means: before everything that waits, behind what runs.
  auto at = order_.end();
  if (place == QueuePlace::kFront) {
    at = std::find_if(order_.begin(), order_.end(), [&](JobId id) { return find(id)->view->state == JobState::kQueued; });
  }
  const auto position_of = [&](std::list<JobId>::iterator i) { return find(*i)->position; };
  double position = 1;
  if (at != order_.begin() && !order_.empty()) position = position_of(std::prev(at)) + 1;
  if (at != order_.end()) {
    position = at == order_.begin() ? position_of(at) - 1 : (position_of(std::prev(at)) + position_of(at)) / 2;
  }
  Record& record = records_[view.id];
  record.view = std::make_shared<const JobView>(view);
  record.position = position;
  order_.insert(at, view.id);
  return record;
}

QueueState::Record& QueueState::restore(const JobView& view, double position) {
  Record& record = records_[view.id];
  record.view = std::make_shared<const JobView>(view);
  record.position = position;
  for (const PictureResult& picture : view.pictures) record.done.insert(picture.index);
  record.done.insert(view.job->skipped.begin(), view.job->skipped.end());
  (is_finished(view.state) ? finished_ : order_).push_back(view.id);
  return record;
}

std::vector<JobId> QueueState::waiting_jobs() const {
  std::vector<JobId> jobs;
  std::copy_if(order_.begin(), order_.end(), std::back_inserter(jobs),
               [&](JobId id) { return records_.at(id).view->state == JobState::kQueued; });
  return jobs;
}

void QueueState::move(JobId id, int position) {
  Record* record = find(id);
  if (!record || record->view->state != JobState::kQueued) return;
  order_.remove(id);
  const std::vector<JobId> others = waiting_jobs();
  const size_t place = static_cast<size_t>(std::clamp<int64_t>(position, 0, static_cast<int64_t>(others.size())));
  const auto at = place < others.size() ? std::find(order_.begin(), order_.end(), others[place]) : order_.end();
  order_.insert(at, id);
  const auto mine = std::find(order_.begin(), order_.end(), id);
  const bool first = mine == order_.begin(), last = std::next(mine) == order_.end();
  if (first && last) return;
  const double before = first ? find(*std::next(mine))->position - 2 : find(*std::prev(mine))->position;
  const double after = last ? find(*std::prev(mine))->position + 2 : find(*std::next(mine))->position;
  record->position = (before + after) / 2;
}

void QueueState::remove(JobId id) {
  order_.remove(id);
  finished_.remove(id);
  records_.erase(id);
}

std::vector<JobId> QueueState::finish(Record& record) {
  const JobId id = record.view->id;
  order_.remove(id);
  finished_.remove(id);
  finished_.push_front(id);
  std::vector<JobId> dropped;
  while (finished_.size() > kept_finished_ && find(finished_.back())->in_flight.empty()) {
    dropped.push_back(finished_.back());
    records_.erase(finished_.back());
    finished_.pop_back();
  }
  return dropped;
}

void QueueState::wait_again(Record& record) {
  const JobId id = record.view->id;
  finished_.remove(id);
  record.position = order_.empty() ? 1 : find(order_.back())->position + 1;
  order_.push_back(id);
}

std::optional<std::pair<QueueState::Record*, int>> QueueState::next_picture() {
  if (paused) return std::nullopt;
  for (const JobId id : order_) {
    Record& record = records_.at(id);
    while (record.done.contains(record.first_open)) ++record.first_open;
    for (int k = record.first_open; k < record.view->job->count; ++k) {
      if (!record.done.contains(k) && !record.in_flight.contains(k)) return std::pair{&record, k};
    }
  }
  return std::nullopt;
}

bool QueueState::anything_wanted() const { return !order_.empty(); }

std::vector<std::shared_ptr<const JobView>> QueueState::in_order() const {
  std::vector<std::shared_ptr<const JobView>> jobs;
  jobs.reserve(records_.size());
  for (const bool running : {true, false}) {
    for (const JobId id : order_) {
      const Record& record = records_.at(id);
      if ((record.view->state == JobState::kRunning) == running) jobs.push_back(record.view);
    }
  }
  for (const JobId id : finished_) jobs.push_back(records_.at(id).view);
  return jobs;
}

int QueueState::waiting() const { return static_cast<int>(waiting_jobs().size()); }

}  // namespace linea
