// The text chunks of a PNG, found without touching its pixels.
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/image_codecs.h"
#include "core/text.h"

namespace linea {
namespace {

constexpr size_t kMaxTextBytes = size_t{16} << 20;  // of all chunks together, unpacked

uint32_t big_endian(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 | static_cast<uint32_t>(bytes[2]) << 8 | bytes[3];
}

class TextReader {
 public:
  explicit TextReader(const std::string& source) : source_(source) {}

  ImageText read(codec::Bytes bytes) {
    if (bytes.size() < codec::kPngSignature.size() ||
        !std::equal(codec::kPngSignature.begin(), codec::kPngSignature.end(), bytes.begin())) {
      codec::fail(source_, "is not a PNG image");
    }
    bytes = bytes.subspan(codec::kPngSignature.size());
    for (bool ended = false; !ended;) {
      constexpr size_t kAround = 12;  // length, type and checksum
      if (bytes.size() < kAround) fail("the file is cut short");
      const size_t size = big_endian(bytes.data());
      if (size > bytes.size() - kAround) fail("the file is cut short");
      const std::string_view type(reinterpret_cast<const char*>(bytes.data()) + 4, 4);
      ended = type == "IEND";
      if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
        if (crc32_z(0, bytes.data() + 4, size + 4) != big_endian(bytes.data() + 8 + size)) fail("a text chunk's checksum is wrong");
        read_chunk(type, {reinterpret_cast<const char*>(bytes.data()) + 8, size});
      }
      bytes = bytes.subspan(size + kAround);
    }
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { codec::fail(source_, "damaged PNG: " + what); }

  std::string_view until_nul(std::string_view& rest) const {
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) fail("a text chunk has no end of its keyword");
    const std::string_view head = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return head;
  }

  uint8_t next_byte(std::string_view& rest) const {
    if (rest.empty()) fail("a text chunk is cut short");
    const uint8_t byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    return byte;
  }

  void read_chunk(std::string_view type, std::string_view rest) {
    const std::string key = latin1_to_utf8(until_nul(rest));
    bool packed = type == "zTXt";
    if (type == "iTXt") packed = next_byte(rest) != 0;
    if (type != "tEXt" && next_byte(rest) != 0 && packed) fail("a text chunk's compression method is unknown");
    if (type == "iTXt") {
      until_nul(rest);  // language
      until_nul(rest);  // translated keyword
    }
    std::string text = packed ? unpack(rest) : std::string(rest);
    text = type == "iTXt" ? to_valid_utf8(text) : latin1_to_utf8(text);
    used_ += key.size() + text.size();
    if (used_ > kMaxTextBytes) fail("its text exceeds " + std::to_string(kMaxTextBytes >> 20) + " MiB");
    result_.emplace_back(key, std::move(text));
  }

  std::string unpack(std::string_view packed) const {
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) fail("zlib could not start");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    std::string text;
    int status = Z_OK;
    while (status == Z_OK && text.size() <= kMaxTextBytes) {
      constexpr size_t kStep = 16384;
      const size_t before = text.size();
      text.resize(before + kStep);
      stream.next_out = reinterpret_cast<Bytef*>(text.data() + before);
      stream.avail_out = kStep;
      status = inflate(&stream, Z_NO_FLUSH);
      text.resize(before + kStep - stream.avail_out);
    }
    inflateEnd(&stream);
    if (status != Z_OK && status != Z_STREAM_END) fail("a text chunk cannot be unpacked");
    return text;  // one that is too long is refused by its caller
  }

  const std::string& source_;
  size_t used_ = 0;
  ImageText result_;
};

}  // namespace

ImageText decode_png_text(std::span<const uint8_t> bytes, const std::string& source_name) { return TextReader(source_name).read(bytes); }

}  // namespace linea
