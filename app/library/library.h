// app/library/library.h: what outlives the process: pictures, the queue, chats and settings, in one SQLite file (WAL mode).
//
// Thread rule: a Library is used by one thread at a time; open one a thread (and a process) as needed, they see each other's changes.
// Every call may wait for the disk: never call one on a thread that draws. Errors: kBadFile for a file that is no library, is damaged or
// was written by a newer Linea; kIo when the disk refuses. Every method is one transaction: it has happened completely or not at all, and
// what it returned from is there after the process is killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace linea {

// $LINEA_LIBRARY, else $XDG_DATA_HOME/linea/library.db, else ~/.local/share/linea/library.db. Empty = none (LINEA_LIBRARY=none, or no
// home).
std::filesystem::path default_library_path();

// ---- Pictures ------------------------------------------------------------------------------------------------------------------

struct PictureRecord {
  int64_t id = 0;                // set by the library
  std::filesystem::path path{};  // absolute
  std::string settings{};        // canonical JSON (app/engine/picture_settings.h); empty = unknown
  std::string prompt{}, negative{};
  std::string model{};   // as it is shown
  std::string origin{};  // "studio", "generate", "batch", "import"
  int64_t width = 0, height = 0, bytes = 0;
  uint64_t seed = 0;
  double created = 0;  // seconds since 1970
  int stars = 0;       // 0 to 5
  std::vector<std::string> tags{};
  bool deleted = false;
};

enum class PictureOrder : uint8_t { kNewest, kOldest, kStars };

// All conditions must hold; empty or 0 = any.
struct PictureFilter {
  std::string text{};  // words of the prompt, each a prefix: "red app" finds "a red apple"; "quoted words" are a phrase; -word excludes
  std::string model{}, origin{}, tag{};
  int64_t min_side = 0, max_side = 0;  // of the longer side
  double from = 0, until = 0;          // of `created`
  int min_stars = 0;
  bool deleted = false;  // the deleted ones instead of the others
  PictureOrder order = PictureOrder::kNewest;
};

// What a gallery's layout needs of a picture.
struct PictureTile {
  int64_t id = 0;
  int32_t width = 0, height = 0;
};

struct Thumbnail {
  int64_t picture = 0;
  std::vector<uint8_t> jpeg{};
};

// ---- Queue ---------------------------------------------------------------------------------------------------------------------

struct StoredJob {
  int64_t id = 0;
  double position = 0;  // order of the waiting jobs
  std::string state{};  // name_of(JobState)
  std::string job{};    // JSON of the job
  std::string failure{}, hint{};
  int failure_kind = 0;
  double submitted = 0, started = 0, finished = 0;
};

struct StoredJobPicture {
  int64_t job = 0;
  int index = 0;
  bool done = false;
  std::filesystem::path path{};  // chosen when the picture began, and kept over restarts
  std::string result{};          // JSON of the result when done
  int64_t library_id = 0;        // its row in the gallery, where it has one: read, not written
};

// ---- Chats ---------------------------------------------------------------------------------------------------------------------

struct ChatRecord {
  int64_t id = 0;
  std::string title{}, model{};
  std::string settings{};  // JSON: system prompt, sampling
  int64_t leaf = 0;        // the message that is shown last; 0 = none
  double created = 0, updated = 0;
};

// Messages of a chat form a tree: alternatives share a parent.
struct MessageRecord {
  int64_t id = 0, chat = 0;
  int64_t parent = 0;  // 0 = a first message
  std::string role{};  // "system", "user", "assistant"
  std::string text{};
  std::string state_file{};  // the model's state after this message; empty = none
  std::string details{};     // JSON: tokens, tokens/s, sampling, …
  double created = 0, updated = 0;
};

class Library {
 public:
  static constexpr int kSchemaVersion = 1;

  // Makes the file and its folder when missing.
  explicit Library(const std::filesystem::path& path);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::vector<std::string> integrity_problems();  // empty = sound
  int64_t change_count();                         // differs after another connection (a process, a thread) changed the file

  // Pictures. add_picture returns the id; a path that is already there is updated in place (stars and tags stay).
  int64_t add_picture(const PictureRecord& picture);
  std::vector<int64_t> add_pictures(const std::vector<PictureRecord>& pictures);  // in one transaction
  std::optional<PictureRecord> picture(int64_t id);
  std::optional<PictureRecord> picture_at(const std::filesystem::path& path);
  int64_t count_pictures(const PictureFilter& filter = {});
  std::vector<PictureTile> tiles(const PictureFilter& filter = {});  // all that match, in order
  std::vector<PictureRecord> pictures(const PictureFilter& filter, int64_t offset, int64_t limit);
  std::vector<std::string> models();  // of the pictures, most used first
  std::vector<std::string> tags();
  void set_stars(const std::vector<int64_t>& ids, int stars);
  void set_tags(int64_t id, const std::vector<std::string>& tags);

  // Deleting moves the file into a hidden folder ".linea-trash" beside it; restoring moves it back (beside its old name when that is
  // taken); purging removes for good what was deleted before `before` (seconds since 1970). Files that are gone are no error.
  void delete_pictures(const std::vector<int64_t>& ids);
  void restore_pictures(const std::vector<int64_t>& ids);
  int64_t purge_deleted(double before);
  int64_t forget_missing(int64_t from_id, int64_t limit);  // drops rows whose file is gone; returns the id to go on from, 0 at the end

  // Thumbnails live in a file of their own beside the library, which may be removed at any time.
  std::vector<Thumbnail> thumbnails(const std::vector<int64_t>& pictures);
  void put_thumbnail(int64_t picture, const std::vector<uint8_t>& jpeg);
  std::vector<int64_t> without_thumbnail(int64_t limit);

  // Queue.
  void put_job(const StoredJob& job);  // inserts, or replaces the row of that id
  void remove_job(int64_t id);
  std::vector<StoredJob> jobs();  // waiting and running by position, then finished ones, newest first
  int64_t next_job_id();          // above every id ever given
  void put_job_picture(const StoredJobPicture& picture);
  // The picture's row in the gallery and its mark in the queue, together. Returns the picture's id.
  int64_t finish_job_picture(const StoredJobPicture& picture, const PictureRecord& record);
  std::vector<StoredJobPicture> job_pictures(int64_t job);

  // Chats.
  int64_t add_chat(const ChatRecord& chat);
  void update_chat(const ChatRecord& chat);
  std::optional<ChatRecord> chat(int64_t id);
  // Newest first; `search` looks through titles and messages as PictureFilter::text does.
  std::vector<ChatRecord> chats(const std::string& search = {}, int64_t offset = 0, int64_t limit = 200);
  void delete_chat(int64_t id);  // hides it
  void restore_chat(int64_t id);
  int64_t purge_deleted_chats(double before);  // removes for good; the state files named by messages are the caller's to remove first

  int64_t add_message(const MessageRecord& message);  // touches the chat's `updated`
  void update_message(const MessageRecord& message);  // text, state file and details of an existing one
  std::vector<MessageRecord> messages(int64_t chat);  // the whole tree, in order of id
  void delete_message(int64_t id);                    // with everything below it

  // Settings of front ends: a key and any text.
  std::optional<std::string> setting(const std::string& key);
  void set_setting(const std::string& key, const std::string& value);

 private:
  class Database;
  std::filesystem::path path_{};
  std::unique_ptr<Database> db_;
};

}  // namespace linea
