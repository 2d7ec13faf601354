#include "lm/session/generation.h"

#include <chrono>

#include "lm/session/text_stream.h"

namespace linea {

const char* name_of(GenerationEnd end) {
  switch (end) {
    case GenerationEnd::kEndToken: return "end";
    case GenerationEnd::kStopText: return "stop";
    case GenerationEnd::kLength: return "length";
    case GenerationEnd::kCancelled: return "cancelled";
  }
  return "";
}

Generation generate(Runner& runner, const Vocabulary& vocabulary, Snapshot& snapshot, const GenerationOptions& options,
                    const std::function<void(const std::string& text)>& text, const CancelToken& cancel, std::span<const int32_t> prompt) {
  const auto start = std::chrono::steady_clock::now();
  Sampler sampler(options.sampling);
  sampler.observe(prompt);
  TextStream stream(options.stops);
  Generation result;
  const auto hand_out = [&](const std::string& piece) {
    if (piece.empty()) return;
    result.text += piece;
    if (text) text(piece);
  };
  TokenConstraint* constraint = options.constraint;
  while (result.drawn < options.max_tokens) {
    if (cancel.cancelled()) {
      result.end = GenerationEnd::kCancelled;
      break;
    }
    const TokenMask& allowed = constraint ? constraint->allowed() : vocabulary.drawable();
    if (constraint && allowed.empty()) {  // complete, and the vocabulary has no token that says so
      result.end = GenerationEnd::kEndToken;
      break;
    }
    const int32_t id = sampler.sample(snapshot.logits, &allowed);
    ++result.drawn;
    if (vocabulary.is_end(id)) {
      result.end = GenerationEnd::kEndToken;
      break;
    }
    hand_out(stream.push(vocabulary.bytes(id)));
    if (stream.stopped()) {
      result.end = GenerationEnd::kStopText;
      break;
    }
    sampler.accept(id);
    if (constraint) constraint->accept(id);
    runner.step(id, snapshot);
    result.tokens.push_back(id);
  }
  if (!stream.stopped()) hand_out(stream.finish());
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace linea
