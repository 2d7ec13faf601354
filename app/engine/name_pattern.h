// app/engine/name_pattern.h: names of many pictures: "{index:06}_{seed}_{slug:40}.png".
//
//   {index} place of the job in its batch, from 0     {n}     picture of the job, from 1      {count} pictures of the job
//   {id}    the job's own name, made safe for a file  {seed}  the picture's seed
//   {slug}  first words of the prompt                 {width} {height} {steps} {guidance} {model}
//
// After a colon: for numbers a width, filled with zeros ({index:06}); for text the most bytes ({slug:40}).
// "{{" and "}}" are braces. "/" makes folders below the output folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/engine/job.h"

namespace linea {

class NamePattern {
 public:
  // Throws kUsage, naming the column: unknown field, unbalanced brace, absolute path, "..", no extension of a picture.
  explicit NamePattern(std::string_view text);

  std::string expand(const PictureJob& job, int picture) const;
  bool uses(std::string_view field) const;
  const std::string& text() const { return text_; }

 private:
  struct Piece {
    std::string literal{};  // when field is empty
    std::string field{};
    bool number = false;
    size_t width = 0;
  };
  std::string text_;
  std::vector<Piece> pieces_;
};

}  // namespace linea
