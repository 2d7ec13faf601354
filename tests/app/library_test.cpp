// The library: pictures and their search, deleting and undoing it, the queue's rows, chats as trees, and files that are none of ours.
#include "app/library/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "core/error.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LibraryTest : public testing::Test {
 protected:
  fs::path file() const { return folder_.path() / "data" / "library.db"; }

  PictureRecord record(const std::string& name, const std::string& prompt, double created = 1000) const {
    PictureRecord r;
    r.path = folder_.path() / name;
    r.settings = "{}";
    r.prompt = prompt;
    r.model = "sana-mini";
    r.origin = "generate";
    r.width = 512, r.height = 256;
    r.seed = ~0ull;
    r.created = created;
    return r;
  }

  static std::vector<int64_t> ids(const std::vector<PictureTile>& tiles) {
    std::vector<int64_t> ids;
    for (const PictureTile& tile : tiles) ids.push_back(tile.id);
    return ids;
  }

  test::TemporaryFolder folder_;
};

TEST_F(LibraryTest, KeepsPicturesOverReopening) {
  int64_t id = 0;
  {
    Library library(file());
    PictureRecord r = record("a.png", "a red apple");
    r.tags = {"fruit", "red"};
    r.stars = 3;
    id = library.add_picture(r);
  }
  Library library(file());
  const PictureRecord r = library.picture(id).value();
  EXPECT_EQ(r.path, folder_.path() / "a.png");
  EXPECT_EQ(r.seed, ~0ull);
  EXPECT_EQ(r.stars, 3);
  EXPECT_THAT(r.tags, ElementsAre("fruit", "red"));
  EXPECT_EQ(library.picture_at(r.path)->id, id);
  EXPECT_FALSE(library.picture(id + 1));
  EXPECT_THAT(library.integrity_problems(), IsEmpty());
}

TEST_F(LibraryTest, APathHasOneRowThatKeepsItsStars) {
  Library library(file());
  const int64_t id = library.add_picture(record("a.png", "an apple"));
  library.set_stars({id}, 5);
  EXPECT_EQ(library.add_picture(record("a.png", "a pear")), id);
  EXPECT_EQ(library.picture(id)->prompt, "a pear");
  EXPECT_EQ(library.picture(id)->stars, 5);
  EXPECT_EQ(library.count_pictures({.text = "apple"}), 0);
  EXPECT_EQ(library.count_pictures({.text = "pear"}), 1);
}

TEST_F(LibraryTest, SearchesAndFilters) {
  Library library(file());
  const int64_t apple = library.add_picture(record("1.png", "a red Apple on a plate", 10));
  const int64_t pear = library.add_picture(record("2.png", "a green pear, naïve", 20));
  PictureRecord big = record("3.png", "a red barn", 30);
  big.width = 4096;
  big.model = "sana-4k";
  const int64_t barn = library.add_picture(big);
  library.set_stars({pear}, 4);
  library.set_tags(apple, {"fruit"});
  library.set_tags(pear, {"fruit", "fruit", ""});
  const auto find = [&](const PictureFilter& filter) { return ids(library.tiles(filter)); };
  EXPECT_THAT(find({}), ElementsAre(barn, pear, apple));
  EXPECT_THAT(find({.order = PictureOrder::kOldest}), ElementsAre(apple, pear, barn));
  EXPECT_THAT(find({.order = PictureOrder::kStars}), ElementsAre(pear, barn, apple));
  EXPECT_THAT(find({.text = "red"}), ElementsAre(barn, apple));
  EXPECT_THAT(find({.text = "RED app"}), ElementsAre(apple));
  EXPECT_THAT(find({.text = "\"red apple\""}), ElementsAre(apple));
  EXPECT_THAT(find({.text = "\"apple red\""}), IsEmpty());
  EXPECT_THAT(find({.text = "red -barn"}), ElementsAre(apple));
  EXPECT_THAT(find({.text = "-barn"}), ElementsAre(pear, apple));
  EXPECT_THAT(find({.text = "naive"}), ElementsAre(pear));
  EXPECT_THAT(find({.tag = "fruit"}), ElementsAre(pear, apple));
  EXPECT_THAT(find({.min_stars = 4}), ElementsAre(pear));
  EXPECT_THAT(find({.model = "sana-4k"}), ElementsAre(barn));
  EXPECT_THAT(find({.min_side = 1024}), ElementsAre(barn));
  EXPECT_THAT(find({.text = "a", .from = 15, .until = 30}), ElementsAre(pear));
  EXPECT_THAT(library.models(), ElementsAre("sana-mini", "sana-4k"));
  EXPECT_THAT(library.tags(), ElementsAre("fruit"));
  EXPECT_EQ(library.pictures({}, 1, 1).at(0).id, pear);
}

