#include <sys/mman.h>
#include <unistd.h>

#include "lm/load.h"
#include "lm/session/chat_session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lm/piece_tokenizer.h"
#include "tests/support/golden.h"

namespace {

using namespace linea;

// What a file of a conversation is read for: the smallest model of the tests.
struct Model {
  test::TestContext context;
  std::unique_ptr<LanguageModel> model =
      load_language_model(*context, Checkpoint::open_folder(test::data_path("lm/rwkv4"), "model"), test::data_path("lm/rwkv4/config.json"));
  Runner runner{*model, *context};
  test::PieceTokenizer tokenizer = test::PieceTokenizer::json();
  Vocabulary vocabulary{tokenizer, 61, {0}};
  ChatTemplate chat_template = ChatTemplate::named("world");
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Model model;
  static const int file = memfd_create("input", MFD_CLOEXEC);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  return fuzz::run([&] {
    PrefixCache cache(1 << 20);
    ChatSession session({&model.runner, &model.vocabulary, &model.chat_template, &cache, "0123456789abcdef"});
    session.load("/proc/self/fd/" + std::to_string(file));
  });
}
