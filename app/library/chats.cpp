// The library's chats: messages as trees, saved one by one.
#include "app/library/database.h"

namespace linea {
namespace {

constexpr const char* kChatColumns = "id, title, model, settings, leaf, created, updated";

ChatRecord read_chat(const sqlite::Query& row) {
  return {.id = row.integer(0),
          .title = row.text(1),
          .model = row.text(2),
          .settings = row.text(3),
          .leaf = row.integer(4),
          .created = row.number(5),
          .updated = row.number(6)};
}

double or_now(double time) { return time > 0 ? time : now_seconds(); }

}  // namespace

int64_t Library::add_chat(const ChatRecord& c) {
  db_->main().run("INSERT INTO chats (title, model, settings, leaf, created, updated) VALUES (?, ?, ?, ?, ?, ?)", c.title, c.model,
                  c.settings, c.leaf, or_now(c.created), or_now(c.updated));
  return db_->main().last_id();
}

void Library::update_chat(const ChatRecord& c) {
  db_->main().run("UPDATE chats SET title = ?, model = ?, settings = ?, leaf = ?, updated = ? WHERE id = ?", c.title, c.model, c.settings,
                  c.leaf, or_now(c.updated), c.id);
}

std::optional<ChatRecord> Library::chat(int64_t id) {
  sqlite::Query query(db_->main(), std::string("SELECT ") + kChatColumns + " FROM chats WHERE id = ?");
  query.bind_all(id);
  if (!query.step()) return std::nullopt;
  return read_chat(query);
}

std::vector<ChatRecord> Library::chats(const std::string& search, int64_t offset, int64_t limit) {
  const TextQuery text = parse_text_query(search);
  std::string sql = std::string("SELECT ") + kChatColumns + " FROM chats WHERE deleted = 0";
  std::vector<std::string> values;
  const auto in_messages = [](const char* operation) {
    return std::string("id ") + operation +
           " (SELECT chat FROM messages WHERE id IN (SELECT rowid FROM messages_text WHERE messages_text MATCH ?))";
  };
  if (!text.wanted.empty()) {
    sql += " AND (title LIKE ? ESCAPE '\\' OR " + in_messages("IN") + ")";
    std::string pattern = "%";
    for (const char c : search) pattern += c == '%' || c == '_' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    values = {pattern + "%", text.wanted};
  }
  if (!text.unwanted.empty()) {
    sql += " AND " + in_messages("NOT IN");
    values.push_back(text.unwanted);
  }
  sql += " ORDER BY updated DESC, id DESC LIMIT " + std::to_string(limit) + " OFFSET " + std::to_string(offset);
  sqlite::Query query(db_->main(), sql);
  for (size_t i = 0; i < values.size(); ++i) query.bind(static_cast<int>(i), values[i]);
  std::vector<ChatRecord> chats;
  while (query.step()) chats.push_back(read_chat(query));
  return chats;
}

void Library::delete_chat(int64_t id) { db_->main().run("UPDATE chats SET deleted = ? WHERE id = ?", now_seconds(), id); }
void Library::restore_chat(int64_t id) { db_->main().run("UPDATE chats SET deleted = 0 WHERE id = ?", id); }

int64_t Library::purge_deleted_chats(double before) {
  db_->main().run("DELETE FROM chats WHERE deleted > 0 AND deleted < ?", before);
  return db_->main().changes();
}

int64_t Library::add_message(const MessageRecord& m) {
  sqlite::Transaction transaction(db_->main());
  const double now = or_now(m.created);
  db_->main().run("INSERT INTO messages (chat, parent, role, text, state_file, details, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                  m.chat, m.parent, m.role, m.text, m.state_file, m.details, now, or_now(m.updated));
  const int64_t id = db_->main().last_id();
  db_->main().run("UPDATE chats SET updated = ? WHERE id = ?", now, m.chat);
  transaction.commit();
  return id;
}

void Library::update_message(const MessageRecord& m) {
  db_->main().run("UPDATE messages SET text = ?, state_file = ?, details = ?, updated = ? WHERE id = ?", m.text, m.state_file, m.details,
                  or_now(m.updated), m.id);
}

std::vector<MessageRecord> Library::messages(int64_t chat) {
  std::vector<MessageRecord> messages;
  sqlite::Query query(db_->main(),
                      "SELECT id, parent, role, text, state_file, details, created, updated FROM messages WHERE chat = ? ORDER BY id");
  query.bind_all(chat);
  while (query.step()) {
    messages.push_back({.id = query.integer(0),
                        .chat = chat,
                        .parent = query.integer(1),
                        .role = query.text(2),
                        .text = query.text(3),
                        .state_file = query.text(4),
                        .details = query.text(5),
                        .created = query.number(6),
                        .updated = query.number(7)});
  }
  return messages;
}

void Library::delete_message(int64_t id) {
  db_->main().run(
      "DELETE FROM messages WHERE id IN (WITH RECURSIVE below (id) AS (SELECT ? UNION SELECT messages.id FROM messages JOIN below ON "
      "messages.parent = below.id AND messages.parent > 0) SELECT id FROM below)",
      id);
}

}  // namespace linea
