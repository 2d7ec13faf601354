#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "core/mapped_file.h"
#include "tests/core/fixtures.h"

namespace linea {
namespace {

using test::expect_error;
using test::read_bytes;
using test::TemporaryFolder;
using test::write_bytes;

TEST(AtomicFile, AppearsOnlyWithCommit) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "a.txt");
    file.write("half ");
    EXPECT_FALSE(std::filesystem::exists(folder / "a.txt"));
    file.write("whole");
    file.commit();
  }
  EXPECT_EQ(read_bytes(folder / "a.txt"), "half whole");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, AbandonedLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.txt", "old");
  {
    AtomicFile file(folder / "a.txt");
    file.write("new");
    EXPECT_EQ(folder.entries(), 2);
  }
  EXPECT_EQ(read_bytes(folder / "a.txt"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, ReplacesWithTheSamePermissions) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.txt", "old");
  std::filesystem::permissions(folder / "a.txt", std::filesystem::perms(0640));
  write_file(folder / "a.txt", "new");
  EXPECT_EQ(read_bytes(folder / "a.txt"), "new");
  EXPECT_EQ(std::filesystem::status(folder / "a.txt").permissions(), std::filesystem::perms(0640));
}

TEST(AtomicFile, FollowsLinks) {
  const TemporaryFolder folder;
  write_bytes(folder / "real.txt", "old");
  std::filesystem::create_symlink("real.txt", folder / "link.txt");
  std::filesystem::create_symlink("later.txt", folder / "dangling.txt");
  write_file(folder / "link.txt", "new");
  write_file(folder / "dangling.txt", "made");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link.txt"));
  EXPECT_EQ(read_bytes(folder / "real.txt"), "new");
  EXPECT_EQ(read_bytes(folder / "later.txt"), "made");
  std::filesystem::create_symlink("loop", folder / "loop");
  expect_error(ErrorKind::kUsage, "symbolic links", [&] { write_file(folder / "loop", "x"); });
}

TEST(AtomicFile, LongNamesFit) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  write_file(folder / name, "x");
  EXPECT_EQ(read_bytes(folder / name), "x");
  expect_error(ErrorKind::kUsage, "cannot write", [&] { write_file(folder / (name + "n"), "x"); });
}

TEST(AtomicFile, RefusesImpossibleTargetsBeforeAnyWork) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "x");
  expect_error(ErrorKind::kUsage, "is a folder", [&] { check_output_path(folder.path()); });
  expect_error(ErrorKind::kUsage, "names a folder", [&] { check_output_path(folder / "new/"); });
  expect_error(ErrorKind::kUsage, "No such file or directory", [&] { check_output_path(folder / "missing/a.png"); });
  expect_error(ErrorKind::kUsage, "Not a directory", [&] { check_output_path(folder / "file/a.png"); });
  expect_error(ErrorKind::kUsage, "is empty", [] { check_output_path(""); });
  expect_error(ErrorKind::kUsage, "missing", [&] { AtomicFile(folder / "missing/a.png"); });
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_NO_THROW(check_output_path(folder / "new.png"));
  EXPECT_NO_THROW(check_output_path("name-without-folder.png"));
}

TEST(AtomicFile, FullDeviceIsAnIoError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP();
  expect_error(ErrorKind::kIo, "/dev/full: cannot write: No space left on device", [] { write_file("/dev/full", "x"); });
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST(AtomicFile, DevicesAreWrittenDirectly) {
  write_file("/dev/null", "x");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(MappedFile, MapsTheWholeFile) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "content");
  const MappedFile file(folder / "a");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.data()), static_cast<size_t>(file.size())), "content");
  write_bytes(folder / "empty", "");
  EXPECT_EQ(MappedFile(folder / "empty").size(), 0);
}

TEST(MappedFile, ReleasedPagesComeBackFromTheFile) {
  const TemporaryFolder folder;
  constexpr size_t kPages = 4096, kPage = 4096;
  const std::string content(kPages * kPage, 'x');
  write_bytes(folder / "a", content);
  const MappedFile file(folder / "a");
  const auto text = [&] { return std::string_view(reinterpret_cast<const char*>(file.data()), static_cast<size_t>(file.size())); };
  const auto resident_pages = [] {
    size_t all = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> all >> resident;
    return resident;
  };
  EXPECT_EQ(text(), content);
  const size_t before = resident_pages();
  release_pages(file.data() + 5, file.size() - 5);
  EXPECT_LT(resident_pages() + kPages / 2, before);
  EXPECT_EQ(text(), content);
  std::string other = content;  // memory that is no file's keeps what it holds
  release_pages(other.data(), static_cast<int64_t>(other.size()));
  EXPECT_EQ(other, content);
}

TEST(ReadFile, TakesAPipeUntilItsWritersCloseIt) {
  const TemporaryFolder folder;
  const std::filesystem::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(read_file(pipe, 100, ErrorKind::kBadFile), "");  // nobody writes it
  const auto written = [&](const std::string& text, int64_t max_bytes) {
    const int writer = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
    const std::jthread slow([&, writer] {
      for (const char c : text) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        EXPECT_EQ(::write(writer, &c, 1), 1);
      }
      ::close(writer);
    });
    return read_file(pipe, max_bytes, ErrorKind::kBadFile);
  };
  EXPECT_EQ(written("slowly", 6), "slowly");
  expect_error(ErrorKind::kBadFile, "has more than the 5 bytes that are read", [&] { written("slowly", 5); });
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::kModel, "is a folder, expected a file", [&] { MappedFile(folder.path()); });
  expect_error(ErrorKind::kBadFile, "cannot open: No such file", [&] { MappedFile(folder / "absent", ErrorKind::kBadFile); });
  expect_error(ErrorKind::kModel, "is not a regular file", [] { MappedFile("/dev/zero"); });
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error(ErrorKind::kModel, "is not a regular file", [&] { MappedFile(folder / "pipe"); });
  write_bytes(folder / "secret", "x");
  std::filesystem::permissions(folder / "secret", std::filesystem::perms::none);
  if (::geteuid() != 0) {
    expect_error(ErrorKind::kModel, "Permission denied", [&] { MappedFile(folder / "secret"); });
  }
}

}  // namespace
}  // namespace linea
