// tokenizers/tokenizer.h: text to token ids and back.
//
// Immutable after loading: any number of threads may use one. Ids equal those of the reference libraries (tokenizers, SentencePiece);
// invalid UTF-8 is read as Python's bytes.decode("utf-8", "replace") reads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linea {

struct SpecialIds {
  int32_t bos = -1, eos = -1, pad = -1, unk = -1;  // -1 = the tokenizer has none
};

// What surrounds every encoded text, e.g. {bos} before it.
struct TextTemplate {
  std::vector<int32_t> prefix, suffix;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of the text within its template. Text such as "<bos>" gives the special token, as in the reference.
  std::vector<int32_t> encode(std::string_view text) const;
  // The same, cut on the right so that the whole has at most `limit` ids; the template stays whole. `cut` tells how many ids were dropped.
  std::vector<int32_t> encode(std::string_view text, size_t limit, size_t& cut) const;
  virtual std::vector<int32_t> encode_without_template(std::string_view text) const = 0;

  // Ids outside the vocabulary are skipped, special tokens too unless asked for.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;

  // What one id adds to a text that is under way, in bytes: byte-level tokens need not be whole characters, so texts that stream are put
  // together from these. Empty for special tokens and for ids outside the vocabulary.
  virtual std::string token_bytes(int32_t id) const = 0;

  virtual int32_t vocabulary_size() const = 0;              // 1 + the largest id
  virtual int32_t id_of(std::string_view piece) const = 0;  // -1 when absent
  const SpecialIds& special() const { return special_; }
  const TextTemplate& text_template() const { return template_; }

 protected:
  SpecialIds special_;
  TextTemplate template_;
};

// Reads `folder`/tokenizer.json (Hugging Face tokenizers: BPE), or else vocab.json with merges.txt (GPT-2's form of it), or else
// tokenizer.model (SentencePiece), or else the vocabulary of RWKV World, *vocab*.txt; tokenizer_config.json and special_tokens_map.json,
// where present, name the special tokens. Throws kModel naming the file and what is missing, wrong or unsupported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);
std::unique_ptr<Tokenizer> find_tokenizer(const std::filesystem::path& folder);  // null when the folder has none
// The first file by name that is called *vocab*.txt, such as rwkv_vocab_v20230424.txt; empty when there is none.
std::filesystem::path world_vocabulary(const std::filesystem::path& folder);

}  // namespace linea
