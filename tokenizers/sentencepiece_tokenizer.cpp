#include "tokenizers/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include "core/error.h"
#include "tokenizers/added_tokens.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

// The byte of a piece such as "<0x0A>".
std::string byte_piece_value(const std::string& piece) { return {static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16))}; }

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::filesystem::path& file, const TokenizerConfig& config) {
    const auto status = model_.Load(file.string());
    if (!status.ok()) throw Error(ErrorKind::kModel, file.string() + ": not a SentencePiece model: " + status.error_message());
    special_ = find_special_ids(config, [this](const std::string& piece) { return id_of(piece); });
    if (config.add_bos.value_or(true) && special_.bos >= 0) template_.prefix = {special_.bos};
    if (config.add_eos.value_or(false) && special_.eos >= 0) template_.suffix = {special_.eos};

    std::vector<AddedToken> tokens;
    for (const int32_t id : {special_.bos, special_.eos, special_.pad, special_.unk})
      if (id >= 0) tokens.push_back({.content = model_.IdToPiece(id), .id = id, .special = true});
    special_tokens_ = std::make_unique<AddedTokenMatcher>(std::move(tokens));
  }

  std::vector<int32_t> encode_without_template(std::string_view bytes) const override {
    const std::string text = valid_utf8(bytes);
    std::vector<int32_t> ids;
    for (const auto& piece : special_tokens_->split(text)) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
        continue;
      }
      std::vector<int> part;
      const auto status = model_.Encode(std::string_view(text).substr(piece.begin, piece.end - piece.begin), &part);
      if (!status.ok()) throw Error(ErrorKind::kInternal, "SentencePiece: " + std::string(status.error_message()));
      ids.insert(ids.end(), part.begin(), part.end());
    }
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    // SentencePiece decodes control pieces to nothing, so to keep them the text around them is decoded apart.
    std::string text;
    std::vector<int> run;
    const auto flush = [&] {
      std::string part;
      if (!run.empty() && model_.Decode(run, &part).ok()) text += part;
      run.clear();
    };
    for (const int32_t id : ids) {
      if (id < 0 || id >= vocabulary_size()) continue;
      if (!model_.IsControl(id) && !model_.IsUnknown(id)) {
        run.push_back(id);
      } else if (!skip_special) {
        flush();
        text += model_.IdToPiece(id);
      }
    }
    flush();
    return text;
  }

  std::string token_bytes(int32_t id) const override {
    if (id < 0 || id >= vocabulary_size() || model_.IsControl(id) || model_.IsUnknown(id)) return {};
    const std::string& piece = model_.IdToPiece(id);
    return model_.IsByte(id) ? byte_piece_value(piece) : replace_all(piece, "\u2581", " ");
  }

  int32_t vocabulary_size() const override { return model_.GetPieceSize(); }

  int32_t id_of(std::string_view piece) const override {
    const int id = model_.PieceToId(piece);
    return model_.IsUnknown(id) && model_.IdToPiece(id) != piece ? -1 : id;  // PieceToId gives unk for what it does not know
  }

 private:
  sentencepiece::SentencePieceProcessor model_;
  std::unique_ptr<AddedTokenMatcher> special_tokens_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file, const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(file, config);
}

}  // namespace linea
