#include "app/library/database.h"

#include <chrono>
#include <cstdlib>

#include "core/error.h"
#include "core/text.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kApplicationId = 0x4c696e61;  // "Lina": tells the file from other programs' databases

constexpr const char* kSchema = R"(
CREATE TABLE pictures (
  id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, settings TEXT NOT NULL, prompt TEXT NOT NULL, negative TEXT NOT NULL,
  model TEXT NOT NULL, origin TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL,
  seed INTEGER NOT NULL, created REAL NOT NULL, stars INTEGER NOT NULL DEFAULT 0, deleted REAL NOT NULL DEFAULT 0,
  trash TEXT NOT NULL DEFAULT '');
CREATE INDEX pictures_by_date ON pictures (created, id, width, height, stars, model, origin) WHERE deleted = 0;
CREATE INDEX pictures_deleted ON pictures (deleted) WHERE deleted > 0;
CREATE VIRTUAL TABLE pictures_text USING fts5 (prompt, content = 'pictures', content_rowid = 'id',
  tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3', columnsize = 0, detail = full);
CREATE TRIGGER pictures_inserted AFTER INSERT ON pictures BEGIN
  INSERT INTO pictures_text (rowid, prompt) VALUES (new.id, new.prompt); END;
CREATE TRIGGER pictures_removed AFTER DELETE ON pictures BEGIN
  INSERT INTO pictures_text (pictures_text, rowid, prompt) VALUES ('delete', old.id, old.prompt);
  DELETE FROM picture_tags WHERE picture = old.id; END;
CREATE TRIGGER pictures_changed AFTER UPDATE OF prompt ON pictures WHEN old.prompt <> new.prompt BEGIN
  INSERT INTO pictures_text (pictures_text, rowid, prompt) VALUES ('delete', old.id, old.prompt);
  INSERT INTO pictures_text (rowid, prompt) VALUES (new.id, new.prompt); END;
CREATE TABLE picture_tags (picture INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (picture, tag)) WITHOUT ROWID;
CREATE INDEX pictures_by_tag ON picture_tags (tag, picture);

CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, position REAL NOT NULL, state TEXT NOT NULL, job TEXT NOT NULL, failure TEXT NOT NULL,
  hint TEXT NOT NULL, failure_kind INTEGER NOT NULL, submitted REAL NOT NULL, started REAL NOT NULL, finished REAL NOT NULL);
CREATE TABLE job_pictures (
  job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, picture INTEGER NOT NULL, done INTEGER NOT NULL, path TEXT NOT NULL,
  result TEXT NOT NULL, PRIMARY KEY (job, picture)) WITHOUT ROWID;

CREATE TABLE chats (
  id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, model TEXT NOT NULL, settings TEXT NOT NULL, leaf INTEGER NOT NULL,
  created REAL NOT NULL, updated REAL NOT NULL, deleted REAL NOT NULL DEFAULT 0);
CREATE INDEX chats_by_date ON chats (updated) WHERE deleted = 0;
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, chat INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE, parent INTEGER NOT NULL,
  role TEXT NOT NULL, text TEXT NOT NULL, state_file TEXT NOT NULL, details TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL);
CREATE INDEX messages_by_chat ON messages (chat, id);
CREATE INDEX messages_by_parent ON messages (parent) WHERE parent > 0;
CREATE VIRTUAL TABLE messages_text USING fts5 (text, content = 'messages', content_rowid = 'id',
  tokenize = 'unicode61 remove_diacritics 2', columnsize = 0);
CREATE TRIGGER messages_inserted AFTER INSERT ON messages BEGIN
  INSERT INTO messages_text (rowid, text) VALUES (new.id, new.text); END;
CREATE TRIGGER messages_removed AFTER DELETE ON messages BEGIN
  INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.id, old.text); END;
CREATE TRIGGER messages_changed AFTER UPDATE OF text ON messages WHEN old.text <> new.text BEGIN
  INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.id, old.text);
  INSERT INTO messages_text (rowid, text) VALUES (new.id, new.text); END;

CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)";

std::string shown(const fs::path& path) { return printable(path.string(), 4096); }

void make_folder_of(const fs::path& path) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) throw Error(ErrorKind::kIo, "library " + shown(path) + ": the folder cannot be made: " + error.message());
}

}  // namespace

double now_seconds() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

