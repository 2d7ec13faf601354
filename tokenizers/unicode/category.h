// tokenizers/unicode/category.h: the general categories of Unicode, which the regular expressions of tokenizers ask for.
//
// Table: categories.inc, made by make_tables.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace linea {

// A set of categories, one bit each.
using CategoryMask = uint32_t;

CategoryMask category_of(char32_t c);  // one bit
// "L", "Lu", "N", …: the categories whose names begin so. Nothing for a name that is none.
std::optional<CategoryMask> categories_named(std::string_view name);

}  // namespace linea
