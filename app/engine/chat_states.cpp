#include "app/engine/chat_states.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "core/error.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".state";
constexpr size_t kNewest = 8;  // of a chat, which thinning leaves alone

struct StateFile {
  int64_t chat = 0, number = 0;
  fs::path path;
};

std::string name_of(int64_t chat, int64_t number) { return std::to_string(chat) + "-" + std::to_string(number) + std::string(kEnding); }

std::optional<StateFile> parse(const fs::path& path) {
  StateFile file{.path = path};
  const std::string name = path.filename().string();
  const char* const end = name.data() + name.size();
  const auto [dash, chat_error] = std::from_chars(name.data(), end, file.chat);
  if (chat_error != std::errc() || dash == end || *dash != '-') return std::nullopt;
  const auto [rest, number_error] = std::from_chars(dash + 1, end, file.number);
  if (number_error != std::errc() || std::string_view(rest, static_cast<size_t>(end - rest)) != kEnding) return std::nullopt;
  return file;
}

std::vector<StateFile> files_in(const fs::path& folder) {
  std::vector<StateFile> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (auto file = parse(it->path())) files.push_back(std::move(*file));
  }
  return files;
}

// Those of a chat, the newest first.
std::vector<StateFile> files_of(const fs::path& folder, int64_t chat) {
  std::vector<StateFile> files = files_in(folder);
  std::erase_if(files, [&](const StateFile& file) { return file.chat != chat; });
  std::sort(files.begin(), files.end(), [](const StateFile& a, const StateFile& b) { return a.number > b.number; });
  return files;
}

}  // namespace

std::string ChatStates::keep(int64_t chat, const ChatSession& session, int64_t most_bytes) {
  std::error_code ignored;
  fs::create_directories(folder_, ignored);
  const std::vector<StateFile> files = files_of(folder_, chat);
  const std::string name = name_of(chat, files.empty() ? 1 : files.front().number + 1);
  session.save(folder_ / name, most_bytes);
  thin_out(chat);
  keep_within_limit();
  return name;
}

bool ChatStates::recall(const std::string& name, ChatSession& session) const {
  if (!parse(name) || fs::path(name).has_parent_path()) return false;
  const fs::path path = folder_ / name;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  try {
    session.load(path);
  } catch (const Error&) {  // reading the chat gives the same
    return false;
  }
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  return true;
}

// Takes away the one whose neighbours stand closest together, measured by how far back they lie: distances grow with the age.
void ChatStates::thin_out(int64_t chat) const {
  std::vector<StateFile> files = files_of(folder_, chat);
  while (files.size() > std::max(limits_.files_a_chat, kNewest + 1)) {
    const auto gap = [&](size_t i) {
      const auto age = static_cast<double>(files[0].number - files[i].number);
      return static_cast<double>(files[i - 1].number - files[i + 1].number) / age;
    };
    size_t least = kNewest;
    for (size_t i = kNewest; i + 1 < files.size(); ++i) least = gap(i) < gap(least) ? i : least;
    std::error_code ignored;
    fs::remove(files[least].path, ignored);
    files.erase(files.begin() + static_cast<std::ptrdiff_t>(least));
  }
}

void ChatStates::keep_within_limit() const {
  struct Use {
    fs::file_time_type time;
    int64_t bytes;
    fs::path path;
  };
  std::vector<Use> uses;
  int64_t total = 0;
  for (const StateFile& file : files_in(folder_)) {
    std::error_code error;
    const auto bytes = static_cast<int64_t>(fs::file_size(file.path, error));
    if (error) continue;
    total += bytes;
    uses.push_back({fs::last_write_time(file.path, error), bytes, file.path});
  }
  std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) { return a.time < b.time; });
  for (size_t i = 0; i + 1 < uses.size() && total > limits_.bytes; ++i) {
    std::error_code ignored;
    fs::remove(uses[i].path, ignored);
    total -= uses[i].bytes;
  }
}

}  // namespace linea
