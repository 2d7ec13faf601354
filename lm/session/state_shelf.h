// lm/session/state_shelf.h: snapshots on the disk, where there are more than memory is given for.
//
// They lie in one nameless file of a folder, which goes with the program, and are mapped: putting one there writes it, and its values are
// read again when they are used. Thread-safe.
#pragma once

#include <filesystem>
#include <memory>

#include "lm/session/snapshot.h"

namespace linea {

class StateShelf {
 public:
  StateShelf(std::filesystem::path folder, int64_t most_bytes);  // the file is made with the first snapshot

  // The same snapshot with its state on the disk; its place is free again when the last copy is gone.
  struct Shelved {
    std::shared_ptr<const Snapshot> snapshot{};  // null where that failed
    bool is_full = false;                        // it would go if another one went
  };
  Shelved put(const Snapshot& snapshot);

 private:
  class File;
  std::shared_ptr<File> file_;
};

}  // namespace linea
