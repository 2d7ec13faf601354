#include "app/engine/manifest.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/text.h"
#include "core/whole_number.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxLine = size_t{1} << 20;

[[noreturn]] void fail(const fs::path& file, const std::string& action) {
  throw Error(ErrorKind::kIo, printable(file.string(), 4096) + ": cannot " + action + ": " + std::strerror(errno));
}

bool is_manifest(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == "manifest.jsonl" || (name.starts_with("manifest-") && name.ends_with(".jsonl"));
}

bool read_entry(const std::string& line, ManifestEntry& entry) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("file")) return false;
  try {
    json.at("file").get_to(entry.file);
    json.at("sha256").get_to(entry.sha256);
    json.at("key").get_to(entry.key);
    entry.bytes = whole_number<int64_t>(json.at("bytes"), "bytes");
    entry.index = whole_number<int64_t>(json.at("index"), "index");
    entry.id = json.value("id", "");
    entry.n = whole_number<int>(json.value("n", Json(1)), "n");
    entry.width = whole_number<int64_t>(json.value("width", Json(0)), "width");
    entry.height = whole_number<int64_t>(json.value("height", Json(0)), "height");
    entry.seed = whole_number<uint64_t>(json.value("seed", Json(0)), "seed");
    entry.seconds = json.value("seconds", 0.0);
    return true;
  } catch (const Error&) {
    return false;
  } catch (const Json::exception&) {
    return false;
  }
}

// Where the last whole line ends.
off_t end_of_lines(int descriptor) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  std::string tail(static_cast<size_t>(std::min<off_t>(size, static_cast<off_t>(kMaxLine))), '\0');
  const off_t from = size - static_cast<off_t>(tail.size());
  if (::pread(descriptor, tail.data(), tail.size(), from) != static_cast<ssize_t>(tail.size())) return size;
  const size_t newline = tail.rfind('\n');
  return newline == std::string::npos ? from : from + static_cast<off_t>(newline) + 1;
}

}  // namespace

std::map<std::string, ManifestEntry> read_manifests(const fs::path& folder) {
  std::map<std::string, ManifestEntry> entries;
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (is_manifest(entry.path())) files.push_back(entry.path());
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    throw Error(ErrorKind::kIo, printable(folder.string(), 4096) + ": cannot be read: " + error.message());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Error(ErrorKind::kIo, printable(file.string(), 4096) + ": cannot be read");
    std::string line;
    while (std::getline(stream, line)) {
      ManifestEntry entry;
      if (line.size() <= kMaxLine && read_entry(line, entry)) entries[entry.file] = std::move(entry);
    }
  }
  return entries;
}

bool has_manifest(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator files(folder, error);
  return !error && std::any_of(begin(files), end(files), [](const fs::directory_entry& entry) { return is_manifest(entry.path()); });
}

ManifestWriter::ManifestWriter(const fs::path& file) : file_(file) {
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(file, "write");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    throw Error(ErrorKind::kUsage, printable(file.string(), 4096) + ": another process is making these pictures",
                "wait for it, or give --shard");
  }
  const off_t end = end_of_lines(descriptor_);
  if (::ftruncate(descriptor_, end) != 0 || ::lseek(descriptor_, end, SEEK_SET) != end) {
    ::close(descriptor_);
    fail(file, "write");
  }
}

ManifestWriter::~ManifestWriter() { ::close(descriptor_); }

// A line that could only be written in part is taken back, so that the file never holds half a line before a whole one.
void ManifestWriter::append(const std::string& line) {
  const off_t start = ::lseek(descriptor_, 0, SEEK_CUR);
  for (size_t done = 0; done < line.size();) {
    const ssize_t written = ::write(descriptor_, line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int reason = errno;
      if (::ftruncate(descriptor_, start) == 0) ::lseek(descriptor_, start, SEEK_SET);
      errno = reason;
      fail(file_, "write");
    }
    done += static_cast<size_t>(written);
  }
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail(file_, "write");
  check_place();
}

// A folder that was moved or removed meanwhile: further pictures would lie in a new one, without their manifest.
void ManifestWriter::check_place() const {
  struct stat ours {
  }, there{};
  if (::fstat(descriptor_, &ours) != 0) fail(file_, "write");
  if (::stat(file_.c_str(), &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) return;
  throw Error(ErrorKind::kIo, printable(file_.string(), 4096) + ": was moved or removed while pictures were being made");
}

void ManifestWriter::add(const ManifestEntry& e) {
  nlohmann::ordered_json json = {{"file", e.file}};
  if (!e.id.empty()) json["id"] = e.id;
  json["n"] = e.n;
  json["index"] = e.index;
  json["sha256"] = e.sha256;
  json["bytes"] = e.bytes;
  json["seed"] = e.seed;
  json["width"] = e.width;
  json["height"] = e.height;
  json["seconds"] = e.seconds;
  json["key"] = e.key;
  append(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void ManifestWriter::add_failure(const std::string& id, int64_t index, int64_t line, const std::string& reason) {
  nlohmann::ordered_json json;
  if (!id.empty()) json["id"] = id;
  json["index"] = index;
  json["line"] = line;
  json["failed"] = reason;
  append(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace linea
