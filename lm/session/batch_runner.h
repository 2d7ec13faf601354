// lm/session/batch_runner.h: several independent texts read and continued together, so that every weight is read once for all.
//
// Members share matrix products and nothing else: what one holds does not change another's bits. Texts of different lengths are read
// together as far as the shortest goes, and one by one from there. Memory: the members' states, and temporaries as a Runner's.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lm/session/runner.h"

namespace linea {

class BatchRunner {
 public:
  BatchRunner(const LanguageModel& model, const Context& context, int64_t members, Runner::Limits limits = {});
  BatchRunner(const BatchRunner&) = delete;
  BatchRunner& operator=(const BatchRunner&) = delete;

  int64_t members() const { return states_.sequences(); }
  // Feeds texts[i] to member i; one without tokens stays where it is. Throws kCancelled between layers; members are then undefined.
  void read(std::span<const std::vector<int32_t>> texts, const CancelToken& cancel = {});
  void step(std::span<const int32_t> tokens);  // one for each member

  // After a member's last token; empty before the first.
  const std::vector<float>& logits(int64_t member) const { return logits_[static_cast<size_t>(member)]; }
  int64_t tokens(int64_t member) const { return tokens_[static_cast<size_t>(member)]; }
  // A member as a text of its own, and back: how texts join and leave a running batch.
  Snapshot snapshot(int64_t member) const;
  void set(int64_t member, const Snapshot& snapshot);

 private:
  int64_t plan(int64_t sequences, int64_t tokens);  // bytes for so many tokens of each sequence
  void read_together(std::span<const std::vector<int32_t>> texts, int64_t count);
  void read_rest(std::span<const int32_t> text, int64_t member);
  void keep_logits(const Tensor& logits, int64_t first_member);

  const LanguageModel* model_;
  Context context_;
  State states_;
  std::vector<std::vector<float>> logits_;
  std::vector<int64_t> tokens_;
  int64_t piece_ = 1, together_ = 1;  // tokens of one member read at a time: alone, and with all others
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<ReplayCache> replays_;
};

}  // namespace linea
