#include "app/cli/commands.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "app/cli/options.h"
#include "app/cli/signals.h"
#include "app/cli/suggest.h"
#include "cmake/version.h"

namespace linea::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  linea generate "a red apple on a blue background" -o apple.png
  linea chat -p "What is the capital of France?"
  linea batch prompts.txt -o pictures/
  linea studio
  linea COMMAND --help)";

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(command->get_name());
  return names;
}

// What the parser's complaint means to a person, with the nearest name that exists.
int explain(const CLI::App& app, const CLI::ParseError& error, int argc, const char* const* argv) {
  const std::vector<CLI::App*> chosen = const_cast<CLI::App&>(app).get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::vector<std::string> names = option_names(command);
  if (chosen.empty()) {
    const std::string word = argc > 1 ? argv[1] : "";
    if (word.empty()) {
      std::fputs(app.help().c_str(), stderr);
      return 2;
    }
    const std::string nearest = nearest_word(word, word[0] == '-' ? names : command_names(app));
    print_error((word[0] == '-' ? "unknown option '" : "unknown command '") + word + "'" +
                    (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"),
                "see linea --help");
    return 2;
  }
  const std::string help = "see linea " + command.get_name() + " --help";
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
    for (const std::string& word : command.remaining(true)) {
      if (word.size() < 2 || word[0] != '-') {
        print_error("unexpected argument '" + word + "'", "put a prompt of several words in quotes; " + help);
        return 2;
      }
      const std::string nearest = nearest_word(word.substr(0, word.find('=')), names);
      print_error("unknown option '" + word + "'" + (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"), help);
      return 2;
    }
  }
  const std::string complaint = error.what();
  const bool repeated = dynamic_cast<const CLI::ArgumentMismatch*>(&error) && complaint.find("At Most 1") != std::string::npos;
  print_error(repeated ? complaint.substr(0, complaint.find(':')) + ": given more than once" : complaint, help);
  return 2;
}

// What was printed has been taken, too: a full disk behind standard output is a failure as any other.
int with_output_kept(int status) {
  errno = 0;
  if ((std::fflush(stdout) == 0 && std::ferror(stdout) == 0) || status != 0) return status;
  print_error(std::string("standard output: cannot write: ") + (errno != 0 ? std::strerror(errno) : "an earlier write failed"));
  return exit_code(ErrorKind::kIo);
}

}  // namespace

int run(int argc, const char* const* argv) {
  CLI::App app{"Linea renders pictures with linear diffusion transformers and chats with recurrent language models, on this machine."};
  app.name("linea");
  app.set_version_flag("--version", std::string("linea ") + kVersion + (*kCommit ? std::string(" (") + kCommit + ")" : ""));
  app.footer(kExamples);
  app.require_subcommand(1);
  const Action actions[] = {add_generate(app), add_chat(app),        add_complete(app), add_perplexity(app), add_batch(app),
                            add_verify(app),   add_reconstruct(app), add_info(app),     add_plan(app),       add_bench(app),
                            add_convert(app),  add_doctor(app),      add_studio(app)};
  try {
    app.parse(argc, const_cast<char**>(argv));
  } catch (const CLI::Success& success) {  // --help, --version
    return with_output_kept(app.exit(success));
  } catch (const CLI::ParseError& error) {
    return explain(app, error, argc, argv);
  }

  try {
    const std::string chosen = app.get_subcommands().front()->get_name();
    const std::vector<std::string> names = command_names(app);
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == chosen) return with_output_kept(actions[i]());
    }
    return 1;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) return cancelled_status();
    print_error(error.what(), error.hint());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    print_error("out of memory", "try a smaller --size");
    return exit_code(ErrorKind::kMemory);
  } catch (const std::exception& error) {
    print_error(std::string("internal error: ") + error.what());
    return exit_code(ErrorKind::kInternal);
  }
}

}  // namespace linea::cli
