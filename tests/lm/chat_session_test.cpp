// Conversations over kept states: what is read again and what is not, and that it never makes a difference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "lm/load.h"
#include "lm/session/chat_session.h"
#include "lm/session/document.h"
#include "tests/lm/piece_tokenizer.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

using test::PieceTokenizer;
using testing::HasSubstr;

// 60 pieces that spell chat, for models of 61 rows.
PieceTokenizer chat_tokenizer() {
  std::vector<std::string> pieces = {"User:", "Assistant:", "System:", "\n\n", "\n", " ", ".", "?", "<", ">", " \n\n"};
  for (char c = 'a'; c <= 'z'; ++c) pieces.emplace_back(1, c);
  for (char c = '0'; c <= '9'; ++c) pieces.emplace_back(1, c);
  for (const char* piece : {"th", "he", "in", "an", "é", "A", "S", "U", ":", "er", "re", "on", "at"}) pieces.emplace_back(piece);
  return PieceTokenizer(pieces);
}

class Sessions : public testing::TestWithParam<const char*> {
 protected:
  Sessions() : folder_(test::data_path(std::string("lm/") + GetParam())) {
    model_ = load_language_model(*context_, Checkpoint::open_folder(folder_, "model"), folder_ + "/config.json");
    runner_ = std::make_unique<Runner>(*model_, *context_, Runner::Limits{.longest_piece = 16});
  }
  ChatSession session(PrefixCache& cache) { return ChatSession({runner_.get(), &vocabulary_, &template_, &cache, hash_}); }

  // The state of the conversation as one session that never kept anything would have it.
  Snapshot from_scratch(const ChatSession& like) {
    PrefixCache nothing(0);
    ChatSession fresh = session(nothing);
    fresh.conversation() = like.conversation();
    return *fresh.read_path({}).snapshot;
  }
  static void expect_same(const Snapshot& a, const Snapshot& b) {
    EXPECT_EQ(a.tokens, b.tokens);
    ASSERT_EQ(a.logits.size(), b.logits.size());
    const auto tensor = [](const Snapshot& s) {
      const Tensor t({static_cast<int64_t>(s.logits.size())}, DType::kF32);
      std::memcpy(t.raw(), s.logits.data(), s.logits.size() * sizeof(float));
      return t;
    };
    EXPECT_LE(test::relative_l2(tensor(a), tensor(b)), 1e-5);
  }

  std::string folder_, hash_ = "0123456789abcdef";
  test::TestContext context_;
  std::unique_ptr<LanguageModel> model_;
  std::unique_ptr<Runner> runner_;
  PieceTokenizer tokenizer_ = chat_tokenizer();
  Vocabulary vocabulary_{tokenizer_, 61, {0}};
  ChatTemplate template_ = ChatTemplate::named("world");
  GenerationOptions options_{.sampling = {.seed = 5}, .max_tokens = 12};
};

TEST_P(Sessions, OnlyWhatIsNewIsRead) {
  PrefixCache cache(64 << 20);
  ChatSession chat = session(cache);
  chat.conversation().set_system("be brief.");
  chat.say("hi there");
  const ChatSession::Answer first = chat.answer(options_, {});
  EXPECT_EQ(first.reused, 0);
  chat.say("who is in?");
  const ChatSession::Answer second = chat.answer(options_, {});
  EXPECT_EQ(second.reused, first.read + static_cast<int64_t>(first.generation.tokens.size()));
  EXPECT_LT(second.read, 25);
  expect_same(*chat.read_path({}).snapshot, from_scratch(chat));

  // Another answer reads nothing; neither does going back.
  EXPECT_EQ(chat.answer_again({.sampling = {.seed = 6}, .max_tokens = 12}, {}).read, 0);
  chat.undo();
  chat.undo();
  EXPECT_EQ(chat.conversation().path().size(), 3u);
  chat.say("who is out?");
  const ChatSession::Answer branch = chat.answer(options_, {});
  EXPECT_EQ(branch.reused, second.reused);
  EXPECT_EQ(chat.conversation().children(chat.conversation().path()[2]).size(), 2u);
}

