// app/engine/command_line.h: words that a POSIX shell reads back as they are.
#pragma once

#include <string>

namespace linea {

// The word itself where that is safe, else in single quotes.
std::string shell_quote(const std::string& word);

}  // namespace linea
