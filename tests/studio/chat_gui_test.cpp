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
                shot("chat-answer") + R"(click "Regenerate"
wait value "version" "2/2"
wait item "Regenerate"
move #text
click "Edit: ask another version"
key Ctrl+A
type "What is the capital of Spain?"
key Enter
wait text "of Spain?"
wait item "Regenerate"
wait idle
key F2
wait item #chat/tree/0
click #chat/tree/2
wait text "of France?"
click "Branch: go on from here"
click #chat/input
type "And of Italy?"
key Enter
wait text "And of Italy?"
wait item "Regenerate"
)"));
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

// Closed and opened again, the chat goes on from the state on the disk: only the new question is read.
TEST_F(ChatGui, AnOpenedChatGoesOnWithoutReadingAgain) {
  const std::string ask = "click #chat/input\ntype \"What is the capital of France?\"\nkey Enter\nwait item \"Regenerate\"\n";
  expect_success(home_.run("wait idle\nview chat\n" + ask + "wait idle\n"));
  expect_success(
      home_.run("wait idle\nview chat\nclick \"What is the\"\nwait item \"Regenerate\"\nclick #chat/input\ntype \"And of "
                "Spain?\"\nkey Enter\nwait text \"And of Spain?\"\nwait seconds 0.3\nwait item \"Regenerate\"\nwait idle\n"));
  Library library(home_.library());
  const auto chats = library.chats();
  ASSERT_EQ(chats.size(), 1u);
  const auto messages = library.messages(chats[0].id);
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_FALSE(messages[1].state_file.empty());
  const Json first = Json::parse(messages[1].details), second = Json::parse(messages[3].details);
  EXPECT_EQ(first["reused"], 0);
  EXPECT_GE(second["reused"].get<int64_t>(), first["read"].get<int64_t>());
  EXPECT_LT(second["read"].get<int64_t>(), 20) << second;
  for (const MessageRecord& message : {messages[1], messages[3]})
    EXPECT_TRUE(std::filesystem::exists(home_ / "chat-states" / message.state_file)) << message.state_file;
}

// Leaving a chat while its answer is being written keeps what was written.
TEST_F(ChatGui, ANewChatWhileAnAnswerComes) {
  expect_success(home_.run(R"(wait idle
view chat
click #chat/input
type "Tell me a long story about the sea."
key Enter
wait item "Stop"
key Ctrl+N
wait text "Chat with"
click #chat/input
type "Hello"
key Enter
wait item "Regenerate"
move "Tell me"
click "Delete the chat"
wait gone "Tell me"
click "Undo"
wait item "Tell me"
)"));
}

// 1.2 MB of text, about 300 000 tokens, in so many messages with the ids of an answer's tokens beside them.
struct LongChat {
  const char* name;
  int messages;
};

class LongChatGui : public ChatGui, public testing::WithParamInterface<LongChat> {
 protected:
  static constexpr size_t kBytes = 1'200'000;

  // An answer of all that Markdown has.
  static std::string answer_of(size_t bytes) {
    std::string text;
    while (text.size() + sizeof "Some words. " < bytes) {
      text += text.size() % 7 == 0 && text.size() + 2000 < bytes ? "\n\n" + std::string(kAnswer) + "\n\n"
                                                                 : "Some words of **no** importance, again and again. ";
    }
    return text.substr(0, std::max(bytes, size_t{12}));
  }

  void make_long_chat(int count) {
    Library library(home_.library());
    ChatRecord chat;
    chat.title = "Long";
    chat.id = library.add_chat(chat);
    const std::string text = answer_of(kBytes / static_cast<size_t>(count));
    Json ids = Json::array();
    for (size_t i = 0; i < text.size() / 4; ++i) ids.push_back(1000 + i % 60000);
    const std::string details = Json({{"tokens", ids.size()}, {"ids", ids}}).dump();
    for (int i = 0; i < count; ++i) {
      MessageRecord message;
      message.chat = chat.id, message.parent = chat.leaf, message.role = i % 2 ? "assistant" : "user";
      message.text = "Number " + std::to_string(i) + ". " + text;
      if (i % 2) message.details = details;
      chat.leaf = library.add_message(message);
    }
    library.update_chat(chat);
  }
};

TEST_P(LongChatGui, OpensAtOnce) {
  make_long_chat(GetParam().messages);
  const std::string report = (home_ / "report.json").string(), last = std::to_string(GetParam().messages - 1);
  expect_success(home_.run("wait idle\nview chat\nclick \"Long\"\nwait text \"Number " + last +
                           ".\"\nwheel #text 30\nwait frames 5\nreport \"" + report + "\"\n"));
  std::ifstream file(report);
  const Json json = Json::parse(file);
  std::printf("long chat, %s: %s\n", GetParam().name, json.dump().c_str());
  EXPECT_LT(json["chat_open_ms"].get<double>(), 2000 * kSlowdown);  // 500 on a quiet machine
  EXPECT_LT(json["p99_ms"].get<double>(), 100 * kSlowdown);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LongChatGui,
                         testing::Values(LongChat{"ManyMessages", 600}, LongChat{"OneExchange", 2}, LongChat{"ShortMessages", 5000}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace linea::test
