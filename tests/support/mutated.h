// tests/support/mutated.h: damaged copies of good files, for readers that must survive whatever they are given.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

namespace linea::test {

// Bytes that mean something to one of the formats.
inline const std::string kMeaningful = std::string(1, '\0') + "\xff\x7f\x80\"{}[],:0123456789-e";

// A copy with a few bytes changed, removed, repeated or exchanged for values that break length arithmetic.
inline std::string mutated(std::string data, std::mt19937& random) {
  const auto place = [&] { return data.empty() ? 0 : random() % data.size(); };
  for (unsigned n = 1 + random() % 4; n > 0 && !data.empty(); --n) {
    switch (random() % 8) {
      case 0: data[place()] = static_cast<char>(random()); break;
      case 1: data[place()] ^= static_cast<char>(1 << random() % 8); break;
      case 2: data[place()] = kMeaningful[random() % kMeaningful.size()]; break;
      case 3: data.resize(place()); break;
      case 4: data.erase(place(), 1 + random() % 16); break;
      case 5: data.insert(place(), data.substr(place(), random() % 32)); break;
      case 6: data.insert(place(), std::string(1 + random() % 8, static_cast<char>(random()))); break;
      case 7: {
        const size_t at = place();
        const uint64_t value = ~uint64_t{0} >> random() % 64;
        std::memcpy(data.data() + at, &value, std::min<size_t>(1 + random() % 8, data.size() - at));
        break;
      }
    }
  }
  return data;
}

}  // namespace linea::test
