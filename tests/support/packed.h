// tests/support/packed.h: rows of different lengths, stored end to end with a list of their ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/golden.h"

namespace linea::test {

inline std::vector<std::string> packed_strings(const Golden& golden, const std::string& name) {
  const Tensor bytes = golden[name + ".bytes"], ends = golden[name + ".ends"];
  std::vector<std::string> rows;
  for (int64_t i = 0, begin = 0; i < ends.elements(); ++i) {
    const int32_t end = ends.data<int32_t>()[i];
    rows.emplace_back(static_cast<const char*>(bytes.raw()) + begin, static_cast<const char*>(bytes.raw()) + end);
    begin = end;
  }
  return rows;
}

inline std::vector<std::vector<int32_t>> packed_ids(const Golden& golden, const std::string& name) {
  const Tensor ids = golden[name + ".ids"], ends = golden[name + ".ends"];
  std::vector<std::vector<int32_t>> rows;
  for (int64_t i = 0, begin = 0; i < ends.elements(); ++i) {
    const int32_t end = ends.data<int32_t>()[i];
    rows.emplace_back(ids.data<int16_t>() + begin, ids.data<int16_t>() + end);
    begin = end;
  }
  return rows;
}

}  // namespace linea::test
