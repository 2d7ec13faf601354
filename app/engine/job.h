// app/engine/job.h: work as a value: what is asked for, and what has become of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/engine/picture_settings.h"
#include "core/error.h"
#include "core/progress.h"

namespace linea {

using JobId = int64_t;  // 1, 2, …; never used again, also not after a restart; 0 = none

enum class JobState : uint8_t { kQueued, kRunning, kDone, kFailed, kCancelled };
const char* name_of(JobState state);  // "queued", "running", "done", "failed", "cancelled"
inline bool is_finished(JobState state) { return state >= JobState::kDone; }

// One or more pictures of one prompt. Picture k has settings.request.seed + k (settings.request.count and settings.index are the job's
// business; under joint noise all pictures are one draw of the first seed).
struct PictureJob {
  PictureSettings settings{};
  int count = 1;
  std::filesystem::path folder{};                     // made when it is missing; empty = the current one
  std::string name_pattern = "{slug:40}-{seed}.png";  // app/engine/name_pattern.h; the extension chooses PNG, JPEG or WebP
  std::string id{};                                   // {id}: a batch line's own name
  int64_t index = 0;                                  // {index}: place in a batch
  bool overwrite = false;                             // false: "name-2.png", … where the name is taken by another picture
  bool metadata = true;                               // write the settings into the picture
  std::vector<int> skipped{};                         // pictures that exist already and are not made
  std::filesystem::path stream{};                     // a device or pipe that gets the bytes of one PNG instead of a file
  std::string origin = "studio";                      // "studio", "generate", "batch": kept in the library
};

// One line each; the readers throw kBadFile.
std::string to_json(const PictureJob& job);
PictureJob picture_job_from_json(const std::string& text, const std::string& source_name);

// One finished picture, as it lies on the disk.
struct PictureResult {
  int index = 0;  // of the job's pictures, from 0
  uint64_t seed = 0;
  std::filesystem::path path{};
  int64_t width = 0, height = 0, bytes = 0;
  std::string sha256{};                           // of the file, 64 hexadecimal digits
  double seconds = 0;                             // from the start of its denoising to the end of saving
  int64_t library_id = 0;                         // its row in the library; 0 = not registered
  int64_t planned_bytes = 0, observed_bytes = 0;  // peak of the device's memory; not kept in the library
  std::string settings{};                         // canonical JSON of what made it, with the type, device and size that were really used
};

std::string to_json(const PictureResult& result);
PictureResult picture_result_from_json(const std::string& text, const std::string& source_name);

// What a front end shows of a job. Times are seconds since 1970, 0 = not yet.
struct JobView {
  JobId id = 0;
  std::shared_ptr<const PictureJob> job{};
  JobState state = JobState::kQueued;
  std::vector<PictureResult> pictures{};  // finished ones, in order of completion; the newest thousand of a longer job
  int done_pictures = 0;
  std::string failure{}, hint{};  // one line each: the reason, and what can be done about it
  ErrorKind failure_kind = ErrorKind::kInternal;
  double submitted = 0, started = 0, finished = 0;

  int done() const { return done_pictures; }
};

}  // namespace linea
