#include "tokenizers/bpe.h"

#include <algorithm>
#include <queue>

#include "core/text.h"
#include "tokenizers/json_cursor.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;  // a larger one is a broken file, not a vocabulary

std::string byte_piece(int byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

struct Candidate {
  int32_t rank, position, id;
  bool operator<(const Candidate& other) const {  // std::priority_queue gives its largest first
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

BpeModel::BpeModel(const Config& options, std::string_view vocab, std::string_view merges) {
  read_options(options);
  read_vocab(vocab, options.source());
  read_merges(merges, options.source());
  finish(options);
}

BpeModel::BpeModel(const Config& options, const BpeTable& table) {
  read_options(options);
  add_pieces(table.pieces, options.source());
  merges_.reserve(table.merges.size());
  std::string joined;
  for (size_t i = 0; i < table.merges.size(); ++i) add_merge(table.merges[i], static_cast<int32_t>(i), joined, options.source());
  if (!table.scores.empty()) add_merges_by_score(table.scores);
  finish(options);
}

void BpeModel::read_options(const Config& options) {
  byte_fallback_ = options.boolean("byte_fallback", false);
  fuse_unk_ = options.boolean("fuse_unk", false);
  ignore_merges_ = options.boolean("ignore_merges", false);
  continuing_prefix_ = options.text("continuing_subword_prefix", "");
  end_suffix_ = options.text("end_of_word_suffix", "");
  if (options.has("dropout") && options.number("dropout") != 0) options.fail("dropout", "unsupported: encoding would be random");
}

void BpeModel::finish(const Config& options) {
  for (int byte = 0; byte < 256; ++byte) byte_ids_[byte] = ids_.find(byte_piece(byte));
  if (!options.has("unk_token")) return;
  const std::string unk = options.text("unk_token");
  unk_ = ids_.find(unk);
  if (unk_ < 0) options.fail("unk_token", "\"" + unk + "\" is not in the vocabulary");
}

void BpeModel::add_pieces(const std::vector<std::string>& pieces, const std::string& source) {
  size_t bytes = 0;
  for (const std::string& piece : pieces) bytes += piece.size();
  text_.reserve(bytes);
  ids_.reserve(pieces.size());
  pieces_.resize(pieces.size());
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].empty()) continue;
    const size_t begin = text_.size();
    text_.append(pieces[id]);
    pieces_[id] = std::string_view(text_).substr(begin);
    if (ids_.find(pieces_[id]) < 0) ids_.set(pieces_[id], static_cast<int32_t>(id));  // of equal pieces the first counts
  }
  check_pieces(source);
}

// Pieces of equal score share a rank: the reference merges the leftmost of them first.
void BpeModel::add_merges_by_score(const std::vector<float>& scores) {
  std::vector<int32_t> order;
  for (int32_t id = 0; id < size(); ++id) {
    if (!piece(id).empty() && ids_.find(piece(id)) == id) order.push_back(id);
  }
  const auto score = [&scores](int32_t id) { return scores[static_cast<size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  int32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && score(order[i]) != score(order[i - 1])) rank = static_cast<int32_t>(i);
    const std::string_view whole = piece(order[i]);
    for (size_t cut = utf8_length(whole[0]); cut < whole.size(); cut += utf8_length(whole[cut])) {
      const int32_t left = ids_.find(whole.substr(0, cut)), right = ids_.find(whole.substr(cut));
      if (left >= 0 && right >= 0) merges_.set(left, right, {rank, order[i]});
    }
  }
}

std::string_view BpeModel::piece(int32_t id) const {
  return id >= 0 && id < size() ? pieces_[static_cast<size_t>(id)] : std::string_view();
}

void BpeModel::read_vocab(std::string_view vocab, const std::string& source) {
  // No piece is longer than its JSON text, so views of text_ stay valid while it grows.
  text_.reserve(vocab.size());
  ids_.reserve(vocab.size() / 16);
  pieces_.reserve(vocab.size() / 16);
  JsonCursor cursor(vocab, source);
  std::string scratch;
  for (bool more = cursor.open('{'); more; more = cursor.next('}')) {
    const std::string_view text = cursor.string(scratch);
    const size_t begin = text_.size();
    text_.append(text);
    cursor.expect(':');
    const int64_t id = cursor.integer();
    const std::string_view piece = std::string_view(text_).substr(begin);
    if (id < 0 || id > kMaxId)
      throw Error(ErrorKind::kModel, source + ": vocab: \"" + std::string(piece) + "\" has id " + std::to_string(id));
    if (static_cast<size_t>(id) >= pieces_.size()) pieces_.resize(static_cast<size_t>(id) + 1);
    pieces_[static_cast<size_t>(id)] = piece;
    ids_.set(piece, static_cast<int32_t>(id));
  }
  check_pieces(source);
}

void BpeModel::check_pieces(const std::string& source) const {
  if (!is_utf8(text_)) throw Error(ErrorKind::kModel, source + ": vocab: a piece is not valid UTF-8");
  if (text_.empty()) throw Error(ErrorKind::kModel, source + ": vocab: expected pieces, found none");
}

