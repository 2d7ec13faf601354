// lm/session/text_stream.h: bytes of tokens in, text to show out.
//
// What comes out is always whole, valid UTF-8: an incomplete character waits for its rest, malformed bytes become U+FFFD (one for each
// maximal invalid part). Stop strings are found in the text, however tokens divide it; what could be the beginning of one waits too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace linea {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops = {});

  // The text that has become certain. Empty once a stop string was met: the text before it has been given out by then.
  std::string push(std::string_view bytes);
  std::string finish();  // what waited, at the end of a text without a stop string
  bool stopped() const { return stopped_; }

 private:
  size_t waiting() const;  // bytes at the end of pending_ that could begin a stop string

  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

// Bytes at the end of `text` that begin a character without ending it: 0 to 3.
size_t incomplete_utf8(std::string_view text);

}  // namespace linea
