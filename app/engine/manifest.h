// app/engine/manifest.h: what a folder of batch pictures says about itself: one JSON line a finished (or failed) picture.
//
//   {"file": "a1.png", "id": "a1", "n": 1, "index": 0, "sha256": "…", "bytes": 12345, "seed": 7, "width": 512, "height": 512,
//    "seconds": 1.2, "key": "…"}           {"id": "a2", "index": 1, "line": 7, "failed": "reason"}
//
// The line is written after the picture lies complete under its name, so a picture counts as made when its line is there. `key` is the hash
// of everything that the picture depends on. A shard has a file of its own (manifest-3-of-16.jsonl); all of a folder's are read together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "app/engine/job.h"

namespace linea {

struct ManifestEntry {
  std::string file{};  // below the folder
  std::string id{}, sha256{}, key{};
  int n = 1;
  int64_t index = 0, bytes = 0, width = 0, height = 0;
  uint64_t seed = 0;
  double seconds = 0;
};

// The last line of each file name, over all manifests of the folder. Lines of another form (a torn last one) are passed over. Throws kIo.
std::map<std::string, ManifestEntry> read_manifests(const std::filesystem::path& folder);
bool has_manifest(const std::filesystem::path& folder);

class ManifestWriter {
 public:
  // Makes the file, or goes on after its last whole line. Throws kIo; kUsage when another process writes it.
  explicit ManifestWriter(const std::filesystem::path& file);
  ~ManifestWriter();
  ManifestWriter(const ManifestWriter&) = delete;
  ManifestWriter& operator=(const ManifestWriter&) = delete;

  void add(const ManifestEntry& entry);  // on the disk when it returns; throws kIo, also when the file was moved or removed meanwhile
  void add_failure(const std::string& id, int64_t index, int64_t line, const std::string& reason);

 private:
  void append(const std::string& line);
  void check_place() const;
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace linea
