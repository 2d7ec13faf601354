#include "lm/grammar/grammar.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/text.h"

namespace linea {
namespace {

constexpr uint32_t kUnknown = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kLongest = 1u << 30;  // where counting stops

uint32_t sum(uint32_t a, uint32_t b) { return a == kUnknown || b == kUnknown ? kUnknown : std::min(a + b, kLongest); }

// Rules that a rule may begin with, found without reading a byte.
struct Beginning {
  uint32_t rule;
  bool is_last;  // nothing of the caller follows: such calls need no memory and may repeat
};

std::vector<bool> reachable(const std::vector<std::vector<Beginning>>& beginnings, uint32_t from) {
  std::vector<bool> seen(beginnings.size());
  std::vector<uint32_t> open = {from};
  while (!open.empty()) {
    const uint32_t rule = open.back();
    open.pop_back();
    for (const Beginning& next : beginnings[rule]) {
      if (seen[next.rule]) continue;
      seen[next.rule] = true;
      open.push_back(next.rule);
    }
  }
  return seen;
}

}  // namespace

Grammar::Grammar(Draft draft, const std::string& source) : sets_(std::move(draft.sets)) {
  flatten(draft);
  measure(source);
  refuse_left_recursion(source);
}

void Grammar::flatten(const Draft& draft) {
  for (uint32_t r = 0; r < draft.rules.size(); ++r) {
    const Draft::Rule& from = draft.rules[r];
    GrammarRule& rule = rules_.emplace_back();
    rule.name = from.name;
    rule.is_part = from.is_part;
    rule.repeats = from.repeats;
    for (const std::vector<Symbol>& alternative : from.alternatives) {
      rule.alternatives.push_back(static_cast<uint32_t>(symbols_.size()));
      symbols_.insert(symbols_.end(), alternative.begin(), alternative.end());
      symbols_.emplace_back();
      owner_.resize(symbols_.size(), r);
    }
  }
}

std::string Grammar::describe(uint32_t rule) const { return "rule '" + printable(rules_[rule].name, 80) + "'"; }

// Shortest texts, by relaxation until nothing gets shorter.
void Grammar::measure(const std::string& source) {
  for (GrammarRule& rule : rules_) rule.shortest = kUnknown;
  shortest_.assign(symbols_.size(), kUnknown);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = symbols_.size(); i-- > 0;) {
      const Symbol& symbol = symbols_[i];
      const uint32_t length = symbol.kind == Symbol::Kind::kEnd     ? 0
                              : symbol.kind == Symbol::Kind::kBytes ? sum(1, shortest_[i + 1])
                                                                    : sum(rules_[symbol.index].shortest, shortest_[i + 1]);
      changed |= length < shortest_[i];
      shortest_[i] = std::min(shortest_[i], length);
    }
    for (GrammarRule& rule : rules_) {
      for (const uint32_t start : rule.alternatives) {
        changed |= shortest_[start] < rule.shortest;
        rule.shortest = std::min(rule.shortest, shortest_[start]);
      }
    }
  }
  for (uint32_t r = 0; r < rules_.size(); ++r) {
    if (rules_[r].shortest == kUnknown) throw Error(ErrorKind::kUsage, source + ": " + describe(r) + " never ends");
    for (const uint32_t start : rules_[r].alternatives) {
      if (shortest_[start] == kUnknown) throw Error(ErrorKind::kUsage, source + ": an alternative of " + describe(r) + " never ends");
      longest_detour_ = std::max(longest_detour_, shortest_[start]);
    }
  }
}

void Grammar::refuse_left_recursion(const std::string& source) const {
  std::vector<std::vector<Beginning>> beginnings(rules_.size());
  for (uint32_t r = 0; r < rules_.size(); ++r) {
    for (uint32_t position : rules_[r].alternatives) {
      for (; symbols_[position].kind == Symbol::Kind::kRule; ++position) {
        const uint32_t called = symbols_[position].index;
        beginnings[r].push_back({called, symbols_[position + 1].kind == Symbol::Kind::kEnd});
        if (rules_[called].shortest > 0) break;
      }
    }
  }
  for (uint32_t r = 0; r < rules_.size(); ++r) {
    for (const Beginning& next : beginnings[r]) {
      if (next.is_last || !(next.rule == r || reachable(beginnings, next.rule)[r])) continue;
      throw Error(ErrorKind::kUsage, source + ": " + describe(r) + " begins with itself (left recursion)",
                  "write the recursive call at the end, or use * or +");
    }
  }
}

}  // namespace linea
