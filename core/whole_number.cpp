#include "core/whole_number.h"

#include "core/text.h"

namespace linea {

void fail_whole_number(const Json& value, const std::string& where, const std::string& minimum, const std::string& maximum) {
  const std::string found = printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
  throw Error(ErrorKind::kBadFile, where + ": expected a whole number from " + minimum + " to " + maximum + ", found " + found);
}

}  // namespace linea