TEST_P(Sessions, AnEditReadsWhatFollowsIt) {
  PrefixCache cache(64 << 20);
  ChatSession chat = session(cache);
  chat.conversation().set_system("be brief and then be brief on and on.");
  for (const char* text : {"hi there", "who is in?", "on and on"}) {
    chat.say(text);
    chat.answer(options_, {});
  }
  chat.say("at last");
  const int64_t total = chat.read_path({}).snapshot->tokens;
  chat.conversation().edit(3, "who is out?", true);
  EXPECT_EQ(chat.conversation().path().size(), 8u);
  const ChatSession::Reading edited = chat.read_path({});
  EXPECT_GT(edited.reused, 0);
  EXPECT_GT(edited.read, 0);
  EXPECT_LT(edited.read, total);
  expect_same(*edited.snapshot, from_scratch(chat));
  chat.conversation().undo();  // the branch that was left is still there
  EXPECT_EQ(chat.read_path({}).read, 0);
  chat.conversation().redo();
  EXPECT_EQ(chat.read_path({}).read, 0);
}

TEST_P(Sessions, SavedAndLoadedTheyGoOnAlike) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "talk.linea";
  PrefixCache cache(64 << 20), other_cache(64 << 20);
  ChatSession chat = session(cache), other = session(other_cache);
  for (const char* text : {"hi there", "who is in?"}) {
    chat.say(text);
    chat.answer(options_, {});
  }
  chat.undo();
  chat.save(file, 64 << 20);
  other.load(file);
  EXPECT_EQ(other.conversation().path().size(), 2u);
  EXPECT_TRUE(other.redo());
  EXPECT_EQ(other.conversation().path().size(), 4u);
  chat.redo();
  for (ChatSession* s : {&chat, &other}) s->say("on and on");
  const ChatSession::Answer a = chat.answer(options_, {}), b = other.answer(options_, {});
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.read, b.read);
  EXPECT_EQ(a.generation.tokens, b.generation.tokens);
}

TEST_P(Sessions, DocumentsOfAnyLengthAreReadInPieces) {
  const test::TemporaryFolder folder;
  std::string text = "\n\n the start\r\n\r\n";
  std::mt19937 random(3);
  while (text.size() < 70'000)
    text += std::string(1, static_cast<char>('a' + random() % 26)) + (random() % 6 == 0 ? "\n\n" : random() % 4 == 0 ? " " : "");
  folder.write("book.txt", text);
  PrefixCache cache(64 << 20);
  ChatSession chat = session(cache);
  int progress = 0;
  ChatSession::Callbacks callbacks;
  callbacks.progress = [&](const Progress& p) {
    ++progress;
    EXPECT_LE(p.step, p.steps);
  };
  chat.read_document(open_document(folder.path() / "book.txt", false), callbacks);
  EXPECT_GT(progress, 100);
  chat.say("who is in?");
  const ChatSession::Answer answer = chat.answer(options_, {});
  EXPECT_LT(answer.read, 30);  // only the question
  EXPECT_GT(answer.reused, 40'000);
  folder.write("book.txt", text + "!");
  PrefixCache nothing(0);
  ChatSession fresh = session(nothing);
  fresh.conversation() = chat.conversation();
  EXPECT_THROW(fresh.read_path({}), Error);  // the file is another one now
}

TEST_P(Sessions, ACancelledReadingChangesNothing) {
  PrefixCache cache(64 << 20);
  ChatSession chat = session(cache);
  chat.say(std::string(500, 'a'));
  ChatSession::Callbacks callbacks;
  callbacks.cancel_reading.cancel();
  const int before = chat.conversation().current();
  EXPECT_THROW(chat.answer(options_, callbacks), Error);
  EXPECT_EQ(chat.conversation().current(), before);
  ChatSession::Callbacks stop;
  stop.cancel_answer.cancel();
  const ChatSession::Answer answer = chat.answer(options_, stop);
  EXPECT_EQ(answer.generation.end, GenerationEnd::kCancelled);
  EXPECT_EQ(answer.text, "");
}

TEST_P(Sessions, FilesOfOtherModelsAndDamagedOnesAreRefused) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "talk.linea";
  PrefixCache cache(64 << 20);
  ChatSession chat = session(cache);
  chat.say("hi there");
  chat.answer(options_, {});
  chat.save(file, 64 << 20);
  std::ifstream in(file, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(in), {}};

  const auto error = [&] {
    try {
      ChatSession other = session(cache);
      other.load(file);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBadFile) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error(), "no error");
  hash_ = "fedcba9876543210";
  EXPECT_THAT(error(), HasSubstr("belongs to another model"));
  hash_ = "0123456789abcdef";
  std::mt19937 random(1);
  for (int k = 0; k < 300; ++k) {
    std::string broken = content;
    if (k < 200) {
      broken.resize(content.size() * static_cast<size_t>(k) / 200);
    } else {
      broken[random() % broken.size()] ^= static_cast<char>(1 + random() % 255);
    }
    folder.write("talk.linea", broken);
    const std::string what = error();
    if (k < 200) {
      EXPECT_NE(what, "no error") << k;
    }
  }
  folder.write("talk.linea", content);
  std::string damaged = content;
  damaged[damaged.size() - 40] ^= 1;  // in the tensors
  folder.write("talk.linea", damaged);
  EXPECT_THAT(error(), HasSubstr("damaged"));
}

INSTANTIATE_TEST_SUITE_P(Models, Sessions, testing::Values("rwkv7", "rwkv4", "mamba2", "mamba1"));

// Any way of feeding a text gives the same logits: pieces, steps, copies, files.
TEST_P(Sessions, AnySplitSaveAndBranchGivesTheSameLogits) {
  std::mt19937 random(11);
  std::vector<int32_t> ids(200);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 61);
  Snapshot whole = runner_->start();
  runner_->read(ids, whole);
  for (int run = 0; run < 12; ++run) {
    Runner other(*model_, *context_, {.memory = int64_t{1} << (12 + run), .longest_piece = 1 + static_cast<int64_t>(random() % 70)});
    Snapshot snapshot = other.start();
    for (size_t at = 0; at < ids.size();) {
      const size_t count = std::min<size_t>(random() % 3 == 0 ? 1 : 1 + random() % 50, ids.size() - at);
      Snapshot branch = snapshot;  // a branch that goes elsewhere must not disturb this one
      other.step(static_cast<int32_t>(random() % 61), branch);
      other.read(std::span(ids).subspan(at, count), snapshot);
      at += count;
    }
    expect_same(snapshot, whole);
  }
}