// What people type is no query language: nothing in it is an error.
TEST_F(LibraryTest, OddSearchesAreHarmless) {
  Library library(file());
  library.add_picture(record("1.png", "c++ \"x\" (y) AND NOT z*"));
  for (const char* text : {"\"",         "\"\"",  "-", "- -", "(",        ")",       "AND",   "NOT", "*", "a*b",
                           "\"unclosed", "col:x", "^", "{}",  "\xff\xfe", "'; DROP", "NEAR(", "-\"", "+", "c++"}) {
    EXPECT_NO_THROW(library.count_pictures({.text = text})) << text;
    EXPECT_NO_THROW(library.chats(text)) << text;
  }
  EXPECT_EQ(library.count_pictures({.text = "c++"}), 1);
}

TEST_F(LibraryTest, DeletingMovesTheFileAndCanBeUndone) {
  Library library(file());
  const int64_t id = library.add_picture(record("a.png", "an apple"));
  folder_.write("a.png", "content");
  library.delete_pictures({id, id});
  EXPECT_FALSE(fs::exists(folder_.path() / "a.png"));
  EXPECT_EQ(library.count_pictures(), 0);
  EXPECT_THAT(ids(library.tiles({.deleted = true})), ElementsAre(id));
  library.restore_pictures({id});
  EXPECT_TRUE(fs::exists(folder_.path() / "a.png"));
  EXPECT_FALSE(fs::exists(folder_.path() / ".linea-trash"));
  EXPECT_EQ(library.count_pictures({.text = "apple"}), 1);

  library.delete_pictures({id});
  folder_.write("a.png", "another");  // the name was taken meanwhile
  library.restore_pictures({id});
  EXPECT_EQ(library.picture(id)->path, folder_.path() / "a-restored-2.png");

  library.delete_pictures({id});
  EXPECT_EQ(library.purge_deleted(1e12), 1);
  EXPECT_FALSE(library.picture(id));
  EXPECT_FALSE(fs::exists(folder_.path() / ".linea-trash"));
  EXPECT_THAT(library.integrity_problems(), IsEmpty());
}

TEST_F(LibraryTest, ForgetsPicturesWhoseFilesAreGone) {
  Library library(file());
  const int64_t here = library.add_picture(record("a.png", "x")), gone = library.add_picture(record("b.png", "x"));
  const int64_t unmounted = library.add_picture(record("away/c.png", "x"));
  folder_.write("a.png", "content");
  int64_t from = 1;
  while (from > 0) from = library.forget_missing(from, 2);
  EXPECT_TRUE(library.picture(here));
  EXPECT_FALSE(library.picture(gone));
  EXPECT_TRUE(library.picture(unmounted));
}

TEST_F(LibraryTest, ThumbnailsAreKeptBeside) {
  Library library(file());
  const int64_t a = library.add_picture(record("a.png", "x", 1)), b = library.add_picture(record("b.png", "x", 2));
  EXPECT_THAT(library.without_thumbnail(10), ElementsAre(b, a));
  library.put_thumbnail(b, {1, 2, 3});
  EXPECT_THAT(library.without_thumbnail(10), ElementsAre(a));
  const std::vector<Thumbnail> found = library.thumbnails({a, b});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].picture, b);
  EXPECT_THAT(found[0].jpeg, ElementsAre(1, 2, 3));
  EXPECT_TRUE(fs::exists(folder_.path() / "data" / "library-thumbnails.db"));
}

