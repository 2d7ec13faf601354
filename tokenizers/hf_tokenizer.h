// tokenizers/hf_tokenizer.h: tokenizer.json of Hugging Face's `tokenizers`, with a BPE model.
//
// text → added tokens as they stand → normalizer → added tokens of the normalized text → pre-tokenizer → BPE → template.
// Another model (byte-level BPE needs only a pre-tokenizer and a decoder step more) joins at the pre-tokenizer and the model.
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

  std::vector<int32_t> encode_without_template(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  int32_t vocabulary_size() const override { return vocabulary_size_; }
  int32_t id_of(std::string_view piece) const override;

 private:
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

std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::filesystem::path& file, const TokenizerConfig& config);

}  // namespace linea
