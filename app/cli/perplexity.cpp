// linea perplexity: how well a language model foresees a text.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/interrupt.h"
#include "app/cli/lm_options.h"
#include "app/cli/options.h"
#include "app/cli/trace_file.h"

namespace linea::cli {
namespace {

struct PerplexityOptions {
  LanguageModelOptions model;
  std::string file, trace;
  bool tokens = false, json = false;
};

std::vector<int32_t> parse_tokens(const std::string& text, const std::string& source, int64_t vocabulary) {
  const Json json = parse_json(text, source, ErrorKind::kBadFile);
  if (!json.is_array()) throw Error(ErrorKind::kBadFile, source + ": expected a JSON array of token ids");
  std::vector<int32_t> ids;
  for (const Json& entry : json) {
    const int64_t id = entry.is_number_integer() ? entry.get<int64_t>() : -1;
    if (id < 0 || id >= vocabulary) {
      throw Error(ErrorKind::kBadFile,
                  source + ": entry " + std::to_string(ids.size()) + " is no token id from 0 to " + std::to_string(vocabulary - 1));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

// -log p(id) of each row of logits.
class Score {
 public:
  void add(const float* logits, int64_t vocabulary, int32_t id) {
    float largest = logits[0];
    for (int64_t i = 1; i < vocabulary; ++i) largest = std::max(largest, logits[i]);
    double sum = 0;
    for (int64_t i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(logits[i] - largest));
    loss_ += std::log(sum) - static_cast<double>(logits[id] - largest);
    ++count_;
  }
  double loss() const { return loss_; }
  int64_t count() const { return count_; }

 private:
  double loss_ = 0;
  int64_t count_ = 0;
};

// What tells the perplexities of different tokenizers apart: the text's words and bytes.
int64_t count_words(const std::string& text) {
  int64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
    words += !blank && !inside;
    inside = !blank;
  }
  return words;
}

int perplexity(const PerplexityOptions& o) {
  const Device device = o.model.parsed_device();
  const std::optional<DType> dtype = o.model.parsed_dtype();
  const std::filesystem::path path = find_language_model(o.model.model);
  TraceFile trace(o.trace);
  trace.check();
  const std::string text = read_text(o.file);
  LoadedLanguageModel model(path, device, dtype);
  const int64_t vocabulary = model.folder().model->vocabulary_size();
  // Without a start of text in the tokenizer's own template the first token has nothing before it and is not scored.
  const std::vector<int32_t> ids = o.tokens ? parse_tokens(text, o.file, vocabulary) : model.tokenizer().encode(text);
  if (ids.size() < (o.trace.empty() ? 2 : 1)) throw Error(ErrorKind::kBadFile, o.file + ": has fewer than two tokens");

  Tensor all;
  if (trace.enabled()) all = Tensor({static_cast<int64_t>(ids.size()), vocabulary}, DType::kF32);
  const Interruptible interruptible;
  Score score;
  int64_t done = 0;
  Snapshot start = model.runner().start();
  model.runner().score(
      ids, start.state,
      [&](const Tensor& logits) {
        if (all.defined()) {
          std::memcpy(all.data<float>() + done * vocabulary, logits.raw(), static_cast<size_t>(logits.bytes()));
        }
        for (int64_t row = 0; row < logits.dim(0); ++row, ++done) {
          if (done + 1 < static_cast<int64_t>(ids.size()))
            score.add(logits.data<float>() + row * vocabulary, vocabulary, ids[static_cast<size_t>(done + 1)]);
        }
      },
      interruptible.token());
  if (trace.enabled()) trace.keep("logits", all);
  trace.write();

  const double per_token = score.count() > 0 ? score.loss() / static_cast<double>(score.count()) : 0;
  nlohmann::ordered_json result = {
      {"tokens", ids.size()}, {"scored_tokens", score.count()}, {"loss", per_token}, {"perplexity", std::exp(per_token)}};
  if (!o.tokens) {
    const auto words = static_cast<double>(count_words(text)), bytes = static_cast<double>(text.size());
    result["words"] = static_cast<int64_t>(words);
    result["bytes"] = text.size();
    if (words > 0) result["perplexity_per_word"] = std::exp(score.loss() / words);
    result["bits_per_byte"] = score.loss() / std::log(2.0) / bytes;
  }
  if (o.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    std::printf("perplexity %.4f per token (%lld tokens scored)\n", std::exp(per_token), static_cast<long long>(score.count()));
    if (result.contains("perplexity_per_word")) {
      std::printf("perplexity %.4f per word, %.4f bits per byte\n", result["perplexity_per_word"].get<double>(),
                  result["bits_per_byte"].get<double>());
    }
  }
  return 0;
}

}  // namespace

Action add_perplexity(CLI::App& app) {
  CLI::App* command = app.add_subcommand("perplexity", "Measure how well a language model foresees a text");
  const auto o = std::make_shared<PerplexityOptions>();
  command->add_option("file", o->file, "text file; - reads standard input")->required()->type_name("FILE");
  command->add_flag("--tokens", o->tokens, "the file is a JSON array of token ids, not text");
  command->add_flag("--json", o->json, "as JSON");
  command->add_option("--trace", o->trace, "write the logits of every position to DIR/trace.safetensors")->type_name("DIR");
  o->model.add_to(*command);
  command->footer("Example:\n  linea perplexity book.txt --json");
  return [o] { return with_status_of_signals([&] { return perplexity(*o); }); };
}

}  // namespace linea::cli
