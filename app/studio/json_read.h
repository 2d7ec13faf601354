// app/studio/json_read.h: values of stored JSON that may be missing or of another time.
#pragma once

#include "core/json.h"

namespace linea::studio {

// What stands under the key; where nothing fitting does, the value stays.
template <class T> void read(const Json& json, const char* key, T& value) {
  const auto found = json.find(key);
  if (found == json.end()) return;
  try {
    value = found->get<T>();
  } catch (const Json::exception&) {  // another type
  }
}

}  // namespace linea::studio
