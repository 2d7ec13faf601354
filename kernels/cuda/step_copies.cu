#include "kernels/cuda/step_copies.h"

#include <algorithm>

#include "kernels/cuda/common.cuh"

namespace linea::cuda {
namespace {

int end_of_product(const StepProducts& all, int product) {
  return product + 1 < all.count ? all.product[product + 1].first_unit : all.units;
}

StepCopy copy_of(const void* from, int bytes, int piece_bytes, bool shared, int counted) {
  return {from, bytes, static_cast<uint16_t>(piece_bytes), static_cast<uint16_t>(shared), static_cast<uint16_t>(counted)};
}

void append_constants(std::vector<StepCopy>& list, const StepProducts& all, int block, int counted) {
  const auto append = [&](const float* row) {
    list.push_back(copy_of(row, all.norm.dim * static_cast<int>(sizeof(float)), kStepPieceBytes, true, counted));
  };
  append(all.norm.w), append(all.norm.bias), append(all.mixed.state);
  for (const int input : inputs_of(all, block)) append(all.mixed.m[input]);
}

// Units [first, end) of a product. Where a row's pieces are not equal, each row is a part of its own.
void append_units(std::vector<StepCopy>& list, const StepProducts& all, const StepProduct& p, int first, int end, int counted) {
  const int first_row = (first - p.first_unit) << p.unit_shift, end_row = std::min((end - p.first_unit) << p.unit_shift, p.base.out);
  const int piece_bytes = all.segment_shift > 0 ? p.segment_bytes : p.row_bytes << p.unit_shift;
  const bool divides = all.segment_shift == 0 || p.segment_bytes << all.segment_shift == p.row_bytes;
  const int step = divides ? end_row - first_row : 1;
  for (int row = first_row; row < end_row; row += step) {
    const char* from = static_cast<const char*>(p.base.w) + int64_t{row} * p.row_bytes;
    list.push_back(copy_of(from, step * p.row_bytes, piece_bytes, false, counted));
  }
}

}  // namespace

std::vector<int> inputs_of(const StepProducts& all, int block) {
  const int first = all.shares.first_of(block), end = all.shares.first_of(block + 1);
  std::vector<int> inputs;
  for (int input = 0; input < all.inputs; ++input) {
    bool needed = false;
    for (int i = 0; i < all.count; ++i) {
      needed |= all.product[i].input == input && all.product[i].first_unit < end && end_of_product(all, i) > first;
    }
    if (needed) inputs.push_back(input);
  }
  return inputs;
}

void CopyLists::append(const StepProducts& all, bool counts) {
  for (int block = 0; block < processors(); ++block) {
    std::vector<StepCopy>& list = lists_[static_cast<size_t>(block)];
    if (all.has_mix) append_constants(list, all, block, counted_);
    for (int i = 0; i < all.count; ++i) {
      const int first = std::max(all.shares.first_of(block), all.product[i].first_unit);
      const int end = std::min(all.shares.first_of(block + 1), end_of_product(all, i));
      if (first < end) append_units(list, all, all.product[i], first, end, counted_);
    }
  }
  if (counts) ++counted_;
}

void CopyLists::append_early(const std::vector<MemoryRange>& ranges) {
  constexpr int64_t kVectorBytes = 16;
  for (const MemoryRange& range : ranges) {
    const int64_t bytes = (range.end - range.begin) / kVectorBytes * kVectorBytes;
    if (bytes == 0 || !is_aligned(range.begin, 0)) continue;
    lists_[next_].push_back(copy_of(range.begin, static_cast<int>(bytes), 0, false, counted_));
    next_ = (next_ + 1) % lists_.size();
  }
}

int64_t CopyLists::bytes() const {
  int64_t sum = 0;
  for (const std::vector<StepCopy>& list : lists_) {
    for (const StepCopy& copy : list) sum += copy.bytes;
  }
  return sum;
}

int CopyLists::pitch() const {
  size_t longest = 0;
  for (const std::vector<StepCopy>& list : lists_) longest = std::max(longest, list.size());
  return static_cast<int>(longest) + 1;
}

std::vector<StepCopy> CopyLists::flat() const {
  const size_t each = static_cast<size_t>(pitch());
  std::vector<StepCopy> all(lists_.size() * each);
  for (size_t i = 0; i < lists_.size(); ++i) {
    std::copy(lists_[i].begin(), lists_[i].end(), all.begin() + static_cast<int64_t>(i * each));
  }
  return all;
}

}  // namespace linea::cuda
