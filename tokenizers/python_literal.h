// tokenizers/python_literal.h: the string literals of Python that vocabulary files are written in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace linea {

// The bytes of '…', "…" (text, as UTF-8) or b'…', b"…" (bytes), with the escapes \\ \' \" \a \b \f \n \r \t \v \0 \xHH \uHHHH \UHHHHHHHH.
// Nothing when it is not exactly one such literal.
std::optional<std::string> parse_python_literal(std::string_view literal);

}  // namespace linea
