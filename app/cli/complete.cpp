// linea complete: a text goes on, without any chat template.
#include <cstdio>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/interrupt.h"
#include "app/cli/lm_options.h"
#include "app/cli/options.h"
#include "core/text.h"

namespace linea::cli {
namespace {

struct CompleteOptions {
  LanguageModelOptions model;
  SamplingFlags sampling;
  ConstraintFlags constraint;
  LengthFlags length;
  std::string text;
  bool json = false, echo = false;
};

int complete(const CompleteOptions& o) {
  GenerationOptions options;
  options.sampling = o.sampling.parse();
  options.max_tokens = o.length.parsed_max_tokens();
  options.stops = o.length.stops;
  const std::optional<Grammar> grammar = o.constraint.parse();
  ChatModelOptions model_options;
  model_options.device = o.model.parsed_device();
  model_options.dtype = o.model.parsed_dtype();
  model_options.chat_template = "world";  // not used
  const std::filesystem::path path = find_language_model(o.model.model);
  const std::string text = checked_text("the text", o.text == "-" ? read_text("-") : o.text);
  ChatModel model(path, model_options);
  o.sampling.check_bias(model.vocabulary().size());
  const std::vector<int32_t> ids = model.vocabulary().tokenizer().encode(text);
  if (ids.empty()) throw Error(ErrorKind::kUsage, "the text is empty", "give at least one token to go on from");

  const Interruptible interruptible;
  Runner& runner = model.runner();
  Snapshot snapshot = runner.start();
  runner.read(ids, snapshot, {}, interruptible.token());
  std::optional<GrammarConstraint> constraint;
  if (grammar) options.constraint = &constraint.emplace(model.matcher(*grammar), options.max_tokens);
  if (o.echo && !o.json) std::fputs(to_valid_utf8(text).c_str(), stdout);
  const auto print = [&](const std::string& piece) {
    if (o.json) return;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  };
  const Generation g = generate(runner, model.vocabulary(), snapshot, options, print, interruptible.token(), ids);
  if (o.json) {
    const nlohmann::ordered_json line = {{"text", g.text},
                                         {"end", name_of(g.end)},
                                         {"ids", g.tokens},
                                         {"tokens", g.drawn},
                                         {"read_tokens", ids.size()},
                                         {"answer_seconds", g.seconds},
                                         {"tokens_per_second", g.seconds > 0 ? static_cast<double>(g.drawn) / g.seconds : 0}};
    std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::fputs("\n", stdout);
  }
  return g.end == GenerationEnd::kCancelled ? 130 : 0;
}

}  // namespace

Action add_complete(CLI::App& app) {
  CLI::App* command = app.add_subcommand("complete", "Let a language model go on with a text");
  const auto o = std::make_shared<CompleteOptions>();
  command->add_option("text", o->text, "the beginning; - reads it from standard input")->required()->type_name("TEXT");
  command->add_flag("--echo", o->echo, "print the beginning too");
  command->add_flag("--json", o->json, "print one line of JSON");
  o->length.add_to(*command);
  o->constraint.add_to(*command);
  o->sampling.add_to(*command);
  o->model.add_to(*command);
  command->footer("Example:\n  linea complete \"Once upon a time\" -n 100 --seed 7");
  return [o] { return with_status_of_signals([&] { return complete(*o); }); };
}

}  // namespace linea::cli