TEST_F(LibraryTest, QueueInOrder) {
  Library library(file());
  EXPECT_EQ(library.next_job_id(), 1);
  library.put_job({.id = 1, .position = 5, .state = "queued", .job = "{\"a\":1}", .submitted = 1});
  library.put_job({.id = 2, .position = 3, .state = "running", .job = "{}"});
  library.put_job({.id = 3, .position = 1, .state = "done", .job = "{}", .finished = 100});
  library.put_job(
      {.id = 4, .position = 1, .state = "failed", .job = "{}", .failure = "why", .hint = "how", .failure_kind = 5, .finished = 200});
  std::vector<int64_t> order;
  for (const StoredJob& job : library.jobs()) order.push_back(job.id);
  EXPECT_THAT(order, ElementsAre(2, 1, 4, 3));
  EXPECT_EQ(library.jobs()[2].failure, "why");
  EXPECT_EQ(library.next_job_id(), 5);
  const PictureRecord picture = record("a.png", "x");
  library.put_job_picture({.job = 1, .index = 0, .path = picture.path});
  EXPECT_EQ(library.job_pictures(1).at(0).library_id, 0);
  const int64_t id = library.finish_job_picture({.job = 1, .index = 0, .done = true, .path = picture.path, .result = "{}"}, picture);
  EXPECT_TRUE(library.picture(id));
  EXPECT_TRUE(library.job_pictures(1).at(0).done);
  EXPECT_EQ(library.job_pictures(1).at(0).library_id, id);
  library.remove_job(4);
  library.remove_job(1);
  EXPECT_THAT(library.job_pictures(1), IsEmpty());
  EXPECT_EQ(library.next_job_id(), 5);  // ids are never used again
}

TEST_F(LibraryTest, ChatsAreTreesOfMessages) {
  Library library(file());
  const int64_t chat = library.add_chat({.title = "About apples", .model = "rwkv", .settings = "{}"});
  const int64_t other = library.add_chat({.title = "Other", .model = "rwkv", .settings = "{}", .updated = 1});
  const int64_t user = library.add_message({.chat = chat, .role = "user", .text = "What is a pear?"});
  const int64_t first = library.add_message({.chat = chat, .parent = user, .role = "assistant", .text = "A fr"});
  const int64_t second = library.add_message({.chat = chat, .parent = user, .role = "assistant", .text = "An apple's cousin."});
  const int64_t below = library.add_message({.chat = chat, .parent = second, .role = "user", .text = "Thanks"});
  MessageRecord grown = library.messages(chat).at(1);
  grown.text = "A fruit.";
  grown.state_file = "/states/1";
  library.update_message(grown);
  EXPECT_EQ(library.messages(chat).at(1).text, "A fruit.");
  EXPECT_EQ(library.messages(chat).at(1).parent, user);
  const auto found = [&](const std::string& search) {
    std::vector<int64_t> ids;
    for (const ChatRecord& c : library.chats(search)) ids.push_back(c.id);
    return ids;
  };
  EXPECT_THAT(found(""), ElementsAre(chat, other));
  EXPECT_THAT(found("fruit"), ElementsAre(chat));
  EXPECT_THAT(found("apples"), ElementsAre(chat));  // in the title
  EXPECT_THAT(found("nothing"), IsEmpty());
  library.delete_message(second);
  ASSERT_EQ(library.messages(chat).size(), 2u);
  EXPECT_EQ(library.messages(chat).at(1).id, first);
  EXPECT_GT(below, second);
  library.delete_chat(chat);
  EXPECT_THAT(found(""), ElementsAre(other));
  library.restore_chat(chat);
  EXPECT_EQ(found("").size(), 2u);
  library.delete_chat(chat);
  EXPECT_EQ(library.purge_deleted_chats(1e12), 1);
  EXPECT_THAT(library.messages(chat), IsEmpty());
  EXPECT_THAT(library.integrity_problems(), IsEmpty());
}

TEST_F(LibraryTest, SettingsAreText) {
  Library library(file());
  EXPECT_FALSE(library.setting("theme"));
  library.set_setting("theme", "dark");
  library.set_setting("theme", "light");
  EXPECT_EQ(library.setting("theme"), "light");
}

TEST_F(LibraryTest, OthersChangesAreSeen) {
  Library mine(file()), theirs(file());
  const int64_t before = mine.change_count();
  mine.set_setting("a", "b");
  EXPECT_EQ(mine.change_count(), before);
  theirs.add_picture(record("a.png", "x"));
  EXPECT_NE(mine.change_count(), before);
  EXPECT_EQ(mine.count_pictures(), 1);
}

