#include "lm/grammar/matcher.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace linea {
namespace {

constexpr uint32_t kUnknown = std::numeric_limits<uint32_t>::max();
constexpr size_t kMaxStacks = 20'000;     // of one state: beyond that a grammar is too ambiguous to follow
constexpr size_t kMaxSteps = 40'000'000;  // ahead of what the tokens so far may have taken: about a second
constexpr size_t kStepsAToken = 2'000'000;
constexpr size_t kMaxFrames = 4'000'000;  // some 50 bytes each with their index
constexpr size_t kMaxStates = 100'000;    // up to a kilobyte each
constexpr size_t kMaxMasks = 512;         // 8 KiB each for 65 536 tokens
constexpr size_t kMaxPartBytes = 64 << 20;

uint64_t pair_key(uint32_t a, uint32_t b) { return (uint64_t{a} << 32) | b; }

[[noreturn]] void fail_ambiguous() { throw Error(ErrorKind::kUsage, "grammar: it is too ambiguous to follow"); }

uint64_t hash_of(const std::vector<uint32_t>& values) {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const uint32_t value : values) {
    hash = (hash ^ value) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

GrammarMatcher::GrammarMatcher(Grammar grammar, const Vocabulary& vocabulary, std::shared_ptr<const TokenTrie> trie)
    : grammar_(std::move(grammar)), vocabulary_(vocabulary), trie_(std::move(trie)) {
  frames_ = {{0, 0, 0}, {0, 0, 0}};
  states_.emplace_back();  // kDead
  std::vector<uint32_t> stacks;
  for (const uint32_t position : grammar_.rule(0).alternatives) close(position, kBottom, stacks);
  start_ = state_of(std::move(stacks));
}

// Counts what finding the next tokens takes, so that a grammar with ever more readings of a text ends with a word and not in silence.
void GrammarMatcher::spend(size_t steps) {
  steps_ += steps;
  if (steps_ > kMaxSteps) fail_ambiguous();
}

uint32_t GrammarMatcher::frame(uint32_t position, uint32_t below) {
  const auto [slot, fresh] = frame_ids_.try_emplace(pair_key(position, below), static_cast<uint32_t>(frames_.size()));
  if (fresh) {
    if (frames_.size() >= kMaxFrames) throw Error(ErrorKind::kMemory, "grammar: the text is nested too deeply to follow");
    frames_.push_back({position, below, grammar_.shortest_from(position) + frames_[below].shortest});
  }
  return slot->second;
}

GrammarMatcher::StateId GrammarMatcher::state_of(std::vector<uint32_t> stacks) {
  if (stacks.empty()) return kDead;
  std::sort(stacks.begin(), stacks.end());
  stacks.erase(std::unique(stacks.begin(), stacks.end()), stacks.end());
  const uint64_t hash = hash_of(stacks);
  const auto [first, last] = state_ids_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (states_[it->second].stacks == stacks) return it->second;
  }
  if (stacks.size() > kMaxStacks) fail_ambiguous();
  if (states_.size() >= kMaxStates) throw Error(ErrorKind::kMemory, "grammar: it has too many states to follow");
  const auto id = static_cast<StateId>(states_.size());
  State& state = states_.emplace_back();
  state.shortest = kUnknown;
  for (const uint32_t stack : stacks) state.shortest = std::min(state.shortest, frames_[stack].shortest);
  state.stacks = std::move(stacks);
  state_ids_.emplace(hash, id);
  return id;
}

// All stacks with a byte set on top that `position` on `below` can become without reading a byte.
void GrammarMatcher::close(uint32_t position, uint32_t below, std::vector<uint32_t>& stacks) {
  // One by one: clearing a set takes as long as the largest that it ever held.
  for (const uint64_t item : visited_items_) visited_.erase(item);
  visited_items_.clear();
  open_.assign(1, pair_key(position, below));
  while (!open_.empty()) {
    const uint64_t item = open_.back();
    open_.pop_back();
    if (!visited_.insert(item).second) continue;
    visited_items_.push_back(item);
    if (visited_.size() > kMaxStacks) fail_ambiguous();
    spend(1);
    const auto at = static_cast<uint32_t>(item >> 32), under = static_cast<uint32_t>(item);
    const Symbol& symbol = grammar_.symbol(at);
    switch (symbol.kind) {
      case Symbol::Kind::kBytes: stacks.push_back(frame(at, under)); break;
      case Symbol::Kind::kEnd:
        if (under <= kCut) {
          stacks.push_back(under);
        } else {
          open_.push_back(pair_key(frames_[under].position, frames_[under].below));
        }
        break;
      case Symbol::Kind::kRule: {
        // A call at the end of an alternative leaves no frame: repetitions do not grow the stack.
        const uint32_t after = grammar_.symbol(at + 1).kind == Symbol::Kind::kEnd ? under : frame(at + 1, under);
        for (const uint32_t start : grammar_.rule(symbol.index).alternatives) open_.push_back(pair_key(start, after));
        break;
      }
    }
  }
}

GrammarMatcher::StateId GrammarMatcher::advance(StateId state, uint8_t byte) {
  if (state == kDead) return kDead;
  if (!states_[state].next) {
    states_[state].next = std::make_unique<std::array<uint32_t, 256>>();
    states_[state].next->fill(kUnknown);
  }
  if (const uint32_t known = (*states_[state].next)[byte]; known != kUnknown) return known;
  std::vector<uint32_t> stacks;
  spend(states_[state].stacks.size());
  for (const uint32_t stack : states_[state].stacks) {
    if (stack <= kCut) continue;
    const Frame top = frames_[stack];
    if (grammar_.set(grammar_.symbol(top.position).index).contains(byte)) close(top.position + 1, top.below, stacks);
  }
  const StateId next = state_of(std::move(stacks));
  (*states_[state].next)[byte] = next;
  return next;
}

GrammarMatcher::StateId GrammarMatcher::advance(StateId state, std::string_view bytes) {
  for (const char byte : bytes) {
    if (state == kDead) break;
    state = advance(state, static_cast<uint8_t>(byte));
  }
  return state;
}

// The stack from its top down to the first rule with a repetition of its own, put onto kCut; `rest` is what lies below.
uint32_t GrammarMatcher::upper_part(uint32_t stack, uint32_t& rest) {
  std::vector<uint32_t> positions;
  for (rest = stack; rest > kCut;) {
    const uint32_t position = frames_[rest].position;
    positions.push_back(position);
    rest = frames_[rest].below;
    const GrammarRule& rule = grammar_.rule_at(position);
    if (rule.repeats && !rule.is_part) break;
  }
  uint32_t part = kCut;
  for (size_t i = positions.size(); i-- > 0;) part = frame(positions[i], part);
  return part;
}

// Visits the nodes of the trie below `node` whose bytes from there on `state` accepts, with the state after them.
template <class Visit> void GrammarMatcher::walk(StateId state, uint32_t node, const Visit& visit) {
  const uint16_t base = trie_->node(node).depth;
  std::vector<StateId> path(static_cast<size_t>(trie_->depth() - base) + 1);
  path[0] = state;
  for (uint32_t i = node + 1; i < trie_->node(node).end;) {
    const TokenTrie::Node& n = trie_->node(i);
    const auto depth = static_cast<size_t>(n.depth - base);
    const StateId next = advance(path[depth - 1], n.byte);
    if (next == kDead) {
      i = n.end;
      continue;
    }
    path[depth] = next;
    visit(i, next);
    ++i;
  }
}

size_t GrammarMatcher::Part::bytes() const {
  constexpr size_t kNode = 48;  // of the map, beside its value
  size_t sum = sizeof(*this) + exits.capacity() * sizeof(uint32_t);
  for (const auto& [needed, tokens] : inside) sum += kNode + tokens.bytes();
  return sum;
}

// Where the part's stacks may have come to kCut, a node is an exit; the tokens that end there fit.
const GrammarMatcher::Part& GrammarMatcher::part_of(uint32_t upper) {
  if (const auto found = parts_.find(upper); found != parts_.end()) return found->second;
  if (part_bytes_ >= kMaxPartBytes) parts_.clear(), part_bytes_ = 0;
  Part part;
  TokenSet* inside = nullptr;
  uint32_t bytes = 0;  // that the part needs after the tokens of `inside`
  walk(state_of({upper}), 0, [&](uint32_t node, StateId next) {
    trie_->for_each_token(node, [&](int32_t id) {
      if (!inside || bytes != states_[next].shortest) {
        bytes = states_[next].shortest;
        inside = &part.inside.try_emplace(bytes, vocabulary_.size()).first->second;
      }
      inside->add(id);
    });
    if (states_[next].stacks.front() == kCut) part.exits.push_back(node);
  });
  part_bytes_ += part.bytes();
  return parts_.emplace(upper, std::move(part)).first->second;
}

TokenMask GrammarMatcher::allowed_before_end(StateId state, uint64_t most) {
  TokenMask mask(vocabulary_.size());
  const std::vector<uint32_t> stacks = states_[state].stacks;
  for (const uint32_t stack : stacks) {
    if (stack == kBottom) {
      for (const int32_t id : vocabulary_.ends()) mask.add(id);
      continue;
    }
    uint32_t rest = kBottom;
    const Part& part = part_of(upper_part(stack, rest));
    for (const auto& [bytes, tokens] : part.inside) {
      if (uint64_t{bytes} + frames_[rest].shortest > most) break;
      tokens.add_to(mask);
    }
    if (rest == kBottom || part.exits.empty()) continue;
    std::vector<uint32_t> below;
    close(frames_[rest].position, frames_[rest].below, below);
    const StateId after = state_of(std::move(below));
    for (const uint32_t exit : part.exits) {
      walk(after, exit, [&](uint32_t node, StateId next) {
        if (states_[next].shortest <= most) trie_->for_each_token(node, [&](int32_t id) { mask.add(id); });
      });
    }
  }
  return mask;
}

const TokenMask& GrammarMatcher::allowed(StateId state) {
  steps_ -= std::min(steps_, kStepsAToken);
  if (const auto found = masks_.find(state); found != masks_.end()) return found->second;
  if (masks_.size() >= kMaxMasks) masks_.clear();
  return masks_.emplace(state, allowed_before_end(state, std::numeric_limits<uint64_t>::max())).first->second;
}

const TokenMask& GrammarConstraint::allowed() {
  const TokenMask& all = matcher_->allowed(state_);
  if (all.empty() && !complete()) {
    throw Error(ErrorKind::kUsage, "grammar: the model has no token for what must come next", "use another model or another grammar");
  }
  // Every byte takes at most one token. As long as one more token cannot open more than the room left, there is no need to look closer.
  const int64_t shortest = matcher_->shortest_end(state_), detour = matcher_->grammar().longest_detour();
  if (shortest + 4 * detour + 16 < left_) return all;
  hurried_ = matcher_->allowed_before_end(state_, static_cast<uint64_t>(std::max<int64_t>({left_ - 2, shortest - 1, 0})));
  return hurried_.empty() ? all : hurried_;
}

void GrammarConstraint::accept(int32_t id) {
  state_ = matcher_->advance(state_, matcher_->vocabulary().bytes(id));
  --left_;
  if (state_ == GrammarMatcher::kDead) throw Error(ErrorKind::kInternal, "grammar: token " + std::to_string(id) + " does not fit");
}

}  // namespace linea
