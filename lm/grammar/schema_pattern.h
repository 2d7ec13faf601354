// lm/grammar/schema_pattern.h: regular expressions of JSON schemas as grammars of the inside of a JSON string.
#pragma once

#include <string>
#include <string_view>

namespace linea {

// ECMAScript's: literals, `.`, classes with \d \w \s and their inverses, groups without look-around, | * + ? {m,n}, ^ and $ at the ends
// only. A pattern without ^ or $ may have anything before or after it. Throws kUsage: "WHERE: pattern: what".
std::string pattern_to_gbnf(std::string_view pattern, const std::string& where);

}  // namespace linea
