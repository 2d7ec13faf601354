#include "textenc/prompt.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizers/unicode/case.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {

std::string preprocess_prompt(std::string_view prompt) { return std::string(python_strip(python_lower(valid_utf8(prompt)))); }

int64_t longest_input(const Tokenizer& tokenizer, std::string_view instruction, int64_t positions) {
  if (instruction.empty()) return positions;
  // Minus bos, which both counts have, and minus the lone blank that ends the instruction: it joins the prompt's first word.
  const auto length = static_cast<int64_t>(tokenizer.encode(instruction).size()) + positions - 2;
  return std::max(length, positions - 1);
}

PromptTokens prepare_prompt(const Tokenizer& tokenizer, std::string_view instruction, std::string_view prompt, int64_t positions) {
  LINEA_ASSERT(positions > 1);
  const int32_t pad = tokenizer.special().pad;
  if (pad < 0) throw Error(ErrorKind::kModel, "tokenizer: expected a padding token (pad_token in tokenizer_config.json), found none");
  const auto length = static_cast<size_t>(longest_input(tokenizer, instruction, positions)), seen = static_cast<size_t>(positions);

  PromptTokens result;
  result.input = tokenizer.encode(std::string(instruction) + preprocess_prompt(prompt), length, result.cut);
  if (result.input.empty()) throw Error(ErrorKind::kUsage, "prompt: no tokens: the prompt is empty and the tokenizer adds none of its own");

  // Of the padded input of `length`: the first position, and the last positions - 1.
  for (size_t position = 0; position < seen; ++position) {
    const size_t row = position == 0 ? 0 : length - seen + position;
    const bool real = row < result.input.size();
    result.ids.push_back(real ? result.input[row] : pad);
    result.mask.push_back(real);
    if (real) result.kept.push_back(row);  // rows grow, so real ones come first
  }
  return result;
}

}  // namespace linea
