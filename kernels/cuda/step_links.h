// kernels/cuda/step_links.h: what the instructions of a step program (step_program.h) take of each other and give: where it lies in memory,
// or in words of its own (device/step_words.cuh). Private to the recorder.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "kernels/cuda/device/step.cuh"

namespace linea::cuda {

struct MemoryRange {
  const char *begin, *end;
};

bool overlap(const std::vector<MemoryRange>& a, const std::vector<MemoryRange>& b);
std::vector<MemoryRange> ranges_of(std::initializer_list<const Tensor*> tensors);  // of those that are defined

template <class T> void append(std::vector<T>& to, const std::vector<T>& from) { to.insert(to.end(), from.begin(), from.end()); }
template <class Body> Body& body_of(StepInstruction& instruction) { return *reinterpret_cast<Body*>(instruction.body); }

// What an instruction takes of others or gives to them, perhaps as words.
struct StepRow {
  std::vector<MemoryRange> ranges;  // one, where it can have words
  std::function<void(StepInstruction&, uint32_t*)> set_words{};
  std::function<void(StepInstruction&)> leave_out{};  // of what is given: not to be stored as it is
};
StepRow row_of(const Tensor& t, std::function<void(StepInstruction&, uint32_t*)> set_words,
               std::function<void(StepInstruction&)> leave_out = {});
std::vector<MemoryRange> ranges_of(const std::vector<StepRow>& rows);

struct StepTaken {
  StepInstruction instruction = {};
  std::vector<StepRow> takes, gives;
  bool takes_words_together = false;       // of all that it takes or of nothing
  std::vector<MemoryRange> reads, writes;  // besides
  std::vector<MemoryRange> early;          // constants and states, which may be asked for long before
  std::vector<std::function<void()>> plain;

  template <class Body> Body& body() { return body_of<Body>(instruction); }
  bool reads_any_of(const std::vector<MemoryRange>& r) const { return overlap(reads, r) || overlap(ranges_of(takes), r); }
  bool writes_any_of(const std::vector<MemoryRange>& r) const { return overlap(writes, r) || overlap(ranges_of(gives), r); }
};

// Finds for every row that is taken who gives it, and leaves out what is then stored for nobody. What remains lies in memory as it is:
// afterwards it is among reads and writes, which need barriers.
class StepLinks {
 public:
  explicit StepLinks(std::vector<StepTaken>& taken);
  int64_t word_bytes() const { return bytes_; }
  void set_words(char* words);  // of so many bytes, aligned as device memory is, zero before the first launch
  std::vector<MemoryRange> words_given(size_t instruction, const char* words) const;

 private:
  struct Link {
    size_t taker, row, giver, given;
    const char* begin;
  };
  struct Given {
    const char* begin;
    int64_t place, bytes;
  };

  std::optional<std::pair<size_t, size_t>> giver_of(size_t taker, const std::vector<MemoryRange>& wanted) const;
  void find_givers(size_t taker);
  bool is_found(size_t i, const MemoryRange& range) const;
  void leave_out(size_t i);

  std::vector<StepTaken>& taken_;
  std::vector<Link> links_;
  std::map<std::pair<size_t, size_t>, Given> given_;  // by instruction and row
  int64_t bytes_ = 0;
};

}  // namespace linea::cuda
