#include "app/cli/chat_shell.h"

#include <unistd.h>

#include <cstdio>

#include "app/cli/interrupt.h"
#include "app/cli/line_input.h"
#include "app/cli/options.h"
#include "app/cli/progress_view.h"
#include "app/cli/suggest.h"
#include "core/text.h"
#include "lm/session/document.h"

namespace linea::cli {
namespace {

constexpr int64_t kMostStateBytes = int64_t{256} << 20;  // of states in a saved conversation

// An answer begins and ends with spaces and line breaks that belong to the template, not to the text: they wait for what follows.
class AnswerPrinter {
 public:
  void operator()(const std::string& text) {
    waiting_ += text;
    const size_t begin = started_ ? 0 : waiting_.find_first_not_of(" \n"), last = waiting_.find_last_not_of(" \n");
    if (last == std::string::npos) return;
    started_ = true;
    std::fwrite(waiting_.data() + begin, 1, last + 1 - begin, stdout);
    std::fflush(stdout);
    waiting_.erase(0, last + 1);
  }

 private:
  bool started_ = false;
  std::string waiting_;
};

ProgressStyle reading_style(bool quiet) { return !quiet && isatty(STDERR_FILENO) ? ProgressStyle::kBar : ProgressStyle::kNone; }

void note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

}  // namespace

struct ChatShell::Command {
  const char* name;
  const char* arguments;
  const char* help;
  void (*run)(ChatShell&, const std::string& argument);
};

const std::vector<ChatShell::Command>& ChatShell::commands() {
  static const std::vector<Command> kCommands = {
      {"help", "", "this list", [](ChatShell& s, const std::string&) { s.print_help(); }},
      {"list", "", "the messages of this branch with their numbers", [](ChatShell& s, const std::string&) { s.print_conversation(); }},
      {"regen", "", "another answer to the last message", [](ChatShell& s, const std::string&) { s.print_answer(true); }},
      {"undo", "", "take back the last exchange or change",
       [](ChatShell& s, const std::string&) { note(s.session_.undo() ? "undone" : "there is nothing to undo"); }},
      {"redo", "", "take back an undo",
       [](ChatShell& s, const std::string&) { note(s.session_.redo() ? "redone" : "there is nothing to redo"); }},
      {"branch", "[N]", "go on after message N (0 = from the start) in a new branch",
       [](ChatShell& s, const std::string& a) { s.command_branch(a); }},
      {"edit", "N TEXT", "change message N; what follows it is kept and read again",
       [](ChatShell& s, const std::string& a) { s.command_edit(a); }},
      {"system", "[TEXT]", "change or drop the system prompt", [](ChatShell& s, const std::string& a) { s.command_system(a); }},
      {"read", "FILE", "read a text file, of any length, before the next message",
       [](ChatShell& s, const std::string& a) { s.read_file(a); }},
      {"save", "[FILE]", "save the conversation with its states", [](ChatShell& s, const std::string& a) { s.command_save(a); }},
      {"load", "FILE", "go on with a saved conversation", [](ChatShell& s, const std::string& a) { s.command_load(a); }},
      {"stats", "", "tokens, times and sizes", [](ChatShell& s, const std::string&) { s.print_stats(); }},
      {"quit", "", "end (so does Ctrl-D)", [](ChatShell& s, const std::string&) { s.done_ = true; }}};
  return kCommands;
}

ChatShell::ChatShell(ChatModel& model, ChatSettings settings)
    : model_(model), settings_(std::move(settings)), session_(model.new_session()) {
  if (settings_.grammar) matcher_ = model_.matcher(*settings_.grammar);
}

void ChatShell::restore() {
  std::error_code ignored;
  if (!settings_.state_file.empty() && std::filesystem::exists(settings_.state_file, ignored)) session_.load(settings_.state_file);
}

void ChatShell::save_state() {
  if (!settings_.state_file.empty()) session_.save(settings_.state_file, kMostStateBytes);
}

void ChatShell::read_file(const std::string& path) {
  if (path.empty()) throw Error(ErrorKind::kUsage, "/read needs a file");
  ProgressView view(reading_style(settings_.quiet));
  const Interruptible interruptible;
  ChatSession::Callbacks callbacks;
  callbacks.cancel_reading = interruptible.token();
  callbacks.progress = [&](const Progress& p) { view.show(p); };
  session_.read_document(open_document(path, settings_.twice), callbacks);
  view.clear();
}

bool ChatShell::exchange(const std::string& message) {
  session_.say(checked_text("the message", message), settings_.twice);
  try {
    print_answer(false);
  } catch (const Error&) {
    session_.conversation().undo();
    throw;
  }
  return last_->generation.end != GenerationEnd::kCancelled;
}

void ChatShell::print_answer(bool again) {
  GenerationOptions options = settings_.generation;
  options.sampling.seed += answers_++;
  std::optional<GrammarConstraint> constraint;
  if (matcher_) options.constraint = &constraint.emplace(matcher_, options.max_tokens);
  ProgressView view(reading_style(settings_.quiet));
  {
    const Interruptible interruptible;
    AnswerPrinter printer;
    ChatSession::Callbacks callbacks;
    callbacks.cancel_reading = callbacks.cancel_answer = interruptible.token();
    callbacks.progress = [&](const Progress& p) { view.show(p); };
    if (!settings_.json) {
      callbacks.text = [&](const std::string& text) {
        view.clear();
        printer(text);
      };
    }
    last_ = again ? session_.answer_again(options, callbacks) : session_.answer(options, callbacks);
  }
  view.clear();
  if (settings_.json) {
    print_json(*last_);
  } else {
    std::fputs("\n", stdout);
    std::fflush(stdout);
  }
  if (last_->generation.end == GenerationEnd::kLength && matcher_)
    print_warning("the answer ends before the grammar does: raise --max-tokens");
  save_state();
}

void ChatShell::print_json(const ChatSession::Answer& a) const {
  const Generation& g = a.generation;
  const nlohmann::ordered_json line = {{"text", a.text},
                                       {"end", name_of(g.end)},
                                       {"tokens", g.drawn},
                                       {"read_tokens", a.read},
                                       {"kept_tokens", a.reused},
                                       {"read_seconds", a.read_seconds},
                                       {"answer_seconds", g.seconds},
                                       {"tokens_per_second", g.seconds > 0 ? static_cast<double>(g.drawn) / g.seconds : 0}};
  std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

void ChatShell::print_stats() const {
  if (last_) {
    const Generation& g = last_->generation;
    std::fprintf(stderr,
                 "last answer: %lld tokens in %.2f s, %.1f tokens/s; before it %lld tokens read in %.2f s, %lld taken from kept states\n",
                 static_cast<long long>(g.drawn), g.seconds, g.seconds > 0 ? static_cast<double>(g.drawn) / g.seconds : 0,
                 static_cast<long long>(last_->read), last_->read_seconds, static_cast<long long>(last_->reused));
  }
  Runner& runner = model_.runner();
  std::fprintf(stderr, "conversation: %zu messages, %zu in this branch; a state has %.2f MB, %zu are kept with %.1f MB\n",
               session_.conversation().nodes().size(), session_.conversation().path().size(),
               1e-6 * static_cast<double>(runner.start().state.bytes()), model_.cache().size(),
               1e-6 * static_cast<double>(model_.cache().bytes()));
  std::fprintf(stderr, "model: %s, %lld layers, %lld tokens, template %s, memory to run %.0f MB\n", model_.loaded().folder().family.c_str(),
               static_cast<long long>(runner.model().layers()), static_cast<long long>(runner.model().vocabulary_size()),
               model_.chat_template().name().c_str(), 1e-6 * static_cast<double>(runner.memory()));
}

void ChatShell::print_conversation() const {
  const Conversation& conversation = session_.conversation();
  size_t number = 0;
  for (const int index : conversation.path()) {
    const MessageNode& node = conversation.nodes()[static_cast<size_t>(index)];
    std::string text;
    for (const Document& d : node.documents) text += "[" + d.path + "] ";
    text += node.text;
    for (char& c : text) c = c == '\n' ? ' ' : c;
    const size_t siblings = conversation.children(node.parent).size();
    std::printf("%zu %s: %s%s\n", ++number, name_of(node.role), printable(text, 100).c_str(),
                siblings > 1 ? (" (" + std::to_string(siblings) + " branches here)").c_str() : "");
  }
  std::fflush(stdout);
}

void ChatShell::print_help() const {
  for (const Command& c : commands()) {
    std::printf("  %-18s %s\n", (std::string("/") + c.name + (*c.arguments ? " " : "") + c.arguments).c_str(), c.help);
  }
  std::printf(
      "A backslash at the end of a line goes on in the next; \"\"\" alone opens and closes a text of several lines.\n"
      "Ctrl-C stops an answer, or drops the line; twice on an empty line, or Ctrl-D, ends.\n");
  std::fflush(stdout);
}

size_t ChatShell::message_number(const std::string& text) const {
  return static_cast<size_t>(parse_integer("message number", text, 0, static_cast<int64_t>(session_.conversation().path().size())));
}

void ChatShell::command_save(const std::string& argument) {
  if (argument.empty() && settings_.state_file.empty()) throw Error(ErrorKind::kUsage, "/save needs a file");
  const std::string& file = argument.empty() ? settings_.state_file : argument;
  session_.save(file, kMostStateBytes);
  note("saved in " + file);
}

void ChatShell::command_load(const std::string& argument) {
  if (argument.empty()) throw Error(ErrorKind::kUsage, "/load needs a file");
  session_.load(argument);
  print_conversation();
}

void ChatShell::command_branch(const std::string& argument) {
  const std::vector<int> path = session_.conversation().path();
  const size_t number = argument.empty() ? path.size() : message_number(argument);
  session_.conversation().move_to(number == 0 ? Conversation::kRoot : path[number - 1]);
  print_conversation();
}

// Where nothing but the answer to it follows, the answer is made anew.
void ChatShell::command_edit(const std::string& argument) {
  const size_t space = argument.find(' ');
  if (space == std::string::npos) throw Error(ErrorKind::kUsage, "/edit needs a number and the new text", "see /list");
  const size_t number = message_number(argument.substr(0, space));
  if (number == 0) throw Error(ErrorKind::kUsage, "messages are numbered from 1", "see /list");
  Conversation& conversation = session_.conversation();
  const std::vector<int> path = conversation.path();
  const bool is_last_question =
      conversation.nodes()[static_cast<size_t>(path[number - 1])].role == Role::kUser && number + 1 >= path.size();
  conversation.edit(number - 1, argument.substr(space + 1), !is_last_question);
  is_last_question ? print_answer(false) : note("changed; what follows is read again with your next message");
}

void ChatShell::command_system(const std::string& argument) {
  set_system(argument);
  note(argument.empty() ? "no system prompt now" : "the system prompt is changed");
}

void ChatShell::run_command(const std::string& line) {
  const size_t space = std::min(line.find_first_of(" \n"), line.size());
  const std::string name = line.substr(1, space - 1);
  std::string argument = line.substr(std::min(space + 1, line.size()));
  argument.erase(0, std::min(argument.find_first_not_of(' '), argument.size()));
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (name == command.name) return command.run(*this, argument);
    names.emplace_back(command.name);
  }
  const std::string nearest = nearest_word(name, names);
  throw Error(ErrorKind::kUsage, "unknown command /" + printable(name, 40) + (nearest.empty() ? "" : "; did you mean /" + nearest + "?"),
              "see /help");
}

void ChatShell::interact() {
  LineInput input;
  while (!done_ && !terminated()) {
    const std::optional<std::string> message = input.read_message("> ");
    if (!message) break;
    if (message->find_first_not_of(" \t\n") == std::string::npos) continue;
    try {
      if (message->starts_with('/')) {
        run_command(*message);
      } else {
        exchange(*message);
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInternal) throw;
      print_error(error.what(), error.hint());
    }
  }
  save_state();
}

}  // namespace linea::cli
