// core/pickle.h: the pickles of torch.save, read as data.
//
// A pickle is a program. This interpreter knows the opcodes that save dictionaries of tensors, and a fixed list of names that it turns into
// values; it calls nothing and refuses everything else by name. Errors are kModel and begin with `file`.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace linea {

struct PickleSymbol;

struct PickleValue {
  enum class Kind : uint8_t { kNone, kNumber, kInteger, kText, kTuple, kList, kDict, kSymbol, kStorage, kTensor, kOther };

  Kind kind = Kind::kNone;
  DType dtype = DType::kU8;              // of a storage's or tensor's elements
  const PickleSymbol* symbol = nullptr;  // of kSymbol
  int64_t integer = 0;                   // also a storage's count of elements, and a tensor's first element in its storage
  std::string_view text;                 // also a storage's key; lies in the pickle
  // A tuple's or list's items, a dict's keys and values in turn; a tensor's storage, size and stride (both checked to be tuples).
  std::vector<const PickleValue*> items;
};

class Pickle {
 public:
  // `bytes` must outlive it.
  Pickle(std::span<const std::byte> bytes, const std::string& file);
  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleReader;
  std::deque<PickleValue> values_;  // owns all values: references among them may form any graph, also a cycle
  const PickleValue* root_ = nullptr;
};

}  // namespace linea
