// The library's pictures: rows, search, deleting and its undoing, thumbnails.
#include <algorithm>
#include <functional>
#include <variant>

#include "app/library/database.h"
#include "core/error.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTrashFolder = ".linea-trash";
constexpr const char* kColumns = "id, path, settings, prompt, negative, model, origin, width, height, bytes, seed, created, stars, deleted";

using Value = std::variant<int64_t, double, std::string>;

// The text after FROM: conditions and order of a filter, and the values of its parameters.
struct Conditions {
  std::string text = "pictures";
  std::vector<Value> values;

  void add(const std::string& condition, Value value) {
    text += (text == "pictures" ? " WHERE " : " AND ") + condition;
    values.push_back(std::move(value));
  }
  void bind_to(sqlite::Query& query) const {
    for (size_t i = 0; i < values.size(); ++i) std::visit([&](const auto& value) { query.bind(static_cast<int>(i), value); }, values[i]);
  }
};

Conditions conditions_of(const PictureFilter& f) {
  Conditions c;
  c.text += f.deleted ? " WHERE deleted > 0" : " WHERE deleted = 0";
  const TextQuery text = parse_text_query(f.text);
  if (!text.wanted.empty()) c.add("id IN (SELECT rowid FROM pictures_text WHERE pictures_text MATCH ?)", text.wanted);
  if (!text.unwanted.empty()) c.add("id NOT IN (SELECT rowid FROM pictures_text WHERE pictures_text MATCH ?)", text.unwanted);
  if (!f.tag.empty()) c.add("id IN (SELECT picture FROM picture_tags WHERE tag = ?)", f.tag);
  if (!f.model.empty()) c.add("model = ?", f.model);
  if (!f.origin.empty()) c.add("origin = ?", f.origin);
  if (f.min_side > 0) c.add("max(width, height) >= ?", f.min_side);
  if (f.max_side > 0) c.add("max(width, height) <= ?", f.max_side);
  if (f.from > 0) c.add("created >= ?", f.from);
  if (f.until > 0) c.add("created < ?", f.until);
  if (f.min_stars > 0) c.add("stars >= ?", int64_t{f.min_stars});
  return c;
}

const char* order_of(PictureOrder order) {
  switch (order) {
    case PictureOrder::kOldest: return " ORDER BY created, id";
    case PictureOrder::kStars: return " ORDER BY stars DESC, created DESC, id DESC";
    default: return " ORDER BY created DESC, id DESC";
  }
}

PictureRecord read_record(const sqlite::Query& row) {
  PictureRecord r;
  r.id = row.integer(0);
  r.path = row.text(1);
  r.settings = row.text(2);
  r.prompt = row.text(3);
  r.negative = row.text(4);
  r.model = row.text(5);
  r.origin = row.text(6);
  r.width = row.integer(7);
  r.height = row.integer(8);
  r.bytes = row.integer(9);
  r.seed = static_cast<uint64_t>(row.integer(10));
  r.created = row.number(11);
  r.stars = static_cast<int>(row.integer(12));
  r.deleted = row.number(13) > 0;
  return r;
}

void add_tags(sqlite::Connection& db, PictureRecord& record) {
  sqlite::Query query(db, "SELECT tag FROM picture_tags WHERE picture = ? ORDER BY tag");
  query.bind_all(record.id);
  while (query.step()) record.tags.push_back(query.text(0));
}

void write_tags(sqlite::Connection& db, int64_t id, const std::vector<std::string>& tags) {
  db.run("DELETE FROM picture_tags WHERE picture = ?", id);
  for (const std::string& tag : tags) {
    if (!tag.empty()) db.run("INSERT OR IGNORE INTO picture_tags VALUES (?, ?)", id, tag);
  }
}

// `name` beside `wanted` that nothing has: "a.png", "a-restored-2.png", …
fs::path free_name(const fs::path& wanted) {
  fs::path path = wanted;
  std::error_code error;
  for (int n = 2; fs::exists(path, error); ++n) {
    path.replace_filename(wanted.stem().string() + "-restored-" + std::to_string(n) + wanted.extension().string());
  }
  return path;
}

}  // namespace

int64_t insert_picture(sqlite::Connection& db, const PictureRecord& r) {
  sqlite::Query query(db,
                      "INSERT INTO pictures (path, settings, prompt, negative, model, origin, width, height, bytes, seed, created, stars) "
                      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET settings = excluded.settings, "
                      "prompt = excluded.prompt, negative = excluded.negative, model = excluded.model, origin = excluded.origin, "
                      "width = excluded.width, height = excluded.height, bytes = excluded.bytes, seed = excluded.seed, "
                      "created = excluded.created, deleted = 0, trash = '' RETURNING id");
  query.bind_all(r.path, r.settings, r.prompt, r.negative, r.model, r.origin, r.width, r.height, r.bytes, static_cast<int64_t>(r.seed),
                 r.created > 0 ? r.created : now_seconds(), r.stars);
  query.step();
  const int64_t id = query.integer(0);
  query.run();
  if (!r.tags.empty()) write_tags(db, id, r.tags);
  return id;
}

