// textenc/prompt.h: what SANA's pipelines make of a prompt before the text encoder sees it.
//
// Reference: SanaPipeline.encode_prompt of diffusers, clean_caption off. The prompt is lower-cased and stripped; an instruction ("complex
// human instruction", arXiv 2410.10629 §3.3) may stand before it, whose tokens the encoder reads and the transformer never sees.
// The instruction is the caller's data, eight lines joined with "\n"; this code has no text of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/tokenizer.h"

namespace linea {

inline constexpr int64_t kPromptPositions = 300;  // that the transformer sees, padding included

std::string preprocess_prompt(std::string_view prompt);  // Python's .lower().strip(); invalid UTF-8 becomes U+FFFD

struct PromptTokens {
  std::vector<int32_t> input;  // all that the encoder reads, no padding
  std::vector<size_t> kept;    // rows of the encoder's output that the transformer sees: positions 0, 1, … of the `positions` below
  std::vector<int32_t> ids;    // [positions] as the pipeline selects them, padding included
  std::vector<uint8_t> mask;   // [positions] 1 = real
  size_t cut = 0;              // tokens of the prompt that did not fit and were dropped
};

// `instruction` empty = none, as for negative prompts. Throws kModel when the tokenizer has no padding token and kUsage when nothing is
// left to read (an empty prompt and a tokenizer without bos).
PromptTokens prepare_prompt(const Tokenizer& tokenizer, std::string_view instruction, std::string_view prompt,
                            int64_t positions = kPromptPositions);

// The longest `input` that prepare_prompt can give: what memory has to be planned for.
int64_t longest_input(const Tokenizer& tokenizer, std::string_view instruction, int64_t positions = kPromptPositions);

}  // namespace linea
