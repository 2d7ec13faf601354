// lm/session/generation.h: one answer: tokens are drawn and read until something ends it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lm/sampling/sampler.h"
#include "lm/session/runner.h"
#include "lm/session/vocabulary.h"

namespace linea {

// What a grammar asks of an answer: which tokens may come next. A cursor in the text, advanced token by token.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // The ids that may come next, end tokens where the text may end. Valid until the next call.
  virtual const TokenMask& allowed() = 0;
  virtual bool complete() = 0;  // the text so far may end here
  virtual void accept(int32_t id) = 0;
};

struct GenerationOptions {
  SamplingOptions sampling{};
  int64_t max_tokens = 1024;
  std::vector<std::string> stops{};       // texts that end the answer and do not belong to it
  TokenConstraint* constraint = nullptr;  // not owned
};

enum class GenerationEnd : uint8_t { kEndToken, kStopText, kLength, kCancelled };
const char* name_of(GenerationEnd end);  // "end", "stop", "length", "cancelled"

struct Generation {
  std::string text;             // what was handed out
  std::vector<int32_t> tokens;  // that the state has read: all but the one that ended the answer
  GenerationEnd end = GenerationEnd::kLength;
  int64_t drawn = 0;
  double seconds = 0;
};

// Goes on from `snapshot`, whose logits must be there, and leaves it after the last of Generation::tokens. `text` hears the answer piece by
// piece: whole characters, never a part of a stop text. `cancel` is checked between tokens, so the snapshot stays usable.
Generation generate(Runner& runner, const Vocabulary& vocabulary, Snapshot& snapshot, const GenerationOptions& options,
                    const std::function<void(const std::string& text)>& text, const CancelToken& cancel = {},
                    std::span<const int32_t> prompt = {});

}  // namespace linea
