// app/library/sqlite.h: SQLite with errors as linea::Error and statements that are prepared once. Private to app/library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace linea::sqlite {

class Connection;

// A prepared statement in use; reset when it goes out of scope. Parameters and columns count from 0.
class Query {
 public:
  Query(Connection& connection, const std::string& sql);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  template <class... Values> Query& bind_all(const Values&... values) {
    int index = 0;
    (bind(index++, values), ...);
    return *this;
  }
  void bind(int index, int64_t value);
  void bind(int index, int value) { bind(index, static_cast<int64_t>(value)); }
  void bind(int index, double value);
  void bind(int index, std::string_view text);
  void bind(int index, const std::string& text) { bind(index, std::string_view(text)); }
  void bind(int index, const char* text) { bind(index, std::string_view(text)); }
  void bind(int index, const std::filesystem::path& path) { bind(index, std::string_view(path.native())); }
  void bind(int index, const std::vector<uint8_t>& bytes);

  bool step();  // true = a row
  void run() {
    while (step()) {
    }
  }

  int64_t integer(int column) const;
  double number(int column) const;
  std::string text(int column) const;
  std::vector<uint8_t> bytes(int column) const;

 private:
  Connection& connection_;
  std::string sql_;
  sqlite3_stmt* statement_;
};

class Connection {
 public:
  Connection(const std::filesystem::path& path, const char* what);  // what: "library", for messages
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void execute(const std::string& script);
  template <class... Values> void run(const std::string& sql, const Values&... values) { Query(*this, sql).bind_all(values...).run(); }
  template <class... Values> int64_t integer(const std::string& sql, const Values&... values) {
    Query query(*this, sql);
    query.bind_all(values...);
    return query.step() ? query.integer(0) : 0;
  }
  int64_t last_id() const;
  int64_t changes() const;
  [[noreturn]] void fail(int code) const;

 private:
  friend class Query;
  sqlite3_stmt* take(const std::string& sql);

  std::filesystem::path path_;
  std::string what_;
  sqlite3* handle_ = nullptr;
  std::multimap<std::string, sqlite3_stmt*> idle_;
};

// Rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Connection& connection) : connection_(connection) { connection_.run("BEGIN IMMEDIATE"); }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection& connection_;
  bool open_ = true;
};

}  // namespace linea::sqlite
