#include "tokenizers/rwkv_world.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/error.h"
#include "core/mapped_file.h"
#include "tokenizers/python_literal.h"

namespace linea {
namespace {

constexpr int32_t kMaxId = 1 << 20;  // beyond any vocabulary
constexpr int64_t kMaxBytes = int64_t{64} << 20;
constexpr uint32_t kNone = 0xffffffffu;

std::optional<int32_t> parse_number(std::string_view text) {
  int32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || value < 0 || value > kMaxId) return std::nullopt;
  return value;
}

struct Entry {
  int32_t id;
  std::string bytes;
};

// The literal may hold spaces and quotes: the id ends at the first space, the length begins after the last.
std::optional<Entry> parse_line(std::string_view line) {
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || last <= first) return std::nullopt;
  const std::optional<int32_t> id = parse_number(line.substr(0, first)), length = parse_number(line.substr(last + 1));
  const std::optional<std::string> bytes = parse_python_literal(line.substr(first + 1, last - first - 1));
  if (!id || *id == 0 || !length || !bytes || bytes->empty() || bytes->size() != static_cast<size_t>(*length)) return std::nullopt;
  return Entry{*id, *bytes};
}

}  // namespace

RwkvWorldTokenizer RwkvWorldTokenizer::load(const std::filesystem::path& file) {
  const std::string content = read_file(file, kMaxBytes, ErrorKind::kModel);
  const std::string_view text = content;
  std::vector<std::string> tokens;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin = end + 1;
    ++number;
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorKind::kModel, file.string() + ": line " + std::to_string(number) + ": " + what);
    };
    std::optional<Entry> entry = parse_line(line);
    if (!entry) fail("expected an id, a Python literal and its number of bytes");
    const auto id = static_cast<size_t>(entry->id);
    if (tokens.size() <= id) tokens.resize(id + 1);
    if (!tokens[id].empty()) fail("id " + std::to_string(id) + " occurs twice");
    tokens[id] = std::move(entry->bytes);
  }
  return from_tokens(std::move(tokens), file.string());
}

RwkvWorldTokenizer RwkvWorldTokenizer::from_tokens(std::vector<std::string> tokens, const std::string& source) {
  RwkvWorldTokenizer tokenizer;
  tokenizer.tokens_ = std::move(tokens);
  try {
    tokenizer.build();
  } catch (const Error& error) {
    throw Error(ErrorKind::kModel, source + ": " + error.what());
  }
  return tokenizer;
}

// Entries in the order of their bytes are the trie's nodes in depth-first order: each level is a range of entries with a common beginning.
void RwkvWorldTokenizer::build() {
  std::vector<int32_t> sorted;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!tokens_[id].empty()) sorted.push_back(static_cast<int32_t>(id));
  }
  const auto bytes_of = [&](size_t i) -> const std::string& { return tokens_[static_cast<size_t>(sorted[i])]; };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int32_t a, int32_t b) { return tokens_[static_cast<size_t>(a)] < tokens_[static_cast<size_t>(b)]; });
  struct Range {
    uint32_t node;
    size_t begin, end, depth;
  };
  nodes_.assign(1, {});
  std::vector<Range> open = {{0, 0, sorted.size(), 0}};
  while (!open.empty()) {
    Range range = open.back();
    open.pop_back();
    if (range.begin < range.end && bytes_of(range.begin).size() == range.depth) {
      nodes_[range.node].id = sorted[range.begin++];
      if (range.begin < range.end && bytes_of(range.begin).size() == range.depth) {
        throw Error(ErrorKind::kModel, "ids " + std::to_string(sorted[range.begin - 1]) + " and " + std::to_string(sorted[range.begin]) +
                                           " have the same bytes");
      }
    }
    nodes_[range.node].first_edge = static_cast<uint32_t>(edges_.size());
    for (size_t i = range.begin; i < range.end;) {
      const char byte = bytes_of(i)[range.depth];
      size_t end = i + 1;
      while (end < range.end && bytes_of(end)[range.depth] == byte) ++end;
      const auto child = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
      edges_.push_back({static_cast<uint8_t>(byte), child});
      open.push_back({child, i, end, range.depth + 1});
      i = end;
    }
    nodes_[range.node].edges = static_cast<uint32_t>(edges_.size()) - nodes_[range.node].first_edge;
  }
  roots_.fill(kNone);
  for (uint32_t e = 0; e < nodes_[0].edges; ++e) roots_[edges_[e].byte] = edges_[e].node;
  for (size_t byte = 0; byte < roots_.size(); ++byte) {
    if (roots_[byte] != kNone && nodes_[roots_[byte]].id >= 0) continue;
    throw Error(ErrorKind::kModel, "the vocabulary lacks the single byte " + std::to_string(byte));
  }
}

std::vector<int32_t> RwkvWorldTokenizer::encode_without_template(std::string_view text) const {
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin < text.size();) {
    uint32_t node = roots_[static_cast<uint8_t>(text[begin])];
    int32_t longest = nodes_[node].id;
    size_t end = begin + 1;
    for (size_t i = end; i < text.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      const auto first = edges_.begin() + nodes_[node].first_edge, last = first + nodes_[node].edges;
      const auto edge = std::lower_bound(first, last, byte, [](const Edge& e, uint8_t b) { return e.byte < b; });
      if (edge == last || edge->byte != byte) break;
      node = edge->node;
      if (nodes_[node].id >= 0) longest = nodes_[node].id, end = i + 1;
    }
    ids.push_back(longest);
    begin = end;
  }
  return ids;
}

std::string RwkvWorldTokenizer::decode(std::span<const int32_t> ids, bool /*skip_special*/) const {
  std::string bytes;
  for (const int32_t id : ids) bytes += token(id);
  return bytes;
}

int32_t RwkvWorldTokenizer::id_of(std::string_view bytes) const {
  const std::vector<int32_t> ids = encode_without_template(bytes);
  return ids.size() == 1 ? ids[0] : -1;
}

std::string_view RwkvWorldTokenizer::token(int32_t id) const {
  return id >= 0 && id < vocabulary_size() ? std::string_view(tokens_[static_cast<size_t>(id)]) : std::string_view();
}

}  // namespace linea
