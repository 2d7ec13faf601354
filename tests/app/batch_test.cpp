// `linea batch` and `linea verify`: exactly once, whatever happens meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "app/library/library.h"
#include "core/image.h"
#include "core/json.h"
#include "tests/app/process.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Batch : public testing::Test {
 protected:
  std::vector<std::string> arguments(const std::string& out, const std::vector<std::string>& more = {},
                                     const std::string& list = "jobs.jsonl") const {
    std::vector<std::string> a = {"batch",  work_ / list, "-o",      out, "--model", work_ / "model", "--size", "32x64",
                                  "--bins", "off",        "--steps", "2", "--dtype", "fp32",          "--name", "{id}_{n}.png"};
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
  Outcome run(const std::vector<std::string>& a, const std::string& input = {}) { return test::run(work_, a, input); }
  std::string out(const std::string& name = "out") const { return work_ / name; }
  void write(const std::string& name, const std::string& content) const { std::ofstream(work_ / name, std::ios::binary) << content; }

  // Lines of `count` jobs, every fifth of which asks for another size, in the order given by `seed` (0 = as they are).
  static std::string lines(int count, unsigned seed = 0) {
    std::vector<std::string> all;
    for (int i = 0; i < count; ++i) {
      std::string line = "{\"id\": \"job" + std::to_string(i) + "\", \"prompt\": \"picture " + std::to_string(i % 7) + "\"";
      if (i % 5 == 0) line += ", \"size\": [64, 64]";
      if (i % 3 == 0) line += ", \"seed\": " + std::to_string(i);
      all.push_back(line + "}\n");
    }
    if (seed > 0) std::shuffle(all.begin(), all.end(), std::mt19937(seed));
    std::string text;
    for (const std::string& line : all) text += line;
    return text;
  }

  static std::map<std::string, std::string> pictures(const fs::path& folder) {
    std::map<std::string, std::string> found;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_directory() && entry.path().extension() != ".jsonl")
        found[entry.path().lexically_relative(folder)] = test::read_file(entry);
    }
    return found;
  }

  static int64_t manifest_lines(const fs::path& file) {
    const std::string text = test::read_file(file);
    return std::count(text.begin(), text.end(), '\n');
  }

  void expect_refused(const Outcome& outcome, int status, const std::string& part) { test::expect_refused(work_, outcome, status, part); }

  test::Workspace work_;
};

