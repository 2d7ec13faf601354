// The library's queue of jobs.
#include "app/library/database.h"

namespace linea {
namespace {

void write_job_picture(sqlite::Connection& db, const StoredJobPicture& p) {
  db.run(
      "INSERT INTO job_pictures VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (job, picture) DO UPDATE SET done = excluded.done, path = excluded.path, result = excluded.result",
      p.job, p.index, int64_t{p.done}, p.path, p.result);
}

}  // namespace

void Library::put_job(const StoredJob& j) {
  db_->main().run(
      "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET position = excluded.position, "
      "state = excluded.state, job = excluded.job, failure = excluded.failure, hint = excluded.hint, "
      "failure_kind = excluded.failure_kind, submitted = excluded.submitted, started = excluded.started, finished = excluded.finished",
      j.id, j.position, j.state, j.job, j.failure, j.hint, j.failure_kind, j.submitted, j.started, j.finished);
}

void Library::remove_job(int64_t id) { db_->main().run("DELETE FROM jobs WHERE id = ?", id); }

std::vector<StoredJob> Library::jobs() {
  std::vector<StoredJob> jobs;
  sqlite::Query query(db_->main(),
                      "SELECT id, position, state, job, failure, hint, failure_kind, submitted, started, finished FROM jobs "
                      "ORDER BY state NOT IN ('queued', 'running'), "
                      "CASE WHEN state IN ('queued', 'running') THEN position ELSE -finished END, id");
  while (query.step()) {
    jobs.push_back({.id = query.integer(0),
                    .position = query.number(1),
                    .state = query.text(2),
                    .job = query.text(3),
                    .failure = query.text(4),
                    .hint = query.text(5),
                    .failure_kind = static_cast<int>(query.integer(6)),
                    .submitted = query.number(7),
                    .started = query.number(8),
                    .finished = query.number(9)});
  }
  return jobs;
}

int64_t Library::next_job_id() { return db_->main().integer("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'") + 1; }

void Library::put_job_picture(const StoredJobPicture& picture) { write_job_picture(db_->main(), picture); }

int64_t Library::finish_job_picture(const StoredJobPicture& picture, const PictureRecord& record) {
  sqlite::Transaction transaction(db_->main());
  const int64_t id = insert_picture(db_->main(), record);
  write_job_picture(db_->main(), picture);
  transaction.commit();
  return id;
}

std::vector<StoredJobPicture> Library::job_pictures(int64_t job) {
  std::vector<StoredJobPicture> pictures;
  sqlite::Query query(db_->main(),
                      "SELECT j.picture, j.done, j.path, j.result, coalesce(p.id, 0) FROM job_pictures j "
                      "LEFT JOIN pictures p ON p.path = j.path AND p.deleted = 0 WHERE j.job = ? ORDER BY j.picture");
  query.bind_all(job);
  while (query.step()) {
    pictures.push_back({job, static_cast<int>(query.integer(0)), query.integer(1) != 0, query.text(2), query.text(3), query.integer(4)});
  }
  return pictures;
}

}  // namespace linea
