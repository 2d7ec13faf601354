#include "app/engine/chat_model.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "app/engine/model_folders.h"
#include "core/cache_folder.h"
#include "kernels/backend.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultFamily = "rwkv7";  // in the name of the default built-in model

// Folders of built-in models that hold a language model, the default first.
std::vector<fs::path> built_in_models() {
  std::vector<fs::path> folders;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(assets_folder() / "models", ignored)) {
    for (const fs::directory_entry& file : fs::directory_iterator(entry.path(), ignored)) {
      if (file.path().extension() != ".gguf") continue;
      folders.push_back(entry.path());
      break;
    }
  }
  std::sort(folders.begin(), folders.end(), [](const fs::path& a, const fs::path& b) {
    const auto rank = [](const fs::path& p) { return std::pair(p.filename().string().find(kDefaultFamily) == std::string::npos, p); };
    return rank(a) < rank(b);
  });
  return folders;
}

Context context_for(Device device, std::optional<DType> dtype) {
  Context context;
  context.backend = &backend_of(device);
  context.fp8 = dtype == DType::kF8E4M3;
  if (context.fp8 && !context.backend->multiplies_fp8()) {
    throw Error(ErrorKind::kUsage, "--dtype fp8: " + device.name() + " does not multiply FP8 matrices", "choose int8 or int4");
  }
  const bool only_matrices = dtype && (context.fp8 || is_quantized(*dtype));
  context.dtype = dtype && !only_matrices ? *dtype : context.backend->preferred_dtype();
  return context;
}

// A GPU's matrix products want many rows.
Runner::Limits limits_for(Device device) {
  if (device.is_cpu()) return {};
  return {.memory = int64_t{1} << 30, .longest_piece = 2048};
}

// Undo and branch need no reading as far back as states are kept: two for each exchange. At most a quarter of the memory.
int64_t usual_cache_bytes(Runner& runner, Device device) {
  constexpr int64_t kLeast = int64_t{1} << 30, kStates = 64;
  if (!device.is_cpu()) return kLeast;
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return std::max(kLeast, std::min(kStates * runner.start().bytes(), memory / 4));
}

// On a GPU, states are kept in its memory alone.
std::unique_ptr<StateShelf> shelf_for(Device device) {
  constexpr int64_t kMost = int64_t{16} << 30;
  if (!device.is_cpu()) return nullptr;
  const fs::path folder = cache_folder();
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return nullptr;
  return std::make_unique<StateShelf>(folder, std::min(kMost, static_cast<int64_t>(space.available / 4)));
}

std::string piece_of(const Tokenizer& tokenizer, int32_t id) { return id < 0 ? "" : tokenizer.decode({&id, 1}, false); }

ChatTemplate choose_template(const LanguageModelFolder& folder, const fs::path& path, const ChatModelOptions& options) {
  if (options.chat_template != "auto") return ChatTemplate::named(options.chat_template, options.thinking);
  // A converter's makeshift name is no template.
  if (folder.chat_template.find("{%") != std::string::npos || folder.chat_template.find("{{") != std::string::npos) {
    if (options.thinking != Thinking::kOff) throw Error(ErrorKind::kUsage, "the model's own chat template has no form for thinking");
    const SpecialIds& special = folder.tokenizer->special();
    return ChatTemplate::jinja(folder.chat_template, path.string() + ": chat template", piece_of(*folder.tokenizer, special.bos),
                               piece_of(*folder.tokenizer, special.eos));
  }
  return ChatTemplate::named(folder.family == "rwkv7" ? "g1" : "world", options.thinking);
}

}  // namespace

fs::path find_language_model(const std::string& name_or_path) {
  const std::vector<fs::path> built_in = built_in_models();
  std::string names;
  for (const fs::path& folder : built_in) names += (names.empty() ? "" : ", ") + folder.filename().string();
  if (name_or_path.empty()) {
    if (built_in.empty())
      throw Error(ErrorKind::kModel, "there is no built-in language model in " + (assets_folder() / "models").string(), "give --model");
    return built_in.front();
  }
  std::error_code error;
  if (fs::exists(name_or_path, error)) return name_or_path;
  for (const fs::path& folder : built_in) {
    if (folder.filename() == name_or_path) return folder;
  }
  throw Error(ErrorKind::kModel, name_or_path + ": no such file or folder",
              "give a folder, .safetensors, .pth or .gguf file, or a built-in model: " + (names.empty() ? "none" : names));
}

LoadedLanguageModel::LoadedLanguageModel(const fs::path& path, Device device, std::optional<DType> dtype)
    : path_(path), context_(context_for(device, dtype)), matrix_dtype_(dtype.value_or(context_.dtype)) {
  Arena arena(device, int64_t{64} << 20);  // for loading alone: the runner brings its own
  context_.arena = &arena;
  folder_ = open_language_model(context_, path, {.quantize = is_quantized(matrix_dtype_) ? dtype : std::nullopt});
  context_.arena = nullptr;
  runner_ = std::make_unique<Runner>(*folder_.model, context_, limits_for(device));
}

const Tokenizer& LoadedLanguageModel::tokenizer() const {
  if (!folder_.tokenizer) {
    throw Error(ErrorKind::kModel, path_.string() + ": there is no tokenizer beside the model",
                "put tokenizer.json or the vocabulary of RWKV World beside it");
  }
  return *folder_.tokenizer;
}

ChatModel::ChatModel(const fs::path& path, const ChatModelOptions& options)
    : loaded_(path, options.device, options.dtype),
      vocabulary_(loaded_.tokenizer(), loaded_.folder().model->vocabulary_size(), loaded_.folder().stop_ids),
      template_(choose_template(loaded_.folder(), path, options)),
      cache_(options.cache_bytes.value_or(usual_cache_bytes(loaded_.runner(), options.device)), shelf_for(options.device)) {
  for (const std::string& piece : template_.end_pieces()) vocabulary_.add_end(piece);
}

ChatSession ChatModel::new_session() {
  return ChatSession({&loaded_.runner(), &vocabulary_, &template_, &cache_, loaded_.folder().content_hash});
}

std::shared_ptr<GrammarMatcher> ChatModel::matcher(Grammar grammar) {
  if (!trie_) trie_ = std::make_shared<const TokenTrie>(vocabulary_);
  return std::make_shared<GrammarMatcher>(std::move(grammar), vocabulary_, trie_);
}

}  // namespace linea