TEST_F(Batch, MakesListsAndVerifies) {
  write("jobs.jsonl", lines(6));
  const Outcome outcome = run(arguments(out(), {"--json"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(pictures(out()).size(), 6u);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 6);
  EXPECT_THAT(outcome.err, HasSubstr("6 pictures made"));
  EXPECT_EQ(manifest_lines(work_ / "out/manifest.jsonl"), 6);
  const Outcome sound = run({"verify", out()});
  EXPECT_EQ(sound.status, 0) << sound.out;
  EXPECT_EQ(sound.out, "6 pictures, 0 problems\n");
  Library library(work_ / "data/linea/library.db");
  EXPECT_EQ(library.count_pictures({.text = "picture", .origin = "batch"}), 6);

  // A picture says what made it, and `generate` makes the same bytes.
  const std::string command = parse_json(run({"info", out() + "/job3_1.png", "--json"}).out, "info").at("command");
  EXPECT_THAT(command, HasSubstr("--seed 3 "));
  ASSERT_EQ(run({"generate", "picture 3", "--model", work_ / "model", "--size", "32x64", "--bins", "off", "--steps", "2", "--dtype", "fp32",
                 "--seed", "3", "-o", work_ / "again.png"})
                .status,
            0);
  EXPECT_EQ(test::read_file(work_ / "again.png"), pictures(out()).at("job3_1.png"));
}

TEST_F(Batch, ASecondCallMakesOnlyWhatIsMissingOrChanged) {
  write("jobs.jsonl", lines(6));
  ASSERT_EQ(run(arguments(out())).status, 0);
  const auto before = pictures(out());
  EXPECT_THAT(run(arguments(out())).err, HasSubstr("0 pictures made, 6 were there"));
  fs::remove(work_ / "out/job1_1.png");
  write("out/job2_1.png", "broken");
  EXPECT_EQ(run({"verify", out()}).status, 3);
  EXPECT_THAT(run(arguments(out())).err, HasSubstr("2 pictures made, 4 were there"));
  EXPECT_EQ(pictures(out()), before);
  EXPECT_EQ(run({"verify", out()}).status, 0);
  EXPECT_THAT(run(arguments(out(), {"--guidance", "2"})).err, HasSubstr("6 pictures made"));
  EXPECT_THAT(run(arguments(out(), {"--redo"})).err, HasSubstr("6 pictures made"));
  EXPECT_EQ(pictures(out()), before);
}

TEST_F(Batch, VerifyFindsWhatIsWrong) {
  write("jobs.jsonl", lines(4));
  ASSERT_EQ(run(arguments(out())).status, 0);
  std::string bytes = test::read_file(work_ / "out/job0_1.png");
  bytes[bytes.size() / 2] ^= 1;
  write("out/job0_1.png", bytes);
  fs::remove(work_ / "out/job1_1.png");
  write("out/job2_1.png", "short");
  write("out/stranger.png", "x");
  write("out/job3_1.png.12-0.part", "x");
  const Outcome outcome = run({"verify", out()});
  EXPECT_EQ(outcome.status, 3);
  for (const char* part : {"job0_1.png: its SHA-256 differs", "job1_1.png: missing", "job2_1.png: 5 bytes instead",
                           "stranger.png: is in no", "job3_1.png.12-0.part: is in no", "4 pictures, 5 problems"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
  EXPECT_EQ(parse_json(run({"verify", out(), "--json"}).out, "verify").at("problems").size(), 5u);
  EXPECT_EQ(run({"verify", work_ / "nowhere"}).status, 2);
  EXPECT_EQ(run({"verify", work_ / "model"}).status, 2);
}

// 64 jobs in one process, as four shards at once, in another order, and stopped and resumed: the same bytes.
TEST_F(Batch, ContentsDoNotDependOnHowTheyAreMade) {
  write("jobs.jsonl", lines(64));
  write("shuffled.jsonl", lines(64, 5));
  ASSERT_EQ(run(arguments(out("whole"), {"--lanes", "1"})).status, 0);
  const auto whole = pictures(out("whole"));
  ASSERT_EQ(whole.size(), 64u);
  for (int shard = 1; shard <= 4; ++shard) {
    ASSERT_EQ(run(arguments(out("shards"), {"--shard", std::to_string(shard) + "/4", "--threads", "1"})).status, 0);
  }
  EXPECT_EQ(pictures(out("shards")), whole);
  EXPECT_EQ(run({"verify", out("shards")}).status, 0);
  ASSERT_EQ(run(arguments(out("shuffled"), {"--lanes", "3"}, "shuffled.jsonl")).status, 0);
  EXPECT_EQ(pictures(out("shuffled")), whole);

  test::Process first(work_, arguments(out("resumed")));
  while (!first.ended() && (!fs::exists(out("resumed") + "/manifest.jsonl") || manifest_lines(out("resumed") + "/manifest.jsonl") < 10)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  first.signal(SIGUSR1);
  EXPECT_EQ(first.wait().status, 75);
  EXPECT_LT(pictures(out("resumed")).size(), 64u);
  ASSERT_EQ(run(arguments(out("resumed"))).status, 0);
  EXPECT_EQ(pictures(out("resumed")), whole);
}

TEST_F(Batch, EveryFormOfInput) {
  write("a.csv", "prompt,id,seed\n\"a, red\napple\",one,3\n");
  write("b.txt", "a blue dog\n--prompt \"a cat\" --seed 4 --n_iter 2 --width 64 --height 64 --outpath_samples cats\n");
  const std::vector<std::string> names = {"--name", "{index}_{n}_{slug:20}.png"};
  std::vector<std::string> a = arguments(out(), {}, "a.csv"), b = arguments(out(), {}, "b.txt");
  for (std::vector<std::string>* list : {&a, &b}) *std::next(std::find(list->begin(), list->end(), "--name")) = names[1];
  ASSERT_EQ(run(a).status, 0);
  ASSERT_EQ(run(b).status, 0);
  EXPECT_THAT(pictures(out()), testing::SizeIs(4));
  for (const char* name : {"0_1_a-red-apple.png", "0_1_a-blue-dog.png", "cats/1_1_a-cat.png", "cats/1_2_a-cat.png"}) {
    EXPECT_TRUE(fs::exists(work_ / (std::string("out/") + name))) << name;
  }
  std::vector<std::string> from_stdin = arguments(out("piped"));
  from_stdin[1] = "-";
  ASSERT_EQ(run(from_stdin, lines(2)).status, 0);
  EXPECT_EQ(pictures(out("piped")).size(), 2u);
}

TEST_F(Batch, AllInputIsCheckedFirst) {
  write("jobs.jsonl", lines(3) + "{\"id\": \"job1\", \"prompt\": \"x\"}\n");
  expect_refused(run(arguments(out())), 2, "jobs.jsonl:4: id 'job1' was used in line 2 already");
  write("jobs.jsonl", lines(3) + "{\"id\": \"z\", \"prompt\": \"x\", \"size\": [33, 64]}\n");
  expect_refused(run(arguments(out())), 2, "jobs.jsonl:4: --size: 33x64 cannot be rendered");
  write("jobs.jsonl", lines(3) + "{\"id\": \"z\", \"prompt\": \"x\", \"model\": \"nowhere\"}\n");
  expect_refused(run(arguments(out())), 5, "jobs.jsonl:4: --model: nowhere");
  write("jobs.jsonl", lines(3) + "{\"id\": \"z\", \"prompt\": \"x\", \"out\": \"job0_1.png\"}\n");
  expect_refused(run(arguments(out())), 2, "jobs.jsonl:4: the file job0_1.png is that of line 1 too");
  write("jobs.jsonl", "{\"id\": \"z\", \"prompt\": \"x\", \"out\": \"z.png\", \"count\": 2}\n");
  expect_refused(run(arguments(out())), 2, "several pictures of this line");
  write("jobs.jsonl", "{\"id\": \"z\", \"prompt\": \"x\", \"out\": \"../z.png\"}\n");
  expect_refused(run(arguments(out())), 2, "jobs.jsonl:1: name pattern");
  write("jobs.jsonl", lines(2));
  std::vector<std::string> gif = arguments(out());
  *std::next(std::find(gif.begin(), gif.end(), "--name")) = "{id}.gif";
  expect_refused(run(gif), 2, ".gif");
  expect_refused(run(arguments(out(), {"--shard", "3/2"})), 2, "--shard");
  expect_refused(run(arguments(out(), {"--format", "xml"})), 2, "--format");
  expect_refused(run(arguments(out(), {}, "nowhere.jsonl")), 2, "nowhere.jsonl");
  expect_refused(run(arguments(out(), {}, "model")), 2, "is a folder");
  expect_refused(run(arguments(work_ / "jobs.jsonl")), 2, "jobs.jsonl");
  expect_refused(run(arguments(out(), {"--memory", "100kB"})), 4, "needs");
}

TEST_F(Batch, APictureThatIsNotOursIsLeftAlone) {
  write("jobs.jsonl", lines(2));
  write("out/job1_1.png", "mine");
  const Outcome outcome = run(arguments(out()));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("is there already"));
  EXPECT_EQ(test::read_file(work_ / "out/job1_1.png"), "mine");
}

TEST_F(Batch, DryRunSaysWhatItWouldTake) {
  write("jobs.jsonl", lines(6));
  const Outcome outcome = run(arguments(out(), {"--dry-run"}));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("4 pictures of 32x64, 2 steps, model: "));
  EXPECT_THAT(outcome.out, HasSubstr("6 pictures in all, 0 there already"));
  EXPECT_TRUE(fs::is_empty(work_ / "out"));
  ASSERT_EQ(run(arguments(out())).status, 0);
  EXPECT_THAT(run(arguments(out(), {"--dry-run"})).out, HasSubstr("nothing to do"));
  EXPECT_THAT(run(arguments(out(), {"--dry-run", "--redo"})).out, HasSubstr("about "));  // the rate is known now
}

// Fewer pictures than lanes: each has more threads than it would have among many.
TEST_F(Batch, DryRunKnowsTheTimeOfASinglePicture) {
  write("jobs.jsonl", lines(1));
  ASSERT_EQ(run(arguments(out())).status, 0);
  EXPECT_THAT(run(arguments(out(), {"--dry-run", "--redo"})).out, HasSubstr("about "));
}

TEST_F(Batch, ProgressForPeopleAndPrograms) {
  write("jobs.jsonl", lines(2));
  EXPECT_THAT(run(arguments(out("a"), {"--progress", "plain"})).err, HasSubstr("  2/2  job"));
  const std::string json = run(arguments(out("b"), {"--progress", "json", "-q"})).err;
  EXPECT_EQ(json, "");
  EXPECT_THAT(run(arguments(out("c"), {"--progress", "json"})).err, HasSubstr("{\"event\":\"picture\""));
  EXPECT_THAT(run(arguments(out("d"), {"--progress", "bar"})).err, HasSubstr("█ 2/2"));
}

TEST_F(Batch, OneProcessAShard) {
  write("jobs.jsonl", lines(40));
  std::vector<std::string> slow = arguments(out());
  *std::next(std::find(slow.begin(), slow.end(), "--steps")) = "200";
  test::Process first(work_, slow);
  while (!first.ended() && !fs::exists(work_ / "out/manifest.jsonl")) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const test::Workspace other;
  EXPECT_THAT(test::run(other, arguments(out())).err, HasSubstr("another process is making these pictures"));
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().status, 130);
  for (const auto& [name, bytes] : pictures(out())) EXPECT_THAT(name, Not(HasSubstr(".part")));
}

TEST_F(Batch, AFolderThatVanishesEndsIt) {
  write("jobs.jsonl", lines(40));
  test::Process process(work_, arguments(out(), {"--progress", "none"}));
  while (!process.ended() && !fs::exists(work_ / "out/job0_1.png")) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  ASSERT_FALSE(process.ended());
  fs::rename(work_ / "out", work_ / "elsewhere");
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, testing::AnyOf(HasSubstr("manifest.jsonl: was moved or removed"), HasSubstr("No such file")));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
}

// Killed at random moments until it is done: each picture exactly once, no leftovers, the bytes of an undisturbed run. The full test (200
// pictures, 200 kills) runs with LINEA_LONG_TESTS=1.
TEST_F(Batch, KilledAtAnyMoment) {
  const bool full = std::getenv("LINEA_LONG_TESTS") != nullptr;
  const int count = full ? 200 : 24, most_kills = full ? 200 : 12;
  write("jobs.jsonl", lines(count));
  ASSERT_EQ(run(arguments(out("undisturbed"))).status, 0);
  std::mt19937 random(1);
  int kills = 0;
  while (kills < most_kills) {
    test::Process process(work_, arguments(out(), {"--progress", "none"}));
    const auto wait = std::chrono::milliseconds(20 + random() % (full ? 400 : 300));
    const auto start = std::chrono::steady_clock::now();
    while (!process.ended() && std::chrono::steady_clock::now() - start < wait) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (process.ended()) {  // finished before the kills were used up: some pictures are lost, and the killing goes on
      EXPECT_EQ(process.wait().status, 0);
      for (int i = 0; i < count / 2; ++i)
        fs::remove(work_ / ("out/job" + std::to_string(random() % static_cast<unsigned>(count)) + "_1.png"));
      continue;
    }
    process.signal(SIGKILL);
    process.wait();
    ++kills;
  }
  ASSERT_EQ(run(arguments(out())).status, 0);
  EXPECT_EQ(pictures(out()), pictures(out("undisturbed")));
  EXPECT_EQ(run({"verify", out()}).out, std::to_string(count) + " pictures, 0 problems\n");
  EXPECT_FALSE(fs::exists(work_ / "out/.linea-checkpoints"));
  EXPECT_THAT(Library(work_ / "data/linea/library.db").integrity_problems(), IsEmpty());
}

TEST_F(Batch, AFullDiskIsOneClearErrorAndTheNextRunFinishes) {
  if (geteuid() != 0 || mount("linea-test", out().c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "needs root to mount a small tmpfs";
  write("jobs.jsonl", lines(40));
  const Outcome full = run(arguments(out(), {"--progress", "none"}));
  EXPECT_EQ(full.status, 1) << full.err;
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  EXPECT_EQ(std::count(full.err.begin(), full.err.end(), '\n'), 1) << full.err;
  for (const auto& [name, bytes] : pictures(out())) EXPECT_THAT(name, Not(HasSubstr(".part")));
  EXPECT_LT(pictures(out()).size(), 40u);
  EXPECT_EQ(mount("linea-test", out().c_str(), "tmpfs", MS_REMOUNT, "size=4m"), 0);
  EXPECT_EQ(run(arguments(out())).status, 0);
  EXPECT_EQ(pictures(out()).size(), 40u);
  EXPECT_EQ(run({"verify", out()}).status, 0);
  umount2(out().c_str(), MNT_DETACH);
}

TEST_F(Batch, AModelThatBreaksEndsTheBatchAndALineThatFailsDoesNot) {
  write("jobs.jsonl", lines(3));
  const fs::path weights = work_ / "model/transformer/diffusion_pytorch_model.safetensors";
  const std::string valid = test::read_file(weights);
  std::ofstream(weights, std::ios::binary) << valid.substr(0, valid.size() / 2);
  EXPECT_EQ(run(arguments(out())).status, 5);
  std::ofstream(weights, std::ios::binary) << valid;
  EXPECT_EQ(run(arguments(out())).status, 0);
}

}  // namespace
}  // namespace linea