void expect_error(const fs::path& path, ErrorKind kind, const std::string& part) {
  try {
    Library library(path);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST_F(LibraryTest, FilesThatCannotBeUsed) {
  { const Library library(file()); }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "PRAGMA user_version = 99", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  expect_error(file(), ErrorKind::kBadFile, "newer Linea (form 99");

  const fs::path other = folder_.path() / "other.db";
  ASSERT_EQ(sqlite3_open(other.c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "CREATE TABLE t (x)", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  expect_error(other, ErrorKind::kBadFile, "another program");

  folder_.write("text.db", std::string(5000, 'x'));
  expect_error(folder_.path() / "text.db", ErrorKind::kBadFile, "text.db");
  expect_error(folder_.path(), ErrorKind::kIo, "library");
  expect_error(folder_.path() / "text.db" / "x.db", ErrorKind::kIo, "folder");
}

// What was reported as written is there after the process was killed at any moment.
TEST_F(LibraryTest, KilledWritersLoseNothingThatTheyReported) {
  { const Library library(file()); }
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      Library library(file());
      for (int i = 0;; ++i) {
        library.add_picture(record(std::to_string(round) + "-" + std::to_string(i) + ".png", "x"));
        if (write(pipe_ends[1], "x", 1) != 1) _exit(1);
      }
    }
    close(pipe_ends[1]);
    char byte = 0;
    int64_t reported = 0;
    for (; reported < 20 + 7 * round; ++reported) ASSERT_EQ(read(pipe_ends[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipe_ends[0], &byte, 1) == 1) ++reported;
    close(pipe_ends[0]);
    Library library(file());
    EXPECT_THAT(library.integrity_problems(), IsEmpty());
    int64_t found = 0;
    for (const PictureRecord& r : library.pictures({}, 0, 1 << 20))
      found += r.path.filename().string().starts_with(std::to_string(round) + "-");
    EXPECT_GE(found, reported);
    EXPECT_LE(found, reported + 1);
  }
}

TEST_F(LibraryTest, AHundredThousandPicturesOpenAndSearchQuickly) {
  constexpr int kPictures = 100000;
  const char* kWords[] = {"apple",   "barn",   "castle", "dog",  "eagle", "forest", "glass",
                          "harbour", "island", "jar",    "kite", "lemon", "moon"};
  {
    Library library(file());
    std::vector<PictureRecord> batch;
    for (int i = 0; i < kPictures; ++i) {
      std::string prompt = "a picture of";
      for (int w = 0; w < 8; ++w) prompt += std::string(" ") + kWords[(i * 7 + w * w * 31 + i / 13) % 13];
      batch.push_back(record("p/" + std::to_string(i) + ".png", prompt + (i % 1000 == 0 ? " unicorn" : ""), i));
    }
    library.add_pictures(batch);
  }
  const auto milliseconds = [](const auto& work) {
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      const auto start = std::chrono::steady_clock::now();
      work();
      best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
  };
  const double open = milliseconds([&] {
    Library library(file());
    EXPECT_EQ(library.tiles().size(), static_cast<size_t>(kPictures));
    EXPECT_EQ(library.pictures({}, 0, 100).size(), 100u);
  });
  Library library(file());
  const double rare = milliseconds([&] { EXPECT_EQ(library.tiles({.text = "unicorn"}).size(), 100u); });
  const double common = milliseconds([&] { EXPECT_GT(library.tiles({.text = "castle moon"}).size(), 1000u); });
  const double page = milliseconds([&] { EXPECT_EQ(library.pictures({}, kPictures - 100, 100).size(), 100u); });
  RecordProperty("open_ms", std::to_string(open));
  std::printf("100 000 pictures: open and lay out %.1f ms, rare word %.1f ms, common words %.1f ms, last page %.1f ms\n", open, rare,
              common, page);
  // The goals are 300 and 50 ms; a machine busy with other tests gets four times as much.
  EXPECT_LT(open, 1200);
  EXPECT_LT(rare, 200);
  EXPECT_LT(page, 200);
}

}  // namespace
}  // namespace linea
