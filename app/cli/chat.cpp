// linea chat: a conversation with a recurrent language model.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "app/cli/chat_shell.h"
#include "app/cli/commands.h"
#include "app/cli/interrupt.h"
#include "app/cli/lm_options.h"
#include "app/cli/options.h"
#include "core/atomic_file.h"

namespace linea::cli {
namespace {

constexpr const char* kChatExamples =
    R"(Without -p, messages are typed one after the other (/help lists what else can be done); where standard input is a file or a
pipe, it is the message.
Examples:
  linea chat
  linea chat -p "What is the capital of France?"
  linea chat --read report.txt -p "What does it say about rivers?" --twice
  linea chat --state talk.linea                        # goes on where it was left
  linea chat -p "Three colours, please." --json-schema '{"type":"array","items":{"type":"string"},"minItems":3,"maxItems":3}')";

struct ChatOptions {
  LanguageModelOptions model;
  SamplingFlags sampling;
  ConstraintFlags constraint;
  LengthFlags length;
  std::string message, system, state, chat_template = "auto", thinking = "off", cache = "auto";
  std::vector<std::string> documents;
  bool twice = false, json = false, interactive = false;
};

Thinking parse_thinking(const std::string& name) { return static_cast<Thinking>(parse_choice("--think", name, {"off", "on", "fake"})); }

ChatSettings settings_of(const ChatOptions& o) {
  ChatSettings settings;
  settings.generation.sampling = o.sampling.parse();
  settings.generation.max_tokens = o.length.parsed_max_tokens();
  settings.generation.stops = o.length.stops;
  settings.grammar = o.constraint.parse();
  settings.state_file = o.state;
  settings.twice = o.twice;
  settings.json = o.json;
  settings.quiet = o.model.quiet;
  if (!o.state.empty()) check_output_path(o.state);
  return settings;
}

ChatModelOptions model_options_of(const ChatOptions& o) {
  ChatModelOptions options;
  options.device = o.model.parsed_device();
  options.dtype = o.model.parsed_dtype();
  options.chat_template = o.chat_template;
  if (o.chat_template != "auto") parse_choice("--template", o.chat_template, ChatTemplate::names());
  options.thinking = parse_thinking(o.thinking);
  if (o.cache != "auto") options.cache_bytes = parse_integer("--cache", o.cache, 0, int64_t{1} << 30) << 20;
  return options;
}

std::string trimmed_end(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

int chat(const ChatOptions& o, bool has_message) {
  ChatSettings settings = settings_of(o);
  const bool from_pipe = !has_message && !o.interactive && isatty(STDIN_FILENO) == 0;
  const ChatModelOptions model_options = model_options_of(o);
  const std::filesystem::path path = find_language_model(o.model.model);
  const std::string message = has_message ? o.message : from_pipe ? trimmed_end(read_text("-")) : "";
  const bool one_shot = has_message || from_pipe;
  if (one_shot && message.find_first_not_of(" \t\r\n") == std::string::npos)
    throw Error(ErrorKind::kUsage, "the message is empty", "say something");
  ChatModel model(path, model_options);
  o.sampling.check_bias(model.vocabulary().size());
  ChatShell shell(model, std::move(settings));
  shell.restore();
  if (!o.system.empty()) shell.set_system(checked_text("--system", o.system));
  for (const std::string& document : o.documents) shell.read_file(document);
  bool complete = true;
  if (one_shot) {
    complete = shell.exchange(message);
  } else {
    shell.interact();
  }
  return complete ? 0 : 130;
}

}  // namespace

Action add_chat(CLI::App& app) {
  CLI::App* command = app.add_subcommand("chat", "Talk with a recurrent language model");
  const auto o = std::make_shared<ChatOptions>();
  CLI::Option* message = command->add_option("-p,--prompt", o->message, "one message: print the answer and end")->type_name("TEXT");
  command->add_option("--system", o->system, "what the model is told first")->type_name("TEXT");
  command->add_option("--state", o->state, "file in which the conversation is kept, with its states")->type_name("FILE");
  command->add_option("--read", o->documents, "text file to read before the first message; may be repeated")->type_name("FILE");
  command->add_flag("--twice", o->twice, "give documents and messages to the model two times, so that it knows what to keep");
  command->add_option("--template", o->chat_template, "auto (the model's), world, g1 or chatml")->type_name("NAME");
  command->add_option("--think", o->thinking, "of g1: on opens a thought, fake an empty one")->type_name("off|on|fake");
  command->add_option("--cache", o->cache, "MiB for kept states, or auto: about thirty exchanges")->type_name("MIB");
  command->add_flag("-i,--interactive", o->interactive, "read messages line by line even where standard input is no terminal");
  command->add_flag("--json", o->json, "print each answer as a line of JSON");
  o->length.add_to(*command);
  o->constraint.add_to(*command);
  o->sampling.add_to(*command);
  o->model.add_to(*command);
  command->footer(kChatExamples);
  return [o, message] { return with_status_of_signals([&] { return chat(*o, message->count() > 0); }); };
}

}  // namespace linea::cli
