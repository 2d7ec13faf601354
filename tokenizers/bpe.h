// tokenizers/bpe.h: the "BPE" model of Hugging Face tokenizers, with byte fallback.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "tokenizers/flat_map.h"

namespace linea {

// A vocabulary that is no JSON: GGUF's, or that of vocab.json and merges.txt.
struct BpeTable {
  std::vector<std::string> pieces;  // by id; empty = none
  std::vector<std::string> merges;  // "a b" in order of rank
  // Instead of merges, SentencePiece's rule: two neighbours merge where that gives a piece, the one of highest score first.
  std::vector<float> scores;  // by id
};

class BpeModel {
 public:
  BpeModel(const Config& options, const BpeTable& table);
  // `options` is the file's "model" without its two large members, whose raw JSON is `vocab` ({"piece": id, …}) and `merges` (["a b", …] or
  // [["a", "b"], …], in order of rank). Throws kModel.
  BpeModel(const Config& options, std::string_view vocab, std::string_view merges);
  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  // Appends the ids of one word of valid UTF-8: its characters, merged in order of rank, leftmost first.
  void tokenize(std::string_view word, std::vector<int32_t>& ids) const;

  int32_t id_of(std::string_view piece) const { return ids_.find(piece); }  // -1 when absent
  std::string_view piece(int32_t id) const;                                 // empty when absent
  int32_t size() const { return static_cast<int32_t>(pieces_.size()); }     // 1 + the largest id

 private:
  struct Symbol {
    int32_t id, previous, next;
    bool alive;
  };

  void read_options(const Config& options);
  void finish(const Config& options);  // once pieces and merges are known
  void check_pieces(const std::string& source) const;
  void add_pieces(const std::vector<std::string>& pieces, const std::string& source);
  void add_merges_by_score(const std::vector<float>& scores);
  void read_vocab(std::string_view vocab, const std::string& source);
  void read_merges(std::string_view merges, const std::string& source);
  void add_merge(std::string_view left, std::string_view right, int32_t rank, std::string& joined, const std::string& source);
  void add_merge(std::string_view line, int32_t rank, std::string& joined, const std::string& source);  // "a b"
  std::vector<Symbol> symbols_of(std::string_view word) const;
  void merge_all(std::vector<Symbol>& symbols) const;

  std::string text_;                      // all pieces, one after the other
  std::vector<std::string_view> pieces_;  // by id
  PieceMap ids_;
  MergeMap merges_;
  int32_t byte_ids_[256];  // of <0x00> … <0xFF>, -1 when absent
  int32_t unk_ = -1;
  bool byte_fallback_ = false, fuse_unk_ = false, ignore_merges_ = false;
  std::string continuing_prefix_, end_suffix_;
};

}  // namespace linea