int64_t Library::add_picture(const PictureRecord& picture) {
  sqlite::Transaction transaction(db_->main());
  const int64_t id = insert_picture(db_->main(), picture);
  transaction.commit();
  return id;
}

std::vector<int64_t> Library::add_pictures(const std::vector<PictureRecord>& pictures) {
  sqlite::Transaction transaction(db_->main());
  std::vector<int64_t> ids;
  for (const PictureRecord& picture : pictures) ids.push_back(insert_picture(db_->main(), picture));
  transaction.commit();
  return ids;
}

std::optional<PictureRecord> Library::picture(int64_t id) {
  sqlite::Query query(db_->main(), std::string("SELECT ") + kColumns + " FROM pictures WHERE id = ?");
  query.bind_all(id);
  if (!query.step()) return std::nullopt;
  PictureRecord record = read_record(query);
  add_tags(db_->main(), record);
  return record;
}

std::optional<PictureRecord> Library::picture_at(const fs::path& path) {
  const int64_t id = db_->main().integer("SELECT id FROM pictures WHERE path = ?", path);
  return id ? picture(id) : std::nullopt;
}

int64_t Library::count_pictures(const PictureFilter& filter) {
  const Conditions conditions = conditions_of(filter);
  sqlite::Query query(db_->main(), "SELECT count(*) FROM " + conditions.text);
  conditions.bind_to(query);
  return query.step() ? query.integer(0) : 0;
}

std::vector<PictureTile> Library::tiles(const PictureFilter& filter) {
  const Conditions conditions = conditions_of(filter);
  sqlite::Query query(db_->main(), "SELECT id, width, height FROM " + conditions.text + order_of(filter.order));
  conditions.bind_to(query);
  std::vector<PictureTile> tiles;
  while (query.step()) {
    tiles.push_back({query.integer(0), static_cast<int32_t>(query.integer(1)), static_cast<int32_t>(query.integer(2))});
  }
  return tiles;
}

std::vector<PictureRecord> Library::pictures(const PictureFilter& filter, int64_t offset, int64_t limit) {
  const Conditions conditions = conditions_of(filter);
  sqlite::Query query(db_->main(), std::string("SELECT ") + kColumns + " FROM " + conditions.text + order_of(filter.order) + " LIMIT " +
                                       std::to_string(limit) + " OFFSET " + std::to_string(offset));
  conditions.bind_to(query);
  std::vector<PictureRecord> records;
  while (query.step()) records.push_back(read_record(query));
  for (PictureRecord& record : records) add_tags(db_->main(), record);
  return records;
}

std::vector<std::string> Library::models() {
  std::vector<std::string> names;
  sqlite::Query query(db_->main(), "SELECT model FROM pictures WHERE deleted = 0 GROUP BY model ORDER BY count(*) DESC, model");
  while (query.step()) names.push_back(query.text(0));
  return names;
}

std::vector<std::string> Library::tags() {
  std::vector<std::string> names;
  sqlite::Query query(db_->main(), "SELECT DISTINCT tag FROM picture_tags ORDER BY tag");
  while (query.step()) names.push_back(query.text(0));
  return names;
}

void Library::set_stars(const std::vector<int64_t>& ids, int stars) {
  sqlite::Transaction transaction(db_->main());
  for (const int64_t id : ids) db_->main().run("UPDATE pictures SET stars = ? WHERE id = ?", std::clamp(stars, 0, 5), id);
  transaction.commit();
}

void Library::set_tags(int64_t id, const std::vector<std::string>& tags) {
  sqlite::Transaction transaction(db_->main());
  if (db_->main().integer("SELECT count(*) FROM pictures WHERE id = ?", id) > 0) write_tags(db_->main(), id, tags);
  transaction.commit();
}

// ---- Deleting -------------------------------------------------------------------------------------------------------------------

