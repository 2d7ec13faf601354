// app/engine/batch_input.h: lists of pictures to make, in the forms that people have them.
//
//   JSONL    one object a line: {"id": "a1", "prompt": "a red apple", "size": [1024, 768], "seed": 7, "count": 2}
//   CSV      a first line of the same keys, then a picture a line; quotes as in RFC 4180, "," ";" or tab between cells; empty = default
//   lines    one prompt a line; a line that begins with -- holds the options of the prompts-from-file script of A1111's web UI, with
//            words as a shell splits them: --prompt "a red apple" --negative_prompt blurry --steps 20 --cfg_scale 4.5 --width 512
//
// Input is untrusted: lines are at most 1 MiB and are refused before they are read whole. Every error is kBadFile and says FILE:LINE.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "app/engine/job.h"

namespace linea {

enum class BatchDialect { kAuto, kJsonLines, kCsv, kLines };

struct BatchLine {
  int64_t line = 0;  // in the file, from 1
  PictureJob job{};  // defaults, overwritten by what the line says
  bool has_seed = false, has_name = false;
  std::string folder{};  // below the output folder
};

struct BatchInput {
  std::string source;                          // for messages: the file's name, "standard input"
  BatchDialect dialect = BatchDialect::kAuto;  // auto: by the name's ending, else by the first line
  PictureJob defaults{};
};

// Lines in order, each with a prompt; ids are unique.
std::vector<BatchLine> read_batch(std::istream& stream, const BatchInput& input);

inline constexpr size_t kMaxBatchLineBytes = size_t{1} << 20;
inline constexpr size_t kMaxBatchLines = 1'000'000;

}  // namespace linea
