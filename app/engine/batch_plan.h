// app/engine/batch_plan.h: from the lines of a batch to the pictures that this process has to make.
//
// A picture's content and name depend on its own line alone, so neither the order of lines, nor shards, nor an interruption changes them:
// without a seed of its own a line gets one from the hash of its id (else of its content) and the base seed.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "app/engine/batch_input.h"
#include "app/engine/manifest.h"

namespace linea {

struct BatchSettings {
  std::filesystem::path folder{};
  std::string name_pattern = "{index:06}_{seed}_{slug:40}.png";
  uint64_t base_seed = 0;
  bool seed_by_index = false;  // seed of line i = base + i, instead of the hash
  int shard = 1, shards = 1;
  bool redo = false;  // make pictures again that are there
};

struct BatchJob {
  int64_t line = 0;
  PictureJob job{};                  // `skipped` names what is there already
  std::vector<std::string> files{};  // below the folder, by picture
  std::vector<std::string> keys{};   // of the manifest
  int64_t pending() const { return job.count - static_cast<int64_t>(job.skipped.size()); }
};

struct BatchPlan {
  std::vector<BatchJob> jobs{};  // with something to do, grouped by model, size and prompt
  int64_t pictures = 0;          // of this shard, those that are there included
  int64_t there = 0;
};

// Checks everything that can be told before a model is loaded: names and their collisions, sizes, models and their options. `source` and
// line numbers go into the errors: kBadFile, kUsage, kModel.
BatchPlan plan_batch(std::vector<BatchLine> lines, const BatchSettings& settings, const std::string& source);

// Hash of all that the picture depends on.
std::string picture_key(const PictureJob& job, int picture);

}  // namespace linea
