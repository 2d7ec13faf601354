// app/cli/suggest.h: the nearest of the words that would have been right.
#pragma once

#include <string>
#include <vector>

namespace linea::cli {

// The candidate at the smallest edit distance, if that is small for the word's length; else empty.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace linea::cli
