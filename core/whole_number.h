// core/whole_number.h: whole numbers in JSON that came from outside.
#pragma once

#include <limits>
#include <string>
#include <utility>

#include "core/json.h"

namespace linea {

[[noreturn]] void fail_whole_number(const Json& value, const std::string& where, const std::string& minimum, const std::string& maximum);

// A whole number that the type holds: get<Integer>() would cut fractions and wrap what is too large. Throws kBadFile: "WHERE: expected …".
template <class Integer> Integer whole_number(const Json& value, const std::string& where) {
  const bool has_sign = value.is_number_integer() && !value.is_number_unsigned();
  if (has_sign && std::in_range<Integer>(value.get<int64_t>())) return static_cast<Integer>(value.get<int64_t>());
  if (value.is_number_unsigned() && std::in_range<Integer>(value.get<uint64_t>())) return static_cast<Integer>(value.get<uint64_t>());
  using Limits = std::numeric_limits<Integer>;
  fail_whole_number(value, where, std::to_string(Limits::min()), std::to_string(Limits::max()));
}

}  // namespace linea
