#include "app/engine/batch_input.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "app/engine/batch_keys.h"
#include "core/text.h"

namespace linea {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Lines of a stream without their ends, never holding more than the limit.
class LineReader {
 public:
  LineReader(std::istream& stream, const std::string& source) : stream_(stream), source_(source) {}

  bool next(std::string& line) {
    line.clear();
    int c = stream_.get();
    if (c == EOF) return false;
    ++number_;
    for (; c != EOF && c != '\n'; c = stream_.get()) {
      if (line.size() == kMaxBatchLineBytes) fail("the line is longer than 1 MiB");
      line += static_cast<char>(c);
    }
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (number_ == 1 && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
    if (!is_utf8(line)) fail("is not UTF-8");
    if (line.find('\0') != std::string::npos) fail("holds a NUL byte");
    return true;
  }
  int64_t number() const { return number_; }
  std::string where() const { return where(number_); }
  std::string where(int64_t number) const { return source_ + ":" + std::to_string(number); }
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kBadFile, where() + ": " + what); }

 private:
  std::istream& stream_;
  const std::string& source_;
  int64_t number_ = 0;
};

bool is_blank(const std::string& line) { return line.find_first_not_of(" \t") == std::string::npos; }

using Take = std::function<void(int64_t line, const std::vector<BatchValue>&)>;

void read_json_lines(LineReader& reader, std::string line, const Take& take) {
  do {
    if (is_blank(line)) continue;
    const Json json = parse_json(line, reader.where(), ErrorKind::kBadFile);
    if (!json.is_object()) reader.fail("expected an object, {\"prompt\": …}");
    std::vector<BatchValue> values;
    for (const auto& [key, value] : json.items()) values.push_back({key, value, false});
    take(reader.number(), values);
  } while (reader.next(line));
}

// One record, which goes on over further lines inside quotes.
std::vector<std::string> read_csv_record(LineReader& reader, std::string line, char separator) {
  std::vector<std::string> cells(1);
  const int64_t first = reader.number();
  bool quoted = false;
  size_t bytes = line.size();
  for (size_t i = 0;; ++i) {
    if (i == line.size()) {
      if (!quoted) return cells;
      cells.back() += '\n';
      if (!reader.next(line)) throw Error(ErrorKind::kBadFile, reader.where(first) + ": a quote is not closed");
      bytes += line.size() + 1;
      if (bytes > kMaxBatchLineBytes) throw Error(ErrorKind::kBadFile, reader.where(first) + ": the picture's lines are longer than 1 MiB");
      i = static_cast<size_t>(-1);
    } else if (quoted) {
      if (line[i] != '"') {
        cells.back() += line[i];
      } else if (i + 1 < line.size() && line[i + 1] == '"') {
        cells.back() += line[++i];
      } else {
        quoted = false;
      }
    } else if (line[i] == separator) {
      cells.emplace_back();
    } else if (line[i] == '"' && cells.back().empty()) {
      quoted = true;
    } else {
      cells.back() += line[i];
    }
  }
}

void read_csv(LineReader& reader, std::string line, const Take& take) {
  char separator = ',';
  for (const char other : {';', '\t'}) {
    if (std::count(line.begin(), line.end(), other) > std::count(line.begin(), line.end(), separator)) separator = other;
  }
  const std::vector<std::string> names = read_csv_record(reader, line, separator);
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + static_cast<ptrdiff_t>(i), names[i]) != names.begin() + static_cast<ptrdiff_t>(i)) {
      reader.fail("column '" + printable(names[i], 60) + "' appears twice");
    }
  }
  if (std::find(names.begin(), names.end(), "prompt") == names.end()) reader.fail("the first line names the columns; there is no 'prompt'");
  while (reader.next(line)) {
    if (is_blank(line)) continue;
    const int64_t number = reader.number();
    const std::vector<std::string> cells = read_csv_record(reader, line, separator);
    if (cells.size() != names.size()) {
      throw Error(ErrorKind::kBadFile,
                  reader.where(number) + ": " + std::to_string(cells.size()) + " cells under " + std::to_string(names.size()) + " columns");
    }
    std::vector<BatchValue> values;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (!cells[i].empty()) values.push_back({names[i], cells[i], true});
    }
    take(number, values);
  }
}

void read_lines(LineReader& reader, std::string line, const Take& take) {
  do {
    if (is_blank(line)) continue;
    if (line.starts_with("--")) {
      take(reader.number(), parse_prompt_options(line, reader.where()));
    } else {
      take(reader.number(), {{"prompt", line, true}});
    }
  } while (reader.next(line));
}

BatchDialect dialect_of(const BatchInput& input, const std::string& first_line) {
  if (input.dialect != BatchDialect::kAuto) return input.dialect;
  for (const char* ending : {".jsonl", ".ndjson", ".json"}) {
    if (input.source.ends_with(ending)) return BatchDialect::kJsonLines;
  }
  if (input.source.ends_with(".csv") || input.source.ends_with(".tsv")) return BatchDialect::kCsv;
  const size_t start = first_line.find_first_not_of(" \t");
  return start != std::string::npos && first_line[start] == '{' ? BatchDialect::kJsonLines : BatchDialect::kLines;
}

}  // namespace

std::vector<BatchLine> read_batch(std::istream& stream, const BatchInput& input) {
  const std::string source = printable(input.source, 4096);
  LineReader reader(stream, source);
  std::vector<BatchLine> lines;
  std::unordered_map<std::string, int64_t> ids;  // and their lines
  const Take take = [&](int64_t number, const std::vector<BatchValue>& values) {
    const std::string where = reader.where(number);
    if (lines.size() == kMaxBatchLines) throw Error(ErrorKind::kBadFile, where + ": more than 1000000 pictures");
    BatchLine& line = lines.emplace_back();
    line.line = number;
    line.job = input.defaults;
    line.job.index = static_cast<int64_t>(lines.size()) - 1;
    for (const BatchValue& value : values) apply_batch_key(line, value, where);
    PictureSize& size = line.job.settings.request.size;
    if (size.width == 0 || size.height == 0) size.width = size.height = std::max(size.width, size.height);
    if (line.job.settings.request.prompt.find_first_not_of(" \t\r\n") == std::string::npos) {
      throw Error(ErrorKind::kBadFile, where + ": the prompt is missing or empty");
    }
    if (line.job.id.empty()) return;
    const auto [first, fresh] = ids.emplace(line.job.id, number);
    if (!fresh) {
      throw Error(ErrorKind::kBadFile,
                  where + ": id '" + printable(line.job.id, 60) + "' was used in line " + std::to_string(first->second) + " already");
    }
  };
  std::string line;
  while (reader.next(line)) {
    if (is_blank(line)) continue;
    switch (dialect_of(input, line)) {
      case BatchDialect::kJsonLines: read_json_lines(reader, line, take); break;
      case BatchDialect::kCsv: read_csv(reader, line, take); break;
      default: read_lines(reader, line, take); break;
    }
  }
  if (lines.empty()) throw Error(ErrorKind::kBadFile, source + ": holds no pictures to make");
  return lines;
}

}  // namespace linea
