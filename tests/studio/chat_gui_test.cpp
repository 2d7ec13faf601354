// The Chat view in a real window, with chats that are in the library.
#include <gtest/gtest.h>

#include <fstream>

#include "app/library/library.h"
#include "tests/studio/gui.h"
#include "tests/support/golden.h"

namespace linea::test {
namespace {

std::string shot(const std::string& name) { return "screenshot \"" + screenshot(name).string() + "\"\n"; }

constexpr const char* kAnswer = R"(A **recurrent** model keeps a state of *fixed* size:

1. it reads a token,
2. it changes its state,
   - by a decay
   - and an update
3. and forgets the token.

| model | state |
|---|---|
| RWKV-7 2.9B | 21 MB |
| Mamba-2 | 263 MB |

```cpp
State s = model.initial_state(ctx);  // `s` is a value
```

> Copying it branches the conversation.

## What follows

See `docs/architecture.md`.)";

class ChatGui : public StudioTest {
 protected:
  // A chat with two answers to its first question.
  void make_chat() {
    Library library(home_.library());
    ChatRecord chat;
    chat.title = "How do recurrent models work?", chat.created = chat.updated = 1.7e9;
    chat.id = library.add_chat(chat);
    const auto add = [&](int64_t parent, const char* role, const std::string& text) {
      MessageRecord message;
      message.chat = chat.id, message.parent = parent, message.role = role, message.text = text, message.created = 1.7e9;
      return library.add_message(message);
    };
    const int64_t question = add(0, "user", "How do recurrent models work?");
    add(question, "assistant", "In a few words: they remember.");
    chat.leaf = add(question, "assistant", kAnswer);
    library.update_chat(chat);
  }
};

TEST_F(ChatGui, SaysHowToAddAModel) {
  const std::filesystem::path assets = home_ / "assets";  // without models
  std::filesystem::create_directories(assets);
  std::filesystem::create_directory_symlink(test::assets_path("fonts"), assets / "fonts");
  expect_success(home_.run(
      "wait idle\nview chat\nwait text \"No chat model yet\"\n" + shot("chat-none") + "click \"Open Models\"\nwait item #models/path\n", {},
      {{"LINEA_ASSETS", assets.string()}}));
}

TEST_F(ChatGui, TheBuiltInModelAnswers) {
  expect_success(
      home_.run("wait idle\nview chat\nclick #chat/input\ntype \"What is the capital of France?\"\nkey Enter\n"
                "wait item \"Regenerate\"\nexpect text \"What is the capital of France?\"\n" +
                shot("chat-answer") + "click \"Regenerate\"\nwait value \"version\" \"2/2\"\n"));
}

TEST_F(ChatGui, MarkdownVersionsTreeAndExport) {
  make_chat();
  expect_success(home_.run(R"(wait idle
view chat
wait item "How do recurrent"
click "How do recurrent"
wait text "A recurrent model keeps"
wait value "version" "2/2"
click "System prompt, sampling, branches"
wait frames 3
)" + shot("chat") + R"(click "Previous version"
wait text "In a few words"
wait value "version" "1/2"
click #chat/tree/2
wait text "A recurrent model keeps"
click "Markdown"
wait text "The chat is in"
click "Close"
click "JSON"
wait text ".json"
)"));
  std::ifstream markdown(home_.pictures() / "how-do-recurrent-models-work.md");
  const std::string text(std::istreambuf_iterator<char>(markdown), {});
  EXPECT_NE(text.find("| RWKV-7 2.9B | 21 MB |"), std::string::npos);
  std::ifstream file(home_.pictures() / "how-do-recurrent-models-work.json");
  const Json json = Json::parse(file);
  EXPECT_EQ(json["messages"].size(), 3u);
  EXPECT_EQ(json["messages"][2]["parent"], 0);
}

TEST_F(ChatGui, SelectCopyAndMakeAPicture) {
  make_chat();
  expect_success(home_.run(R"(wait idle
view chat
click "How do recurrent"
wait text "A recurrent model keeps"
double-click #text
key Ctrl+C
click "Make a picture of this"
wait item "Generate"
expect value #create/prompt "work?"
)"));
}

TEST_F(ChatGui, SearchAndDeleteWithUndo) {
  make_chat();
  expect_success(home_.run(R"(wait idle
view chat
wait item "How do recurrent"
click #chat/search
type "decay"
wait item "How do recurrent"
key Ctrl+A
type "zebra"
wait gone #chat/open
wait text "No chat matches"
key Ctrl+A
key Delete
wait item "How do recurrent"
move "How do recurrent"
click "Delete the chat"
wait gone #chat/open
click "Undo"
wait item #chat/open
)"));
}

TEST_F(ChatGui, ALongChatOpensAtOnce) {
  {
    Library library(home_.library());
    ChatRecord chat;
    chat.title = "Long";
    chat.id = library.add_chat(chat);
    std::string text;
    while (text.size() < 2000) text += "Some words of **no** importance, again and again. ";
    for (int i = 0; i < 600; ++i) {  // 1.2 MB, about 300 000 tokens
      MessageRecord message;
      message.chat = chat.id, message.parent = chat.leaf, message.role = i % 2 ? "assistant" : "user",
      message.text = std::to_string(i) + " " + text;
      chat.leaf = library.add_message(message);
    }
    library.update_chat(chat);
  }
  const std::string report = (home_ / "report.json").string();
  expect_success(home_.run("wait idle\nview chat\nclick \"Long\"\nwait text \"599 Some words\"\nwheel #text 30\nwait frames 5\nreport \"" +
                           report + "\"\n"));
  std::ifstream file(report);
  const Json json = Json::parse(file);
  std::printf("long chat: %s\n", json.dump().c_str());
  EXPECT_LT(json["p99_ms"].get<double>(), 200);
}

}  // namespace
}  // namespace linea::test
