// lm/content_hash.h: which weights these are, in 64 bits, without reading gigabytes.
#pragma once

#include <string>

#include "core/checkpoint.h"

namespace linea {

// 16 hexadecimal digits of names, shapes, types and, for every tensor, up to 16 evenly spaced stretches of 256 bytes. Tells models apart;
// no protection against somebody who wants two files to agree.
std::string content_hash(const Checkpoint& checkpoint);

}  // namespace linea
