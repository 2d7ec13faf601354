// States of chats on the disk: taken up again without reading, thinned out, and never trusted.
#include <gtest/gtest.h>

#include <set>

#include "app/engine/chat_model.h"
#include "app/engine/chat_states.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

class ChatStatesTest : public testing::Test {
 protected:
  static ChatModel& model() {
    static ChatModel chat(find_language_model(""), {.dtype = DType::kF32});
    return chat;
  }
  // A session over a cache of its own, as after a new start.
  ChatSession session(PrefixCache& cache) {
    return ChatSession(
        {&model().runner(), &model().vocabulary(), &model().chat_template(), &cache, model().loaded().folder().content_hash});
  }
  // A short conversation that has been answered.
  ChatSession answered(PrefixCache& cache) {
    ChatSession chat = session(cache);
    chat.say("What is the capital of France?");
    chat.answer({.sampling = {.seed = 1}, .max_tokens = 8}, {});
    return chat;
  }
  static constexpr int64_t kPlenty = int64_t{1} << 30;

  test::TemporaryFolder folder_;
};

TEST_F(ChatStatesTest, AnOpenedChatGoesOnWithoutReading) {
  PrefixCache first(kPlenty), second(kPlenty);
  ChatStates states(folder_ / "states");
  ChatSession before = answered(first);
  const std::string name = states.keep(7, before, kPlenty);
  EXPECT_EQ(name, "7-1.state");
  EXPECT_EQ(states.keep(7, before, kPlenty), "7-2.state");

  ChatSession scratch = session(second);
  ASSERT_TRUE(states.recall(name, scratch));
  ChatSession after = session(second);
  after.conversation() = before.conversation();
  EXPECT_EQ(after.conversation().to_json(), scratch.conversation().to_json());
  after.say("And of Spain?");
  const ChatSession::Answer answer = after.answer({.sampling = {.seed = 1}, .max_tokens = 4}, {});
  EXPECT_GT(answer.reused, 8);
  EXPECT_LT(answer.read, 16);
}

TEST_F(ChatStatesTest, WhatCannotBeUsedIsOnlySlower) {
  PrefixCache cache(kPlenty);
  ChatStates states(folder_.path());
  ChatSession chat = answered(cache);
  const std::string name = states.keep(1, chat, kPlenty);
  ChatSession scratch = session(cache);
  for (const char* bad : {"", "1-9.state", "x.state", "../1-1.state", "1-1", "1-1.state/.."})
    EXPECT_FALSE(states.recall(bad, scratch)) << bad;
  fs::resize_file(folder_ / name, fs::file_size(folder_ / name) / 2);
  EXPECT_FALSE(states.recall(name, scratch));
  EXPECT_TRUE(scratch.conversation().nodes().empty());
}

TEST_F(ChatStatesTest, OldOnesAreThinnedOut) {
  PrefixCache cache(kPlenty);
  ChatStates states(folder_.path(), {.files_a_chat = 12});
  ChatSession chat = answered(cache);
  for (int i = 1; i <= 40; ++i) EXPECT_EQ(states.keep(3, chat, 0), "3-" + std::to_string(i) + ".state");
  states.keep(33, chat, 0);  // another chat's are not counted
  std::vector<int> left;
  for (int i = 1; i <= 40; ++i) {
    if (fs::exists(folder_ / ("3-" + std::to_string(i) + ".state"))) left.push_back(i);
  }
  ASSERT_EQ(left.size(), 12u);
  EXPECT_EQ(left.front(), 1);                 // the oldest stays
  for (size_t i = 4; i < left.size(); ++i) {  // and the newest eight
    EXPECT_EQ(left[i], 29 + static_cast<int>(i));
  }
  EXPECT_LT(left[1] - left[0], 32);
}

TEST_F(ChatStatesTest, AllTogetherHaveALimit) {
  PrefixCache cache(kPlenty);
  ChatSession chat = answered(cache);
  ChatStates(folder_.path()).keep(1, chat, 0);
  const auto one = static_cast<int64_t>(fs::file_size(folder_ / "1-1.state"));
  ChatStates states(folder_.path(), {.bytes = 3 * one + one / 2});
  for (int i = 2; i <= 6; ++i) states.keep(i, chat, 0);
  EXPECT_EQ(folder_.entries(), 3);
  EXPECT_TRUE(fs::exists(folder_ / "6-1.state"));
}

}  // namespace
}  // namespace linea
