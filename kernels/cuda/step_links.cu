#include "kernels/cuda/step_links.h"

#include <algorithm>

#include "kernels/cuda/common.cuh"

namespace linea::cuda {
namespace {

constexpr int64_t kPlaceBytes = 128;  // of a row's words, which begin at a multiple

MemoryRange range_of(const Tensor& t) {
  int64_t last = 0;
  for (int i = 0; i < t.rank(); ++i) last += (t.dim(i) - 1) * t.stride(i);
  const auto* begin = static_cast<const char*>(t.raw());
  return {begin, begin + (last + 1) * bytes_of(t.dtype())};
}

bool overlap(const MemoryRange& a, const MemoryRange& b) { return a.begin < b.end && b.begin < a.end; }
bool contains(const MemoryRange& a, const MemoryRange& b) { return a.begin <= b.begin && b.end <= a.end; }

}  // namespace

bool overlap(const std::vector<MemoryRange>& a, const std::vector<MemoryRange>& b) {
  return std::any_of(a.begin(), a.end(), [&](const MemoryRange& x) {
    return std::any_of(b.begin(), b.end(), [&](const MemoryRange& y) { return overlap(x, y); });
  });
}

std::vector<MemoryRange> ranges_of(std::initializer_list<const Tensor*> tensors) {
  std::vector<MemoryRange> ranges;
  for (const Tensor* t : tensors) {
    if (t->defined()) ranges.push_back(range_of(*t));
  }
  return ranges;
}

StepRow row_of(const Tensor& t, std::function<void(StepInstruction&, uint32_t*)> set_words,
               std::function<void(StepInstruction&)> leave_out) {
  return {ranges_of({&t}), std::move(set_words), std::move(leave_out)};
}

std::vector<MemoryRange> ranges_of(const std::vector<StepRow>& rows) {
  std::vector<MemoryRange> ranges;
  for (const StepRow& row : rows) append(ranges, row.ranges);
  return ranges;
}

StepLinks::StepLinks(std::vector<StepTaken>& taken) : taken_(taken) {
  for (size_t i = 0; i < taken_.size(); ++i) find_givers(i);
  for (size_t i = 0; i < taken_.size(); ++i) leave_out(i);
}

void StepLinks::set_words(char* words) {
  for (const Link& link : links_) {
    const Given& from = given_.at({link.giver, link.given});
    const int64_t place = from.place + 2 * (link.begin - from.begin);
    taken_[link.taker].takes[link.row].set_words(taken_[link.taker].instruction, reinterpret_cast<uint32_t*>(words + place));
  }
  for (const auto& [key, from] : given_) {
    taken_[key.first].gives[key.second].set_words(taken_[key.first].instruction, reinterpret_cast<uint32_t*>(words + from.place));
  }
}

std::vector<MemoryRange> StepLinks::words_given(size_t instruction, const char* words) const {
  std::vector<MemoryRange> ranges;
  for (const auto& [key, from] : given_) {
    if (key.first == instruction) ranges.push_back({words + from.place, words + from.place + from.bytes});
  }
  return ranges;
}

// The row of the latest instruction before that writes any of `wanted`, where it has words of all of it.
std::optional<std::pair<size_t, size_t>> StepLinks::giver_of(size_t taker, const std::vector<MemoryRange>& wanted) const {
  for (size_t i = taker; i-- > 0;) {
    const StepTaken& t = taken_[i];
    if (!t.writes_any_of(wanted)) continue;
    for (size_t g = 0; g < t.gives.size(); ++g) {
      if (t.gives[g].set_words && wanted.size() == 1 && contains(t.gives[g].ranges[0], wanted[0])) return std::pair(i, g);
    }
    return std::nullopt;
  }
  return std::nullopt;
}

void StepLinks::find_givers(size_t taker) {
  StepTaken& t = taken_[taker];
  std::vector<Link> links;
  for (size_t row = 0; row < t.takes.size(); ++row) {
    if (!t.takes[row].set_words) continue;
    if (const auto giver = giver_of(taker, t.takes[row].ranges)) {
      links.push_back({taker, row, giver->first, giver->second, t.takes[row].ranges[0].begin});
    }
  }
  if (t.takes_words_together && links.size() < t.takes.size()) links.clear();
  for (const Link& link : links) {
    const MemoryRange& from = taken_[link.giver].gives[link.given].ranges[0];
    const auto [place, is_new] = given_.try_emplace({link.giver, link.given}, Given{from.begin, bytes_, 2 * (from.end - from.begin)});
    if (is_new) bytes_ += ceil_div(place->second.bytes, kPlaceBytes) * kPlaceBytes;
  }
  append(links_, links);
  for (size_t row = 0; row < t.takes.size(); ++row) {
    const bool linked = std::any_of(links.begin(), links.end(), [&](const Link& link) { return link.row == row; });
    if (!linked) append(t.reads, t.takes[row].ranges);
  }
}

// Whether anybody finds in memory what instruction i writes to the range.
bool StepLinks::is_found(size_t i, const MemoryRange& range) const {
  for (size_t j = i + 1; j < taken_.size(); ++j) {
    if (overlap(taken_[j].reads, {range})) return true;
    const std::vector<MemoryRange> replaced = ranges_of(taken_[j].gives);
    if (std::any_of(replaced.begin(), replaced.end(), [&](const MemoryRange& r) { return contains(r, range); })) return false;
  }
  return true;
}

void StepLinks::leave_out(size_t i) {
  for (const StepRow& row : taken_[i].gives) {
    const bool found = std::any_of(row.ranges.begin(), row.ranges.end(), [&](const MemoryRange& r) { return is_found(i, r); });
    if (found || !row.leave_out) {
      append(taken_[i].writes, row.ranges);
    } else {
      row.leave_out(taken_[i].instruction);
    }
  }
}

}  // namespace linea::cuda
