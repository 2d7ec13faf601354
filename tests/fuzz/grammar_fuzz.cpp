#include "lm/grammar/grammar.h"
#include "lm/grammar/matcher.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lm/piece_tokenizer.h"

// The input is a grammar; where it is one, a text under it is begun.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace linea;
  static const test::PieceTokenizer tokenizer = test::PieceTokenizer::with_bytes({"\":", "\",", "ab", "true"});
  static const Vocabulary vocabulary(tokenizer, tokenizer.vocabulary_size(), {0});
  static const auto trie = std::make_shared<const TokenTrie>(vocabulary);
  return fuzz::run([&] {
    const auto matcher =
        std::make_shared<GrammarMatcher>(parse_gbnf({reinterpret_cast<const char*>(data), size}, "input"), vocabulary, trie);
    GrammarConstraint constraint(matcher, 24);
    for (int i = 0; i < 24; ++i) {
      int32_t chosen = 0;
      constraint.allowed().for_each([&](int32_t id) { chosen = chosen == 0 || (id * 7 + i) % 5 == 0 ? id : chosen; });
      if (chosen == 0) return;
      constraint.accept(chosen);
    }
  });
}
