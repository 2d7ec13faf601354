// PNG encoding: rows are filtered and deflated in blocks on all threads.
//
// A block is a fixed number of rows and starts with the 32 KiB before it as its dictionary, so that the bytes depend neither on the number
// of threads nor suffer from the split. 4096 × 4096 pixels take a second with one thread of libpng.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "core/error.h"
#include "core/image_codecs.h"
#include "core/text.h"
#include "core/threads.h"

namespace linea {
namespace {

constexpr int64_t kPixelBytes = 3;
constexpr int64_t kBlockBytes = 256 << 10;   // of filtered rows
constexpr int64_t kDictionaryBytes = 32768;  // deflate's window

using Buffer = std::vector<uint8_t>;

void append_big_endian(Buffer& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

void append_chunk(Buffer& out, const char (&type)[5], const uint8_t* data, size_t size) {
  LINEA_ASSERT(size < (size_t{1} << 31));
  append_big_endian(out, static_cast<uint32_t>(size));
  const size_t checked = out.size();
  out.insert(out.end(), type, type + 4);
  out.insert(out.end(), data, data + size);
  append_big_endian(out, static_cast<uint32_t>(crc32_z(0, out.data() + checked, out.size() - checked)));
}

// Text that tEXt may hold: Latin-1 without controls other than line feed.
std::optional<std::string> plain_latin1(const std::string& text) {
  std::optional<std::string> latin1 = utf8_to_latin1(text);
  const auto allowed = [](char c) {
    const uint8_t code = static_cast<uint8_t>(c);
    return code == '\n' || (code >= 0x20 && code < 0x7f) || code >= 0xa0;
  };
  if (latin1 && !std::all_of(latin1->begin(), latin1->end(), allowed)) latin1.reset();
  return latin1;
}

void append_text(Buffer& out, const std::string& key, std::string text) {
  LINEA_ASSERT(!key.empty() && key.size() <= 79 && key.front() != ' ' && key.back() != ' ');
  LINEA_ASSERT(std::all_of(key.begin(), key.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  std::string content = key + '\0';
  if (const std::optional<std::string> latin1 = plain_latin1(text)) {
    content += *latin1;
    append_chunk(out, "tEXt", reinterpret_cast<const uint8_t*>(content.data()), content.size());
    return;
  }
  text = to_valid_utf8(text);
  for (size_t at = 0; (at = text.find('\0', at)) != std::string::npos;) text.replace(at, 1, "\xef\xbf\xbd");
  content.append(4, '\0');  // not compressed, no method, no language, no translated keyword
  content += text;
  append_chunk(out, "iTXt", reinterpret_cast<const uint8_t*>(content.data()), content.size());
}

// The predictors as loops that vectorise: the five outputs do not overlap the rows.
void paeth_row(const uint8_t* row, const uint8_t* above, uint8_t* __restrict out, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    const int16_t left = row[i - kPixelBytes], up = above[i], corner = above[i - kPixelBytes];
    const int16_t to_left = static_cast<int16_t>(std::abs(up - corner)), to_up = static_cast<int16_t>(std::abs(left - corner));
    const int16_t to_corner = static_cast<int16_t>(std::abs(left + up - 2 * corner));
    const int16_t nearer = to_up <= to_corner ? up : corner;
    const int16_t closest = to_left <= std::min(to_up, to_corner) ? left : nearer;
    out[i] = static_cast<uint8_t>(row[i] - closest);
  }
}

void average_row(const uint8_t* row, const uint8_t* above, uint8_t* __restrict out, int64_t size) {
  for (int64_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(row[i] - (row[i - kPixelBytes] + above[i]) / 2);
}

void difference_row(const uint8_t* row, const uint8_t* from, uint8_t* __restrict out, int64_t size) {
  for (int64_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(row[i] - from[i]);
}

int64_t residual_cost(const uint8_t* residual, int64_t size) {
  int64_t sum = 0;
  for (int64_t begin = 0; begin < size; begin += 256) {  // short sums stay in narrow lanes
    int32_t part = 0;
    for (int64_t i = begin; i < std::min(begin + 256, size); ++i) part += std::min<int>(residual[i], 256 - residual[i]);
    sum += part;
  }
  return sum;
}

// Filters rows by each of the five predictors and keeps the one with the smallest sum of absolute residuals, the usual heuristic.
class RowFilter {
 public:
  explicit RowFilter(int64_t row_bytes) : size_(row_bytes) {
    for (Buffer* row : {&row_, &above_, &best_, &trial_}) row->resize(static_cast<size_t>(row_bytes + kPixelBytes));
  }

  // `above` is null for the first row. Writes 1 + row_bytes bytes.
  void apply(const uint8_t* row, const uint8_t* above, uint8_t* out) {
    // Copies behind one black pixel, which stands left of the picture.
    std::memcpy(row_.data() + kPixelBytes, row, static_cast<size_t>(size_));
    if (above) std::memcpy(above_.data() + kPixelBytes, above, static_cast<size_t>(size_));
    const uint8_t* x = row_.data() + kPixelBytes;
    const uint8_t* up = above_.data() + kPixelBytes;
    std::memcpy(best_.data(), row, static_cast<size_t>(size_));
    *out = 0;
    int64_t best_cost = residual_cost(row, size_);
    for (uint8_t filter = 1; filter <= 4; ++filter) {
      switch (filter) {
        case 1: difference_row(x, x - kPixelBytes, trial_.data(), size_); break;
        case 2: difference_row(x, up, trial_.data(), size_); break;
        case 3: average_row(x, up, trial_.data(), size_); break;
        default: paeth_row(x, up, trial_.data(), size_); break;
      }
      const int64_t cost = residual_cost(trial_.data(), size_);
      if (cost >= best_cost) continue;
      best_cost = cost;
      *out = filter;
      best_.swap(trial_);
    }
    std::memcpy(out + 1, best_.data(), static_cast<size_t>(size_));
  }

 private:
  int64_t size_;
  Buffer row_, above_, best_, trial_;
};

// Raw deflate of [begin, end) of `data`, which may refer to what stands before. Ends on a byte boundary; the last block ends the stream.
Buffer deflate_block(const Buffer& data, int64_t begin, int64_t end, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw Error(ErrorKind::kMemory, "PNG encoder: out of memory");
  }
  const int64_t dictionary = std::min(begin, kDictionaryBytes);
  if (dictionary > 0) deflateSetDictionary(&stream, data.data() + begin - dictionary, static_cast<uInt>(dictionary));
  constexpr uLong kFlushBytes = 16;
  Buffer out(deflateBound(&stream, static_cast<uLong>(end - begin)) + kFlushBytes);
  stream.next_in = const_cast<Bytef*>(data.data() + begin);
  stream.avail_in = static_cast<uInt>(end - begin);
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const bool last = end == static_cast<int64_t>(data.size());
  const int status = deflate(&stream, last ? Z_FINISH : Z_SYNC_FLUSH);
  const bool complete = stream.avail_in == 0 && stream.avail_out > 0 && status == (last ? Z_STREAM_END : Z_OK);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  LINEA_ASSERT(complete);
  return out;
}

Buffer filter_rows(const Image& image, int64_t rows_per_block) {
  const int64_t row_bytes = image.width * kPixelBytes;
  Buffer filtered(static_cast<size_t>((row_bytes + 1) * image.height));
  const int64_t blocks = (image.height + rows_per_block - 1) / rows_per_block;
  parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
    RowFilter filter(row_bytes);
    for (int64_t y = first * rows_per_block; y < std::min(last * rows_per_block, image.height); ++y) {
      const uint8_t* row = image.pixels.data() + y * row_bytes;
      filter.apply(row, y > 0 ? row - row_bytes : nullptr, filtered.data() + y * (row_bytes + 1));
    }
  });
  return filtered;
}

}  // namespace

std::vector<uint8_t> encode_png(const Image& image, const ImageText& text, int level) {
  LINEA_ASSERT(image.channels == 3 && static_cast<int64_t>(image.pixels.size()) == image.width * image.height * kPixelBytes);
  if (level < 0 || level > 9) throw Error(ErrorKind::kUsage, "PNG level " + std::to_string(level) + " is not between 0 and 9");
  if (image.width < 1 || image.height < 1 || image.width > kMaxImageSide || image.height > kMaxImageSide ||
      image.width * image.height > kMaxImagePixels) {
    throw Error(ErrorKind::kUsage, "a PNG of " + std::to_string(image.width) + "×" + std::to_string(image.height) + " is not supported");
  }
  const int64_t row_size = image.width * kPixelBytes + 1;
  const int64_t rows_per_block = std::max<int64_t>(1, kBlockBytes / row_size);
  const int64_t blocks = (image.height + rows_per_block - 1) / rows_per_block;
  const Buffer filtered = filter_rows(image, rows_per_block);

  std::vector<Buffer> deflated(static_cast<size_t>(blocks));
  std::vector<uLong> checksums(static_cast<size_t>(blocks));
  const auto block_begin = [&](int64_t block) { return std::min(block * rows_per_block, image.height) * row_size; };
  parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block_begin(block), end = block_begin(block + 1);
      deflated[static_cast<size_t>(block)] = deflate_block(filtered, begin, end, level);
      checksums[static_cast<size_t>(block)] = adler32_z(1, filtered.data() + begin, static_cast<z_size_t>(end - begin));
    }
  });

  Buffer out(codec::kPngSignature.begin(), codec::kPngSignature.end());
  Buffer header;
  append_big_endian(header, static_cast<uint32_t>(image.width));
  append_big_endian(header, static_cast<uint32_t>(image.height));
  header.insert(header.end(), {8, 2, 0, 0, 0});  // 8 bits, RGB, deflate, adaptive filters, not interlaced
  append_chunk(out, "IHDR", header.data(), header.size());
  for (const auto& [key, value] : text) append_text(out, key, value);

  // The zlib stream around the blocks: two bytes before (window of 32 KiB, a check of the header), the checksum of everything behind.
  uLong checksum = 1;
  for (int64_t block = 0; block < blocks; ++block) {
    Buffer& data = deflated[static_cast<size_t>(block)];
    const int64_t size = block_begin(block + 1) - block_begin(block);
    checksum = adler32_combine(checksum, checksums[static_cast<size_t>(block)], static_cast<z_off_t>(size));
    if (block == 0) data.insert(data.begin(), {0x78, 0x01});
    if (block + 1 == blocks) append_big_endian(data, static_cast<uint32_t>(checksum));
    append_chunk(out, "IDAT", data.data(), data.size());
    Buffer().swap(data);
  }
  append_chunk(out, "IEND", nullptr, 0);
  return out;
}

}  // namespace linea
