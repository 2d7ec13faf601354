// What a grammar costs beside the model: masks of random JSON schemas over the vocabulary of a tokenizer, on one core.
//
//   linea_grammar_speed TOKENIZER SCHEMAS [MS [ROOM]]   TOKENIZER: a folder with one, or an RWKV World vocabulary. Answers each schema by
//                                                       blind choices within ROOM tokens (1500) and prints what a token's mask takes, and
//                                                       its share of MS, which the model needs for a token
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "lm/grammar/grammar.h"
#include "lm/grammar/json_schema.h"
#include "lm/grammar/matcher.h"
#include "lm/sampling/sampler.h"
#include "lm/session/vocabulary.h"
#include "tests/lm/schema_maker.h"
#include "tokenizers/rwkv_world.h"
#include "tokenizers/tokenizer.h"

namespace linea {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

std::unique_ptr<Tokenizer> open(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return load_tokenizer(path);
  return std::make_unique<RwkvWorldTokenizer>(RwkvWorldTokenizer::load(path));
}

struct Times {
  std::vector<double> masks, compiled;  // milliseconds of a token, and of a schema until its first
};

void answer(const Json& schema, unsigned seed, const Vocabulary& vocabulary, const std::shared_ptr<const TokenTrie>& trie, int room,
            Times& times) {
  const std::vector<float> flat(static_cast<size_t>(vocabulary.size()), 0.0f);
  const Clock::time_point begin = Clock::now();
  const auto matcher =
      std::make_shared<GrammarMatcher>(parse_gbnf(json_schema_to_gbnf(schema.dump(), "schema"), "schema"), vocabulary, trie);
  GrammarConstraint constraint(matcher, room);
  times.compiled.push_back(milliseconds_since(begin));
  Sampler sampler({.seed = seed});
  for (int n = 0; n < room; ++n) {
    const Clock::time_point asked = Clock::now();
    const TokenMask& allowed = constraint.allowed();
    double spent = milliseconds_since(asked);
    const int32_t id = sampler.sample(flat, &allowed);
    if (!vocabulary.is_end(id)) {
      const Clock::time_point chosen = Clock::now();
      constraint.accept(id);
      spent += milliseconds_since(chosen);
    }
    times.masks.push_back(spent);
    if (vocabulary.is_end(id)) return;
  }
}

void run(const std::string& tokenizer_path, int schemas, double token_milliseconds, int room) {
  const std::unique_ptr<Tokenizer> tokenizer = open(tokenizer_path);
  const Vocabulary vocabulary(*tokenizer, tokenizer->vocabulary_size(), {0});
  const auto trie = std::make_shared<const TokenTrie>(vocabulary);
  Times times;
  for (int k = 0; k < schemas; ++k) {
    answer(test::SchemaMaker(static_cast<unsigned>(k)).make(), static_cast<unsigned>(k), vocabulary, trie, room, times);
  }
  std::sort(times.masks.begin(), times.masks.end());
  std::sort(times.compiled.begin(), times.compiled.end());
  const size_t count = times.masks.size();
  const double mean = std::accumulate(times.masks.begin(), times.masks.end(), 0.0) / static_cast<double>(count);
  std::printf(
      "%lld tokens, %d schemas, %zu masks: median %.4f ms, mean %.4f, 99 of 100 within %.3f, longest %.2f; a schema %.2f ms (median)\n",
      static_cast<long long>(vocabulary.size()), schemas, count, times.masks[count / 2], mean, times.masks[count * 99 / 100],
      times.masks.back(), times.compiled[times.compiled.size() / 2]);
  if (token_milliseconds > 0) std::printf("%.2f %% of a token's %.3f ms\n", 100 * mean / token_milliseconds, token_milliseconds);
}

}  // namespace
}  // namespace linea

int main(int count, char** arguments) {
  if (count < 3 || count > 5) {
    std::fprintf(stderr, "usage: linea_grammar_speed TOKENIZER SCHEMAS [MILLISECONDS [ROOM]]\n");
    return 2;
  }
  try {
    linea::run(arguments[1], std::stoi(arguments[2]), count > 3 ? std::stod(arguments[3]) : 0, count > 4 ? std::stoi(arguments[4]) : 1500);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "linea_grammar_speed: %s\n", error.what());
    return 1;
  }
}
