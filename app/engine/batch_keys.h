// app/engine/batch_keys.h: the keys of a batch's line, and what each does to a job. Private to app/engine.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/engine/batch_input.h"
#include "core/json.h"

namespace linea {

// A value of a line. Text of CSV cells and options is read as a number where the key wants one; JSON's types must be right.
struct BatchValue {
  std::string key;
  Json value;
  bool is_text = false;  // written without a type
};

// Applies one key. Throws kBadFile: "WHERE: key: what".
void apply_batch_key(BatchLine& line, const BatchValue& value, const std::string& where);
std::vector<std::string> batch_keys();

// A1111's names to ours: "cfg_scale" → "guidance". Throws kBadFile for those that cannot be had here.
std::vector<BatchValue> parse_prompt_options(const std::string& text, const std::string& where);

}  // namespace linea
