// tokenizers/hf_tokenizer.h: tokenizer.json of Hugging Face's `tokenizers`, with a BPE model.
//
// text → added tokens as they stand → normalizer → added tokens of the normalized text → pre-tokenizer → BPE → template.
#pragma once

#include <memory>
#include <unordered_map>

#include "tokenizers/added_tokens.h"
#include "tokenizers/bpe.h"
#include "tokenizers/decoder.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/pre_tokenizer.h"
#include "tokenizers/tokenizer.h"
#include "tokenizers/tokenizer_config.h"

namespace linea {

class HfTokenizer final : public Tokenizer {
 public:
  // `file` is the document without model.vocab and model.merges, whose raw JSON comes beside it; `source` names it in messages.
  HfTokenizer(const Json& file, std::string_view vocab, std::string_view merges, const TokenizerConfig& config, const std::string& source);
  // The same document with a vocabulary that came from elsewhere.
  HfTokenizer(const Json& file, const BpeTable& table, const TokenizerConfig& config, const std::string& source);

  std::vector<int32_t> encode_without_template(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  std::string token_bytes(int32_t id) const override;
  int32_t vocabulary_size() const override { return vocabulary_size_; }
  int32_t id_of(std::string_view piece) const override;

 private:
  void finish(const Json& file, const TokenizerConfig& config, const std::string& source);
  void read_added_tokens(const Json& file, const std::string& source);
  void read_template(const Json& json, const std::string& source);
  void encode_normalized(std::string_view text, bool at_start, std::vector<int32_t>& ids) const;

  BpeModel model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  std::unordered_map<int32_t, AddedToken> added_;  // by id
  std::unordered_map<std::string, int32_t> added_ids_;
  std::unique_ptr<AddedTokenMatcher> raw_tokens_, normalized_tokens_;
  int32_t vocabulary_size_ = 0;
};

// GPT-2's older form: folder/vocab.json and merges.txt, with the tokens of added_tokens.json and tokenizer_config.json.
std::unique_ptr<Tokenizer> load_vocab_and_merges(const std::filesystem::path& folder, const TokenizerConfig& config);
Json vocab_and_merges_document(const std::filesystem::path& folder, const TokenizerConfig& config);  // the same as one tokenizer.json
std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::filesystem::path& file, const TokenizerConfig& config);

}  // namespace linea
