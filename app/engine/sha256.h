// app/engine/sha256.h: SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace linea {

class Sha256 {
 public:
  void add(const void* data, size_t bytes);
  std::string finish();  // 64 hexadecimal digits; nothing may be added afterwards

 private:
  void block(const uint8_t* data);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> rest_{};
  uint64_t bytes_ = 0;
};

std::string sha256_of(std::string_view text);
std::string sha256_of(std::span<const uint8_t> bytes);
std::string sha256_of_file(const std::filesystem::path& path);  // throws kIo

}  // namespace linea
