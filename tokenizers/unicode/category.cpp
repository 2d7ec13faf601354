#include "tokenizers/unicode/category.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace linea {
namespace {

#include "tokenizers/unicode/categories.inc"

// In the order of the table's numbers.
constexpr std::array<std::string_view, 30> kNames = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                                     "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                                     "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};

}  // namespace

CategoryMask category_of(char32_t c) {
  const uint32_t* after = std::upper_bound(std::begin(kCategoryRuns), std::end(kCategoryRuns), static_cast<uint32_t>(c) << 5 | 31);
  return CategoryMask{1} << (*std::prev(after) & 31);
}

std::optional<CategoryMask> categories_named(std::string_view name) {
  CategoryMask mask = 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i] || (name.size() == 1 && kNames[i].starts_with(name))) mask |= CategoryMask{1} << i;
  }
  return mask ? std::optional(mask) : std::nullopt;
}

}  // namespace linea
