// lm/template_text.h: the Jinja text that turns messages into a prompt, as models carry it.
#pragma once

#include <filesystem>
#include <string>

#include "core/gguf.h"

namespace linea {

// chat_template of folder/tokenizer_config.json, or else folder/chat_template.jinja; empty when there is none. Throws kModel.
std::string read_chat_template(const std::filesystem::path& folder);
// In the metadata of GGUF. llama.cpp's converter writes the mere name of a form for RWKV, which counts as none.
std::string read_chat_template(const GgufFile& file);

}  // namespace linea
