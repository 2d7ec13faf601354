// app/engine/queue_state.h: the order and the fate of jobs, without threads, clocks or files: what the engine's own thread decides with.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "app/engine/engine.h"

namespace linea {

class QueueState {
 public:
  struct Record {
    std::shared_ptr<const JobView> view;  // replaced when something changes: snapshots keep the old one
    double position = 0;
    int first_open = 0;                          // all pictures before it are done
    std::set<int> done, in_flight;               // pictures
    std::map<int, std::filesystem::path> paths;  // chosen names
    bool wanted() const { return view->state == JobState::kQueued || view->state == JobState::kRunning; }
  };

  explicit QueueState(size_t kept_finished) : kept_finished_(kept_finished) {}

  Record* find(JobId id);
  const std::map<JobId, Record>& records() const { return records_; }
  bool paused = false;

  // A new job, or one from an earlier run (with its finished pictures and state; running ones wait again).
  Record& add(const JobView& view, QueuePlace place);
  Record& restore(const JobView& view, double position);
  // Replaces the view by a changed copy.
  template <class Change> void change(Record& record, const Change& change) {
    auto view = std::make_shared<JobView>(*record.view);
    change(*view);
    record.view = std::move(view);
  }

  void move(JobId id, int position);  // among the waiting
  void remove(JobId id);
  // Puts a job among the finished ones; returns those that fell off the end of the list, which may be the job itself.
  std::vector<JobId> finish(Record& record);
  void wait_again(Record& record);  // from finished to the end of the waiting

  // The next picture to make, in order of the queue; nothing when paused or all are taken.
  std::optional<std::pair<Record*, int>> next_picture();
  bool anything_wanted() const;

  std::vector<std::shared_ptr<const JobView>> in_order() const;
  int waiting() const;

 private:
  std::vector<JobId> waiting_jobs() const;

  size_t kept_finished_;
  std::map<JobId, Record> records_;
  std::list<JobId> order_;     // wanted jobs, next first
  std::list<JobId> finished_;  // newest first
};

}  // namespace linea
