// tokenizers/decoder.h: the "decoder" of a tokenizer.json, which turns pieces back into text.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"

namespace linea {

class Decoder {
 public:
  Decoder() = default;
  // `json` null = pieces joined with blanks, as the reference does. Supported: ByteLevel, Replace of a literal, ByteFallback, Fuse, Strip,
  // Metaspace, Sequence. Throws kModel naming any other.
  Decoder(const Json& json, const std::string& source);

  std::string decode(std::vector<std::string> pieces) const;
  // What one piece adds in the middle of a text: bytes that need not be whole characters.
  std::string bytes_of(std::string piece) const;

 private:
  enum class Kind { kByteLevel, kReplace, kByteFallback, kFuse, kStrip, kMetaspace };
  struct Step {
    Kind kind;
    std::string pattern{}, content{};
    int64_t left = 0, right = 0;    // of kStrip: how many `pattern`s go at most
    bool drop_first_blank = false;  // of kMetaspace
  };

  void add(const Json& json, const std::string& source);
  static void apply(const Step& step, std::vector<std::string>& pieces);

  std::vector<Step> steps_;
  std::string separator_;
};

}  // namespace linea
