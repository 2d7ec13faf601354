// kill -9 at random moments of a queue of pictures and a chat: what the window has shown as done or said is there after the next start.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "app/library/library.h"
#include "tests/studio/gui.h"

namespace linea::test {
namespace {

class KillGui : public StudioTest {
 protected:
  // What a run has shown: jobs as done, messages without the note that they are not saved yet.
  void collect(const std::string& shown) {
    std::istringstream lines(shown);
    std::set<std::string> unsaved;
    for (std::string line; std::getline(lines, line);) {
      if (!line.ends_with("\"")) continue;  // cut off by the kill
      const size_t noted = line.find("question ");
      if (line.starts_with("#chat/unsaved ") && noted != std::string::npos)
        unsaved.insert(line.substr(noted, line.find('"', noted) - noted));
      if (line.starts_with("#chat/input ")) unsaved.clear();  // behind the messages of a frame
      if (line.starts_with("#queue/row/") && line.ends_with("= \"done\"")) done_.insert(std::atoll(line.c_str() + 11));
      if (!line.starts_with("#text \"question ")) continue;  // an answer being written is saved twice a second
      const size_t at = line.find("question ");
      const std::string text = line.substr(at, line.find('"', at) - at);
      const bool asked = text.find_first_not_of("0123456789", 9) == std::string::npos;  // and no answer that begins like it
      if (asked && !unsaved.contains(text)) said_.insert(text);                         // the note comes before the text
    }
  }

  // All of it is in the library, whose pictures can be read.
  void check() {
    Library library(home_.library());
    EXPECT_TRUE(library.integrity_problems().empty());
    std::set<int64_t> done;
    for (const StoredJob& job : library.jobs()) {
      if (job.state == "done") done.insert(job.id);
    }
    for (const int64_t id : done_) EXPECT_TRUE(done.contains(id)) << "job " << id << " was shown as done";
    std::set<std::string> said;
    for (const ChatRecord& chat : library.chats()) {
      for (const MessageRecord& message : library.messages(chat.id)) said.insert(message.text);
    }
    for (const std::string& text : said_) EXPECT_TRUE(said.contains(text)) << text;
    for (const PictureRecord& picture : library.pictures({}, 0, 1000)) EXPECT_EQ(read_image(picture.path).width, 256) << picture.path;
  }

  std::set<int64_t> done_;
  std::set<std::string> said_;
};

// 100 kills over 40 pictures with LINEA_LONG_TESTS=1.
TEST_F(KillGui, NothingThatWasShownIsLost) {
  const bool full = std::getenv("LINEA_LONG_TESTS") != nullptr;
  const int kills = full ? 100 : 4, pictures = full ? 40 : 6;
  std::filesystem::create_directories(home_ / "config/linea");
  std::ofstream(home_.settings()) << Json(
      {{"version", 1},
       {"output_folder", home_.pictures().string()},
       {"form", {{"prompt", "a red apple"}, {"width", 256}, {"height", 256}, {"steps", full ? 20 : 4}}}});
  std::mt19937 random(7);
  std::string queue_all = "wait item \"Generate\"\nwait frames 2\n";
  for (int i = 0; i < pictures; ++i) queue_all += "key Ctrl+Enter\nwait frames 2\n";
  expect_success(home_.run(queue_all));  // and leaves, however long it takes on a busy machine
  ASSERT_EQ(Library(home_.library()).jobs().size(), static_cast<size_t>(pictures));
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    std::string script =
        "view chat\nwait item #chat/input\nclick #chat/input\ntype \"question " + std::to_string(kill_number) + "\"\nkey Enter\n";
    for (int i = 0; i < 200; ++i) script += "dump\nview " + std::string(i % 2 ? "chat" : "queue") + "\nwait seconds 0.04\n";
    std::ofstream(home_ / "test.script") << script;
    const pid_t studio = home_.start({LINEA_STUDIO_PROGRAM, "--window", "1280x800", "--script", (home_ / "test.script").string()});
    usleep(300000 + static_cast<useconds_t>(random() % 3700000));
    kill(studio, SIGKILL);
    collect(home_.wait(studio).out);
    check();
  }
  expect_success(home_.run("wait idle\nview queue\nwait frames 3\ndump\n"));
  check();
  Library library(home_.library());
  EXPECT_EQ(library.count_pictures(), pictures);
  EXPECT_FALSE(done_.empty() && said_.empty());
  for (const StoredJob& job : library.jobs()) EXPECT_EQ(job.state, "done") << job.id;
  for (const auto& file : std::filesystem::recursive_directory_iterator(home_.pictures()))
    EXPECT_NE(file.path().extension(), ".part") << file.path();
  std::printf("%d kills: %zu jobs and %zu messages had been shown, all are there\n", kills, done_.size(), said_.size());
}

}  // namespace
}  // namespace linea::test
