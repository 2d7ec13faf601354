// app/engine/command_line.h: words that a shell reads back as they are.
#pragma once

#include <string>

namespace linea {

// The word itself where that is safe, else in single quotes. A word that acts on a terminal (for_terminal) is in the quotes $'…' with its
// bytes as \xNN, which bash, zsh and their like read.
std::string shell_quote(const std::string& word);

}  // namespace linea
