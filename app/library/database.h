// app/library/database.h: the library's file, its schema, and what its parts share. Private to app/library.
#pragma once

#include <memory>
#include <string>

#include "app/library/library.h"
#include "app/library/sqlite.h"

namespace linea {

class Library::Database {
 public:
  explicit Database(const std::filesystem::path& path);

  sqlite::Connection& main() { return main_; }
  sqlite::Connection& thumbnails();  // opened, and made, when first asked for

 private:
  std::filesystem::path path_;
  sqlite::Connection main_;
  std::unique_ptr<sqlite::Connection> thumbnails_;
};

double now_seconds();  // since 1970

// The row of a path, new or replaced; within the caller's transaction.
int64_t insert_picture(sqlite::Connection& db, const PictureRecord& record);

// A search as people type it, for FTS5: words that must occur (each as a prefix, "quoted words" as a phrase), and those that must not.
struct TextQuery {
  std::string wanted, unwanted;  // empty = no such condition
};
TextQuery parse_text_query(const std::string& text);

}  // namespace linea
