// core/metadata.h: the "infotext" that image programs keep in the PNG text chunk `parameters` (A1111's grammar).
//
//   a red apple on a blue plate
//   Negative prompt: blurry
//   Steps: 20, Sampler: DPM++ 2M, CFG scale: 4.5, Seed: 7, Size: 512x512, Model: "built-in, small"
//
// The last line counts as fields only when it holds at least three; a value with a comma, colon or newline is a JSON string.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linea {

struct Infotext {
  std::string prompt, negative;                             // UTF-8, any number of lines
  std::vector<std::pair<std::string, std::string>> fields;  // in order of appearance

  const std::string* find(std::string_view key) const;  // the first field of that name, or null
  bool operator==(const Infotext&) const = default;
};

// parse_infotext gives the same value back for every valid UTF-8 prompt: one that the grammar would change (spaces at the ends of lines, a
// line that starts with "Negative prompt:", …) is repeated in the field "Exact prompt" or "Exact negative prompt", which other programs
// ignore. Needs at least three fields; keys are of two or more of [A-Za-z0-9_ /-] and neither start nor end with a space.
std::string format_infotext(const Infotext& infotext);

// Never fails on odd content: what is no field stays prompt. Throws kBadFile for more than 4 MiB.
Infotext parse_infotext(std::string_view text);

}  // namespace linea
