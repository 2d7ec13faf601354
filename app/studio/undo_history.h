// app/studio/undo_history.h: undo for a value that is edited in place: the value is looked at once a frame, and what differs from the last
// look becomes a step. Changes in quick succession (a drag, a run of wheel turns) are one step.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace linea::studio {

template <class T> class UndoHistory {
 public:
  void look(const T& value, double seconds) {
    if (!started_) {
      last_ = value;
      started_ = true;
      return;
    }
    if (value == last_) return;
    if (seconds - last_change_ > kMerge || undo_.empty()) {
      undo_.push_back(last_);
      if (undo_.size() > kSteps) undo_.erase(undo_.begin());
    }
    redo_.clear();
    last_ = value;
    last_change_ = seconds;
  }
  bool undo(T& value) { return step(value, undo_, redo_); }
  bool redo(T& value) { return step(value, redo_, undo_); }
  bool can_undo() const { return !undo_.empty(); }
  bool can_redo() const { return !redo_.empty(); }

 private:
  static constexpr double kMerge = 0.6;
  static constexpr size_t kSteps = 200;

  bool step(T& value, std::vector<T>& from, std::vector<T>& to) {
    if (from.empty()) return false;
    to.push_back(value);
    value = std::move(from.back());
    from.pop_back();
    last_ = value;
    last_change_ = -1e9;
    return true;
  }

  bool started_ = false;
  T last_{};
  double last_change_ = -1e9;
  std::vector<T> undo_, redo_;
};

}  // namespace linea::studio
