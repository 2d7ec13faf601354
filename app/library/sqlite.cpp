#include "app/library/sqlite.h"

#include <sqlite3.h>

#include "core/error.h"
#include "core/text.h"

namespace linea::sqlite {
namespace {

constexpr int kBusyMilliseconds = 10000;  // another process may be writing
constexpr size_t kIdleStatements = 128;

ErrorKind kind_of(int code) {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: return ErrorKind::kBadFile;
    case SQLITE_NOMEM: return ErrorKind::kMemory;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR: return ErrorKind::kInternal;
    default: return ErrorKind::kIo;
  }
}

}  // namespace

Query::Query(Connection& connection, const std::string& sql) : connection_(connection), sql_(sql), statement_(connection.take(sql)) {}

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  if (connection_.idle_.size() >= kIdleStatements) {
    sqlite3_finalize(statement_);
  } else {
    connection_.idle_.emplace(sql_, statement_);
  }
}

void Query::bind(int index, int64_t value) { sqlite3_bind_int64(statement_, index + 1, value); }
void Query::bind(int index, double value) { sqlite3_bind_double(statement_, index + 1, value); }
void Query::bind(int index, std::string_view text) {
  const int code = sqlite3_bind_text64(statement_, index + 1, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) connection_.fail(code);
}
void Query::bind(int index, const std::vector<uint8_t>& bytes) {
  const int code = sqlite3_bind_blob64(statement_, index + 1, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) connection_.fail(code);
}

bool Query::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) connection_.fail(code);
  return false;
}

int64_t Query::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Query::number(int column) const { return sqlite3_column_double(statement_, column); }
std::string Query::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text ? std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}
std::vector<uint8_t> Query::bytes(int column) const {
  const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
  return data ? std::vector<uint8_t>(data, data + sqlite3_column_bytes(statement_, column)) : std::vector<uint8_t>();
}

Connection::Connection(const std::filesystem::path& path, const char* what) : path_(path), what_(what) {
  const int code = sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const std::string reason = handle_ ? sqlite3_errmsg(handle_) : "out of memory";
    sqlite3_close(handle_);
    throw Error(ErrorKind::kIo, what_ + " " + printable(path.string(), 4096) + ": " + reason);
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, kBusyMilliseconds);
}

Connection::~Connection() {
  for (const auto& [sql, statement] : idle_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

void Connection::execute(const std::string& script) {
  const int code = sqlite3_exec(handle_, script.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

int64_t Connection::last_id() const { return sqlite3_last_insert_rowid(handle_); }
int64_t Connection::changes() const { return sqlite3_changes64(handle_); }

void Connection::fail(int code) const {
  const ErrorKind kind = kind_of(code);
  throw Error(kind, what_ + " " + printable(path_.string(), 4096) + ": " + sqlite3_errmsg(handle_),
              kind == ErrorKind::kBadFile ? "move the file away to start a new one; pictures are not lost with it" : "");
}

sqlite3_stmt* Connection::take(const std::string& sql) {
  if (const auto found = idle_.find(sql); found != idle_.end()) {
    sqlite3_stmt* statement = found->second;
    idle_.erase(found);
    return statement;
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.c_str(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) fail(code);
  return statement;
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    connection_.run("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back by itself, as after a full disk
    open_ = false;
  }
}

void Transaction::commit() {
  connection_.run("COMMIT");
  open_ = false;
}

}  // namespace linea::sqlite