fs::path default_library_path() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (const std::string path = variable("LINEA_LIBRARY"); !path.empty()) return path == "none" ? fs::path() : fs::path(path);
  if (const std::string data = variable("XDG_DATA_HOME"); !data.empty()) return fs::path(data) / "linea" / "library.db";
  if (const std::string home = variable("HOME"); !home.empty()) return fs::path(home) / ".local" / "share" / "linea" / "library.db";
  return {};
}

Library::Database::Database(const fs::path& path) : path_(path), main_((make_folder_of(path), path), "library") {
  main_.execute("PRAGMA foreign_keys = ON");
  const int64_t tables = main_.integer("SELECT count(*) FROM sqlite_schema");  // the first read: tells a file that is no database
  const int64_t application = main_.integer("PRAGMA application_id");
  if (tables > 0 && application != kApplicationId) {
    throw Error(ErrorKind::kBadFile, "library " + shown(path) + ": is a database of another program", "set LINEA_LIBRARY to another file");
  }
  const auto check_version = [&] {
    const int64_t version = main_.integer("PRAGMA user_version");
    if (version > kSchemaVersion) {
      throw Error(ErrorKind::kBadFile,
                  "library " + shown(path) + ": was written by a newer Linea (form " + std::to_string(version) + "; this one knows form " +
                      std::to_string(kSchemaVersion) + ")",
                  "update Linea, or set LINEA_LIBRARY to another file");
    }
    return version;
  };
  if (check_version() == kSchemaVersion) {
    main_.execute("PRAGMA synchronous = NORMAL");
    return;
  }
  main_.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  sqlite::Transaction transaction(main_);
  if (check_version() == 0) {  // not meanwhile by another process
    main_.execute(kSchema);
    main_.execute("PRAGMA application_id = " + std::to_string(kApplicationId) +
                  "; PRAGMA user_version = " + std::to_string(kSchemaVersion));
  }
  transaction.commit();
}

sqlite::Connection& Library::Database::thumbnails() {
  if (!thumbnails_) {
    fs::path file = path_;
    file.replace_filename(path_.stem().string() + "-thumbnails.db");
    thumbnails_ = std::make_unique<sqlite::Connection>(file, "thumbnails");
    thumbnails_->execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    thumbnails_->execute("CREATE TABLE IF NOT EXISTS thumbnails (picture INTEGER PRIMARY KEY, jpeg BLOB NOT NULL)");
  }
  return *thumbnails_;
}

// FTS5 takes "…" as a string of words; a quote inside is doubled.
TextQuery parse_text_query(const std::string& text) {
  TextQuery query;
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<unsigned char>(text[at]) <= ' ') {
      ++at;
      continue;
    }
    const bool unwanted = text[at] == '-' && at + 1 < text.size() && text[at + 1] != ' ';
    if (unwanted) ++at;
    const bool phrase = text[at] == '"';
    if (phrase) ++at;
    size_t end = at;
    while (end < text.size() && (phrase ? text[end] != '"' : static_cast<unsigned char>(text[end]) > ' ')) ++end;
    std::string term;
    for (const char c : to_valid_utf8(std::string_view(text).substr(at, end - at))) {
      if (c == '"') term += '"';
      if (c != '\0') term += c;
    }
    at = end + (phrase ? 1 : 0);
    if (term.empty()) continue;
    std::string& side = unwanted ? query.unwanted : query.wanted;
    if (!side.empty()) side += unwanted ? " OR " : " AND ";
    side += "\"" + term + (phrase ? "\"" : "\" *");
  }
  return query;
}

Library::Library(const fs::path& path) : path_(path), db_(std::make_unique<Database>(path)) {}
Library::~Library() = default;

std::vector<std::string> Library::integrity_problems() {
  std::vector<std::string> problems;
  sqlite::Query query(db_->main(), "PRAGMA integrity_check");
  while (query.step()) {
    if (query.text(0) != "ok") problems.push_back(query.text(0));
  }
  for (const char* index : {"pictures_text", "messages_text"}) {
    try {
      db_->main().execute(std::string("INSERT INTO ") + index + " (" + index + ", rank) VALUES ('integrity-check', 1)");
    } catch (const Error& error) {
      problems.push_back(std::string(index) + ": " + error.what());
    }
  }
  return problems;
}

int64_t Library::change_count() { return db_->main().integer("PRAGMA data_version"); }

std::optional<std::string> Library::setting(const std::string& key) {
  sqlite::Query query(db_->main(), "SELECT value FROM settings WHERE key = ?");
  query.bind_all(key);
  if (!query.step()) return std::nullopt;
  return query.text(0);
}

void Library::set_setting(const std::string& key, const std::string& value) {
  db_->main().run("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value);
}

}  // namespace linea