// The row is marked, with the place in the trash, before the file moves: killed in between, restoring finds the file where it was.
void Library::delete_pictures(const std::vector<int64_t>& ids) {
  for (const int64_t id : ids) {
    const std::optional<PictureRecord> record = picture(id);
    if (!record || record->deleted) continue;
    const fs::path trash = record->path.parent_path() / kTrashFolder / (std::to_string(id) + "-" + record->path.filename().string());
    db_->main().run("UPDATE pictures SET deleted = ?, trash = ? WHERE id = ?", now_seconds(), trash, id);
    std::error_code error;
    fs::create_directory(trash.parent_path(), error);
    fs::rename(record->path, trash, error);
    if (!error || !fs::exists(record->path)) continue;
    db_->main().run("UPDATE pictures SET deleted = 0, trash = '' WHERE id = ?", id);
    throw Error(ErrorKind::kIo, record->path.string() + ": cannot be deleted: " + error.message());
  }
}

void Library::restore_pictures(const std::vector<int64_t>& ids) {
  for (const int64_t id : ids) {
    sqlite::Query query(db_->main(), "SELECT path, trash FROM pictures WHERE id = ? AND deleted > 0");
    query.bind_all(id);
    if (!query.step()) continue;
    const fs::path old = query.text(0), trash = query.text(1);
    query.run();
    std::error_code error;
    fs::path path = old;
    if (fs::exists(trash, error)) {
      path = free_name(old);
      fs::rename(trash, path, error);
      if (error) throw Error(ErrorKind::kIo, path.string() + ": cannot be restored: " + error.message());
      fs::remove(trash.parent_path(), error);  // when it is empty
    }
    db_->main().run("UPDATE pictures SET deleted = 0, trash = '', path = ? WHERE id = ?", path, id);
  }
}

int64_t Library::purge_deleted(double before) {
  std::vector<std::pair<int64_t, fs::path>> rows;
  {
    sqlite::Query query(db_->main(), "SELECT id, trash FROM pictures WHERE deleted > 0 AND deleted < ?");
    query.bind_all(before);
    while (query.step()) rows.emplace_back(query.integer(0), query.text(1));
  }
  for (const auto& [id, trash] : rows) {
    std::error_code error;
    fs::remove(trash, error);
    if (!error) fs::remove(trash.parent_path(), error);  // when it is empty
  }
  sqlite::Transaction transaction(db_->main());
  for (const auto& [id, trash] : rows) db_->main().run("DELETE FROM pictures WHERE id = ?", id);
  transaction.commit();
  return static_cast<int64_t>(rows.size());
}

int64_t Library::forget_missing(int64_t from_id, int64_t limit) {
  std::vector<int64_t> gone;
  int64_t last = 0, seen = 0;
  {
    sqlite::Query query(db_->main(), "SELECT id, path FROM pictures WHERE id >= ? AND deleted = 0 ORDER BY id LIMIT ?");
    query.bind_all(from_id, limit);
    for (; query.step(); ++seen) {
      last = query.integer(0);
      std::error_code error;
      const fs::path path = query.text(1);
      // A folder that is away (a disk not mounted) says nothing about its pictures.
      if (fs::is_directory(path.parent_path(), error) && !fs::exists(path, error) && !error) gone.push_back(last);
    }
  }
  if (!gone.empty()) {
    sqlite::Transaction transaction(db_->main());
    for (const int64_t id : gone) db_->main().run("DELETE FROM pictures WHERE id = ?", id);
    transaction.commit();
  }
  return seen == limit ? last + 1 : 0;
}

// ---- Thumbnails -----------------------------------------------------------------------------------------------------------------

std::vector<Thumbnail> Library::thumbnails(const std::vector<int64_t>& pictures) {
  std::vector<Thumbnail> found;
  sqlite::Connection& db = db_->thumbnails();
  for (const int64_t id : pictures) {
    sqlite::Query query(db, "SELECT jpeg FROM thumbnails WHERE picture = ?");
    query.bind_all(id);
    if (query.step()) found.push_back({id, query.bytes(0)});
  }
  return found;
}

void Library::put_thumbnail(int64_t picture, const std::vector<uint8_t>& jpeg) {
  db_->thumbnails().run("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", picture, jpeg);
}

std::vector<int64_t> Library::without_thumbnail(int64_t limit) {
  std::vector<int64_t> made;
  {
    sqlite::Query query(db_->thumbnails(), "SELECT picture FROM thumbnails ORDER BY picture");
    while (query.step()) made.push_back(query.integer(0));
  }
  std::vector<int64_t> ids;
  sqlite::Query query(db_->main(), "SELECT id FROM pictures WHERE deleted = 0 ORDER BY created DESC, id DESC");
  while (static_cast<int64_t>(ids.size()) < limit && query.step()) {
    if (!std::binary_search(made.begin(), made.end(), query.integer(0))) ids.push_back(query.integer(0));
  }
  return ids;
}

}  // namespace linea
