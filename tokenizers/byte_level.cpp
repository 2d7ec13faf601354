#include "tokenizers/byte_level.h"

#include <array>
#include <cstdint>

#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

constexpr char32_t kFirstOther = 0x100;

constexpr bool stands_for_itself(char32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

constexpr std::array<char32_t, 256> make_characters() {
  std::array<char32_t, 256> result{};
  char32_t other = kFirstOther;
  for (char32_t byte = 0; byte < 256; ++byte) result[byte] = stands_for_itself(byte) ? byte : other++;
  return result;
}

constexpr std::array<char32_t, 256> kCharacters = make_characters();

constexpr std::array<int16_t, kFirstOther + 68> make_bytes() {
  std::array<int16_t, kFirstOther + 68> result{};
  result.fill(-1);
  for (char32_t byte = 0; byte < 256; ++byte) result[kCharacters[byte]] = static_cast<int16_t>(byte);
  return result;
}

constexpr std::array<int16_t, kFirstOther + 68> kBytes = make_bytes();

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_utf8(result, kCharacters[static_cast<unsigned char>(byte)]);
  return result;
}

std::string from_byte_level(std::string_view piece) {
  std::string bytes;
  for (size_t i = 0; i < piece.size();) {
    const char32_t c = next_code_point(piece, i);
    if (c >= kBytes.size() || kBytes[c] < 0) return std::string(piece);
    bytes += static_cast<char>(kBytes[c]);
  }
  return bytes;
}

}  // namespace linea
