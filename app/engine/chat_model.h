// app/engine/chat_model.h: a language model ready to talk: weights, memory to run, vocabulary, chat template, cache.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lm/grammar/matcher.h"
#include "lm/model_folder.h"
#include "lm/session/chat_session.h"

namespace linea {

// A language model by path (a folder or a file of weights), or by the name of a built-in one ("" = the default, RWKV-7). Throws kModel when
// there is none, naming the built-in models.
std::filesystem::path find_language_model(const std::string& name_or_path);

// The weights with the memory to run them: all that reading tokens needs. `dtype` is of activations and matrices (nothing = the device's
// preferred one); e4m3 or a block-quantised type is of matrices alone, which become so while loading. Throws kUsage where the device does
// not multiply those.
class LoadedLanguageModel {
 public:
  LoadedLanguageModel(const std::filesystem::path& path, Device device, std::optional<DType> dtype);

  Runner& runner() { return *runner_; }
  const LanguageModelFolder& folder() const { return folder_; }
  const std::filesystem::path& path() const { return path_; }
  DType dtype() const { return context_.dtype; }
  DType matrix_dtype() const { return matrix_dtype_; }  // asked for; a file of blocks keeps its own
  const Tokenizer& tokenizer() const;                   // throws kModel when there is none

 private:
  std::filesystem::path path_;
  Context context_;
  DType matrix_dtype_;
  LanguageModelFolder folder_;
  std::unique_ptr<Runner> runner_;
};

struct ChatModelOptions {
  Device device = kCpuDevice;
  std::optional<DType> dtype{};        // as LoadedLanguageModel's
  std::string chat_template = "auto";  // the model's own, else what its family uses; or a name of ChatTemplate
  Thinking thinking = Thinking::kOff;
  std::optional<int64_t> cache_bytes{};  // of kept states; by default a GiB, on the CPU about thirty exchanges where that is more
};

class ChatModel {
 public:
  ChatModel(const std::filesystem::path& path, const ChatModelOptions& options);

  ChatSession new_session();
  LoadedLanguageModel& loaded() { return loaded_; }
  Runner& runner() { return loaded_.runner(); }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  const ChatTemplate& chat_template() const { return template_; }
  PrefixCache& cache() { return cache_; }
  // A grammar for answers of this model.
  std::shared_ptr<GrammarMatcher> matcher(Grammar grammar);

 private:
  LoadedLanguageModel loaded_;
  Vocabulary vocabulary_;
  ChatTemplate template_;
  PrefixCache cache_;
  std::shared_ptr<const TokenTrie> trie_;
};

}  // namespace linea
