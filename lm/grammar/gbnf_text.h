// lm/grammar/gbnf_text.h: pieces of GBNF.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linea {

std::string gbnf_literal(std::string_view text);                                // quoted and escaped
std::string gbnf_any_of(const std::vector<std::string>& alternatives);          // "(a | b)", or the only one
std::string gbnf_repeat(const std::string& item, int64_t least, int64_t most);  // most < 0: any number

// Decimal integers from `low` to `high`, without leading zeros, as JSON writes them.
std::string gbnf_integers(int64_t low, int64_t high);
std::string gbnf_integers_from(int64_t low);  // any larger one too
std::string gbnf_integers_to(int64_t high);

}  // namespace linea
