// lm/session/snapshot.h: all that is needed to go on with a text from where it stands.
#pragma once

#include <cstdint>
#include <vector>

#include "lm/state.h"

namespace linea {

// A state alone cannot go on: the distribution of the next token belongs to it. A value, like the state.
struct Snapshot {
  State state;
  std::vector<float> logits;  // [V] after the last token; empty before the first
  int64_t tokens = 0;         // that the state has read

  int64_t bytes() const { return state.bytes() + static_cast<int64_t>(logits.size() * sizeof(float)); }
};

}  // namespace linea