TEST(PrefixCache, KeepsTheLatestWithinItsBudget) {
  const auto snapshot = [](size_t floats) {
    Snapshot s;
    s.logits.resize(floats);
    return std::make_shared<const Snapshot>(std::move(s));
  };
  PrefixCache cache(4000);
  cache.insert(key_of("a"), snapshot(400));
  cache.insert(key_of("ab"), snapshot(400));
  EXPECT_EQ(cache.longest_prefix("abc").key, key_of("ab"));
  EXPECT_EQ(cache.longest_prefix("ac").key, key_of("a"));
  EXPECT_EQ(cache.longest_prefix("b").snapshot, nullptr);
  cache.longest_prefix("a");
  cache.insert(key_of("abc"), snapshot(400));  // "ab" is the oldest now
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.bytes(), 3200);
  EXPECT_EQ(cache.longest_prefix("ab").key, key_of("a"));
  cache.insert(key_of("x"), snapshot(2000));  // larger than the budget
  EXPECT_EQ(cache.longest_prefix("x").snapshot, nullptr);
}

TEST(Conversation, JsonComesBack) {
  Conversation conversation;
  conversation.set_system("s");
  conversation.append({.role = Role::kUser, .text = "u", .twice = true, .documents = {{"/a", "00", 3, true}}});
  conversation.append({.role = Role::kAssistant, .text = "a", .answer_ids = {1, 2}});
  conversation.edit(1, "v", false);
  conversation.undo();
  const Json json = conversation.to_json();
  Conversation again = Conversation::from_json(json, "file");
  EXPECT_EQ(again.to_json(), json);
  EXPECT_TRUE(again.redo());
  EXPECT_EQ(again.nodes()[static_cast<size_t>(again.current())].text, "v");
  for (const char* patch :
       {R"({"position":9})", R"({"history":[7]})", R"({"messages":3})", R"({"messages":[{"parent":0,"role":"user","text":""}]})",
        R"({"messages":[{"parent":-1,"role":"usher","text":""}]})", R"({"history":null})"}) {
    Json broken = json;
    broken.merge_patch(Json::parse(patch));
    EXPECT_THROW(Conversation::from_json(broken, "file"), Error) << patch;
  }
}

}  // namespace
}  // namespace linea
