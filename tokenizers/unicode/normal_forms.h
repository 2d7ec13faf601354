// tokenizers/unicode/normal_forms.h: Unicode's canonical normal forms (UAX 15). Valid UTF-8 in and out.
#pragma once

#include <string>
#include <string_view>

namespace linea {

std::string canonical_decomposition(std::string_view text);  // NFD
std::string canonical_composition(std::string_view text);    // NFC

}  // namespace linea
