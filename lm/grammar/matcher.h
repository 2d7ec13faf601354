// lm/grammar/matcher.h: which tokens may come next under a grammar.
//
// A pushdown automaton on bytes. A stack is a linked list of places in the grammar (frames), each stored once, so that equal stacks have
// equal numbers; a state is the set of stacks that are possible, again stored once, with its transitions remembered: a deterministic
// automaton that is built where text goes. Masks of tokens are remembered per state.
//
// Walking the whole vocabulary is the costly part, above all within strings. It is done once for the upper part of a stack alone, down to
// the first rule with a repetition of its own (a JSON string inside any objects): tokens that stay within that part are allowed whatever
// lies below, and only at the few places in the vocabulary where the part ends is the rest of the stack asked.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "lm/grammar/grammar.h"
#include "lm/grammar/token_set.h"
#include "lm/grammar/token_trie.h"
#include "lm/session/generation.h"

namespace linea {

// A grammar with a vocabulary and everything that was found out about them. Shared by the answers of one thread.
class GrammarMatcher {
 public:
  GrammarMatcher(Grammar grammar, const Vocabulary& vocabulary, std::shared_ptr<const TokenTrie> trie);

  using StateId = uint32_t;
  StateId start() const { return start_; }
  StateId advance(StateId state, uint8_t byte);  // kDead when the byte does not fit
  StateId advance(StateId state, std::string_view bytes);
  bool complete(StateId state) const { return states_[state].stacks.front() == kBottom; }
  uint32_t shortest_end(StateId state) const { return states_[state].shortest; }  // bytes to the end of the text, at least
  const TokenMask& allowed(StateId state);                                        // end tokens where complete
  // Of those, tokens after which the text can end within `most` bytes.
  TokenMask allowed_before_end(StateId state, uint64_t most);
  const Vocabulary& vocabulary() const { return vocabulary_; }
  const Grammar& grammar() const { return grammar_; }

  static constexpr StateId kDead = 0;

 private:
  // Frame kBottom is the empty stack; kCut stands for the unknown rest under the upper part of a stack.
  static constexpr uint32_t kBottom = 0, kCut = 1;
  struct Frame {
    uint32_t position;  // where to go on when the frame above is done
    uint32_t below;
    uint32_t shortest;  // bytes to the end of the text
  };
  struct State {
    std::vector<uint32_t> stacks;  // sorted
    uint32_t shortest = 0;
    std::unique_ptr<std::array<uint32_t, 256>> next{};  // kUnknown where not yet asked
  };
  // What the upper part of a stack says: tokens that fit wherever it stands, by the bytes that it needs after them at least, and the nodes
  // of the trie at which it may be over.
  struct Part {
    std::map<uint32_t, TokenSet> inside;
    std::vector<uint32_t> exits;
    size_t bytes() const;  // of memory
  };

  void spend(size_t steps);
  uint32_t frame(uint32_t position, uint32_t below);
  StateId state_of(std::vector<uint32_t> stacks);
  void close(uint32_t position, uint32_t below, std::vector<uint32_t>& stacks);
  uint32_t upper_part(uint32_t stack, uint32_t& rest);
  const Part& part_of(uint32_t upper);
  template <class Visit> void walk(StateId state, uint32_t node, const Visit& visit);

  Grammar grammar_;
  const Vocabulary& vocabulary_;
  std::shared_ptr<const TokenTrie> trie_;
  std::vector<Frame> frames_;
  std::unordered_map<uint64_t, uint32_t> frame_ids_;
  std::vector<State> states_;
  std::unordered_multimap<uint64_t, StateId> state_ids_;  // by hash of the stacks
  std::unordered_map<uint32_t, Part> parts_;              // by upper part
  size_t part_bytes_ = 0;
  std::unordered_map<StateId, TokenMask> masks_;
  std::unordered_set<uint64_t> visited_;  // of close()
  std::vector<uint64_t> visited_items_, open_;
  size_t steps_ = 0;  // taken, less what tokens are allowed
  StateId start_ = kDead;
};

// One answer under a grammar.
class GrammarConstraint final : public TokenConstraint {
 public:
  // Within the last of `max_tokens` tokens only what leads to an end in time is allowed, as far as there is room for one.
  GrammarConstraint(std::shared_ptr<GrammarMatcher> matcher, int64_t max_tokens) : matcher_(std::move(matcher)), left_(max_tokens) {
    state_ = matcher_->start();
  }
  // Throws kUsage when the model has no token for any byte that the grammar asks for.
  const TokenMask& allowed() override;
  bool complete() override { return matcher_->complete(state_); }
  void accept(int32_t id) override;

 private:
  std::shared_ptr<GrammarMatcher> matcher_;
  GrammarMatcher::StateId state_;
  int64_t left_;
  TokenMask hurried_;
};

}  // namespace linea