void BpeModel::read_merges(std::string_view merges, const std::string& source) {
  merges_.reserve(merges.size() / 32);
  JsonCursor cursor(merges, source);
  std::string scratch, second_scratch, joined;
  int32_t rank = 0;
  for (bool more = cursor.open('['); more; more = cursor.next(']'), ++rank) {
    if (cursor.take('[')) {
      const std::string_view left = cursor.string(scratch);
      cursor.expect(',');
      const std::string_view right = cursor.string(second_scratch);
      cursor.expect(']');
      add_merge(left, right, rank, joined, source);
      continue;
    }
    add_merge(cursor.string(scratch), rank, joined, source);
  }
}

void BpeModel::add_merge(std::string_view line, int32_t rank, std::string& joined, const std::string& source) {
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos || line.find(' ', blank + 1) != std::string_view::npos) {
    throw Error(ErrorKind::kModel,
                source + ": merges[" + std::to_string(rank) + "]: expected two pieces with a blank between, found " + printable(line));
  }
  add_merge(line.substr(0, blank), line.substr(blank + 1), rank, joined, source);
}

void BpeModel::add_merge(std::string_view left, std::string_view right, int32_t rank, std::string& joined, const std::string& source) {
  const auto known = [&](std::string_view piece) {
    const int32_t id = ids_.find(piece);
    if (id >= 0) return id;
    throw Error(ErrorKind::kModel,
                source + ": merges[" + std::to_string(rank) + "]: \"" + std::string(piece) + "\" is not in the vocabulary");
  };
  const int32_t left_id = known(left), right_id = known(right);
  joined.assign(left);
  joined.append(right.substr(std::min(right.size(), continuing_prefix_.size())));
  merges_.set(left_id, right_id, {rank, known(joined)});
}

std::vector<BpeModel::Symbol> BpeModel::symbols_of(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  bool unknown = false;
  const auto add = [&](int32_t id) { symbols.push_back({id, 0, 0, true}); };
  const auto add_unknown = [&] {
    if (unknown) add(unk_);
    unknown = false;
  };
  std::string decorated;
  for (size_t i = 0; i < word.size();) {
    const size_t begin = i;
    i += utf8_length(word[i]);
    const std::string_view character = word.substr(begin, i - begin);
    std::string_view piece = character;
    if ((begin > 0 && !continuing_prefix_.empty()) || (i >= word.size() && !end_suffix_.empty())) {
      decorated = (begin > 0 ? continuing_prefix_ : "") + std::string(character) + (i >= word.size() ? end_suffix_ : "");
      piece = decorated;
    }
    if (const int32_t id = ids_.find(piece); id >= 0) {
      add_unknown();
      add(id);
      continue;
    }
    bool bytes_known = byte_fallback_;
    for (const char byte : piece) bytes_known = bytes_known && byte_ids_[static_cast<unsigned char>(byte)] >= 0;
    if (bytes_known) {
      // A pending unknown stays pending: the reference does so too.
      for (const char byte : piece) add(byte_ids_[static_cast<unsigned char>(byte)]);
      continue;
    }
    if (!fuse_unk_) add_unknown();
    unknown = unk_ >= 0;
  }
  add_unknown();
  const auto count = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    symbols[static_cast<size_t>(i)].previous = i - 1;
    symbols[static_cast<size_t>(i)].next = i + 1 < count ? i + 1 : -1;
  }
  return symbols;
}

void BpeModel::merge_all(std::vector<Symbol>& symbols) const {
  const auto at = [&symbols](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };
  std::vector<Candidate> storage;
  storage.reserve(symbols.size());
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    if (const auto merge = merges_.find(symbols[i].id, symbols[i + 1].id); merge.rank >= 0)
      storage.push_back({merge.rank, static_cast<int32_t>(i), merge.id});
  std::priority_queue<Candidate> queue(std::less<Candidate>{}, std::move(storage));

  const auto push = [&](int32_t left, int32_t right) {
    if (const auto merge = merges_.find(at(left).id, at(right).id); merge.rank >= 0) queue.push({merge.rank, left, merge.id});
  };
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = at(top.position);
    if (!left.alive || left.next < 0) continue;
    Symbol& right = at(left.next);
    // Stale when the pair has changed since. The reference compares what the pair makes, not its rank, and so do we.
    if (const auto merge = merges_.find(left.id, right.id); merge.rank < 0 || merge.id != top.id) continue;
    left.id = top.id;
    left.next = right.next;
    right.alive = false;
    if (right.next >= 0) at(right.next).previous = top.position;
    if (left.previous >= 0) push(left.previous, top.position);
    if (left.next >= 0) push(top.position, left.next);
  }
}

void BpeModel::tokenize(std::string_view word, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const int32_t id = ids_.find(word); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  std::vector<Symbol> symbols = symbols_of(word);
  merge_all(symbols);
  for (const Symbol& symbol : symbols)
    if (symbol.alive) ids.push_back(symbol.id);
}

}  // namespace linea
