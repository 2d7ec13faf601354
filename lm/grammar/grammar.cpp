#include "lm/grammar/grammar.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

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

// For each rule the number of its component: rules that may begin with each other, and only those, share one (Tarjan, 1972).
class Components {
 public:
  explicit Components(const std::vector<std::vector<Beginning>>& beginnings)
      : beginnings_(beginnings), of_(beginnings.size(), kUnknown), order_(beginnings.size(), kUnknown), lowest_(beginnings.size()) {
    for (uint32_t r = 0; r < beginnings.size(); ++r) {
      if (order_[r] == kUnknown) search(r);
    }
  }
  uint32_t of(uint32_t rule) const { return of_[rule]; }

 private:
  struct Visit {
    uint32_t rule;
    size_t next = 0;
  };

  void enter(uint32_t rule) {
    order_[rule] = lowest_[rule] = met_++;
    members_.push_back(rule);
    path_.push_back({rule});
  }
  void leave(uint32_t rule) {
    path_.pop_back();
    if (!path_.empty()) lowest_[path_.back().rule] = std::min(lowest_[path_.back().rule], lowest_[rule]);
    if (lowest_[rule] != order_[rule]) return;
    for (uint32_t member = kUnknown; member != rule; members_.pop_back()) of_[member = members_.back()] = rule;
  }
  // Without recursion: a grammar may chain as many rules as it likes.
  void search(uint32_t start) {
    enter(start);
    while (!path_.empty()) {
      Visit& here = path_.back();
      if (here.next == beginnings_[here.rule].size()) {
        leave(here.rule);
        continue;
      }
      const uint32_t next = beginnings_[here.rule][here.next++].rule;
      if (order_[next] == kUnknown) {
        enter(next);
      } else if (of_[next] == kUnknown) {
        lowest_[here.rule] = std::min(lowest_[here.rule], order_[next]);
      }
    }
  }

  const std::vector<std::vector<Beginning>>& beginnings_;
  std::vector<uint32_t> of_, order_, lowest_, members_;
  std::vector<Visit> path_;
  uint32_t met_ = 0;
};

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

// Shortest texts: the rule with the shortest one of all that are not known yet is known next (Knuth, 1977).
void Grammar::measure(const std::string& source) {
  struct Alternative {
    uint32_t rule;
    uint32_t length = 0;  // of its bytes and of the rules that are known
    size_t unknown = 0;
  };
  std::vector<Alternative> alternatives;
  std::vector<std::vector<size_t>> callers(rules_.size());  // a rule's place in alternatives, as often as it is called there
  using Candidate = std::pair<uint32_t, uint32_t>;          // length, rule
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  for (uint32_t r = 0; r < rules_.size(); ++r) {
    rules_[r].shortest = kUnknown;
    for (uint32_t position : rules_[r].alternatives) {
      Alternative& alternative = alternatives.emplace_back(Alternative{r});
      for (; symbols_[position].kind != Symbol::Kind::kEnd; ++position) {
        if (symbols_[position].kind == Symbol::Kind::kBytes) {
          alternative.length = sum(alternative.length, 1);
        } else {
          ++alternative.unknown;
          callers[symbols_[position].index].push_back(alternatives.size() - 1);
        }
      }
      if (alternative.unknown == 0) candidates.emplace(alternative.length, r);
    }
  }
  while (!candidates.empty()) {
    const auto [length, rule] = candidates.top();
    candidates.pop();
    if (rules_[rule].shortest != kUnknown) continue;
    rules_[rule].shortest = length;
    for (const size_t caller : callers[rule]) {
      Alternative& alternative = alternatives[caller];
      alternative.length = sum(alternative.length, length);
      if (--alternative.unknown == 0) candidates.emplace(alternative.length, alternative.rule);
    }
  }
  shortest_.assign(symbols_.size(), 0);
  for (size_t i = symbols_.size(); i-- > 0;) {
    if (symbols_[i].kind == Symbol::Kind::kEnd) continue;
    shortest_[i] = sum(symbols_[i].kind == Symbol::Kind::kBytes ? 1 : rules_[symbols_[i].index].shortest, shortest_[i + 1]);
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
  const Components components(beginnings);
  for (uint32_t r = 0; r < rules_.size(); ++r) {
    for (const Beginning& next : beginnings[r]) {
      if (next.is_last || components.of(next.rule) != components.of(r)) continue;
      throw Error(ErrorKind::kUsage, source + ": " + describe(r) + " begins with itself (left recursion)",
                  "write the recursive call at the end, or use * or +");
    }
  }
}

}  // namespace linea
