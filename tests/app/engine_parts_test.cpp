// What the engine is made of, each for itself: hashes, name patterns, mailboxes, published values, the memory budget, temporaries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <fstream>
#include <thread>

#include "app/engine/abandoned.h"
#include "app/engine/job.h"
#include "app/engine/mailbox.h"
#include "app/engine/memory_budget.h"
#include "app/engine/name_pattern.h"
#include "app/engine/published.h"
#include "app/engine/sha256.h"
#include "tests/app/process.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  Sha256 pieces;  // any split
  for (const size_t n : {1, 62, 1, 64, 65, 807}) pieces.add(std::string(n, 'a').data(), n);
  EXPECT_EQ(pieces.finish(), sha256_of(std::string(1000, 'a')));
}

TEST(NamePattern, FieldsAndRefusals) {
  PictureJob job;
  job.settings.request.prompt = "A red Apple, shiny";
  job.settings.request.seed = 7;
  job.settings.model = "/models/Sana 1600M/";
  job.id = "../a b";
  job.index = 12;
  EXPECT_EQ(NamePattern("{index:06}_{seed}_{slug:8}.png").expand(job, 1), "000012_8_a-red-ap.png");
  EXPECT_EQ(NamePattern("{id}/{n:3}{{x}}.webp").expand(job, 0), "a-b/001{x}.webp");
  EXPECT_TRUE(NamePattern("{id}.png").uses("id"));
  EXPECT_FALSE(NamePattern("{id}.png").uses("n"));
  for (const char* bad : {"", "a/", "/a.png", "../a.png", "a/../../b.png", "{seed", "seed}.png", "{sead}.png", "{seed:x}.png",
                          "{seed:0}.png", "{seed:9999}.png", "{seed}", "a.gif", "{}.png", "a\nb.png"}) {
    EXPECT_THROW(NamePattern{bad}, Error) << bad;
  }
}

TEST(Mailbox, KeepsTheOrderOfEachThread) {
  Mailbox<std::pair<int, int>> mailbox;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&mailbox, t] {
      for (int i = 0; i < 1000; ++i) mailbox.post({t, i});
    });
  }
  std::array<int, 4> next{};
  for (int seen = 0; seen < 4000;) {
    for (const auto& [t, i] : mailbox.wait()) {
      EXPECT_EQ(i, next[static_cast<size_t>(t)]++);
      ++seen;
    }
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Published, ReadersSeeWholeValuesInOrder) {
  Published<std::pair<int, int>> published;
  std::thread writer([&] {
    for (int i = 1; i <= 20000; ++i) published.publish(std::make_shared<const std::pair<int, int>>(i, -i));
  });
  int last = 0;
  while (last < 20000) {
    const auto value = published.read();
    ASSERT_EQ(value->first, -value->second);
    ASSERT_GE(value->first, last);
    last = value->first;
  }
  writer.join();
}

TEST(MemoryBudget, PutsOutTheIdleOneUnusedForLongest) {
  MemoryBudget budget(100);
  std::vector<std::string> gone;
  const auto holder = [&](const std::string& name, int64_t bytes) {
    return MemoryBudget::Holder{"picture", name, bytes, [&gone, name] {
                                  gone.push_back(name);
                                  return true;
                                }};
  };
  const int64_t a = budget.reserve(holder("a", 40));
  const int64_t b = budget.reserve(holder("b", 40));
  EXPECT_THROW(budget.reserve(holder("c", 40)), Error);
  budget.idle(b);
  budget.idle(a);
  EXPECT_EQ(budget.available(), 100);
  budget.reserve(holder("c", 40));
  EXPECT_THAT(gone, ElementsAre("b"));
  EXPECT_EQ(budget.snapshot()->used, 80);
  EXPECT_THAT(budget.snapshot()->history.at(2), HasSubstr("put out b"));
  try {
    budget.reserve(holder("huge", 1000));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory);
    EXPECT_THAT(error.what(), HasSubstr("huge needs"));
  }
}

TEST(Abandoned, OnlyOurTemporariesGo) {
  const test::Workspace work;
  const auto touch = [&](const char* name) { std::ofstream(work / (std::string("out/") + name)) << "x"; };
  for (const char* name : {"a.png", "a.png.12-0.part", "a.png.part", "b.png.12-0.part", "a.png.12-x.part", "a.png.1-2-3.part"}) touch(name);
  remove_abandoned_parts({work / "out/a.png"});
  EXPECT_FALSE(fs::exists(work / "out/a.png.12-0.part"));
  for (const char* name : {"a.png", "a.png.part", "b.png.12-0.part", "a.png.12-x.part", "a.png.1-2-3.part"}) {
    EXPECT_TRUE(fs::exists(work / (std::string("out/") + name))) << name;
  }
}

}  // namespace
}  // namespace linea
