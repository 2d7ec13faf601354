// dit/pipeline/memory_plan.h: what of a picture model lies on the device during each stage, within a limit.
//
// The needs are measured by running the very code that loads and computes on planning memory (core/planning_memory.h, core/arena.h); the
// choice among what fits is by expected time. No choice changes a picture's bits: weights come from elsewhere, strips equal the whole map.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "dit/pipeline/aspect_ratio.h"

namespace linea {

enum class Residency : uint8_t {
  kResident,   // loaded once, stays
  kOffloaded,  // loaded when its stage begins, given back when it ends
  kStreamed,   // layers come one by one while the stage computes
};
const char* name_of(Residency residency);  // "resident", "offloaded", "streamed"

// Bytes of the device, unless said otherwise.
struct StagePlan {
  Residency weights = Residency::kResident;
  bool stays = true;             // weight_bytes lie there in the other stages too, and streamed layers keep their homes
  int64_t weight_bytes = 0;      // of the stage's own part while it runs
  int64_t loaded_bytes = 0;      // copied from the host for every picture
  int64_t streamed_bytes = 0;    // copied from the host in every pass: a prompt, a denoising step
  int64_t resident_layers = -1;  // of a streamed transformer; -1 = all
  int64_t strip_rows = 0;        // of the decoder; 0 = the whole map at once
  double load_seconds = 0;       // what a picture waits for loaded_bytes, about
  double stream_seconds = 0;     // what it waits for streamed_bytes in all its passes, about
  double strip_work = 1;         // what strips and their halos compute over what the whole map would
  int64_t activation_bytes = 0;
  int64_t peak_bytes = 0;  // while the stage runs, with everything else that lies there then

  int64_t kept_bytes() const { return stays ? weight_bytes : 0; }
};

struct MemoryPlan {
  Device device{};
  PictureSize rendered{};
  int64_t limit = 0;          // that it was made for; 0 = none
  int64_t library_bytes = 0;  // what driver and libraries take beside the allocator: a constant, part of every peak
  StagePlan text{}, transformer{}, decoder{};

  int64_t peak() const;
  int64_t resident_bytes() const;  // of weights that stay between stages
  bool all_resident() const { return resident(text) && resident(transformer) && resident(decoder); }

 private:
  static bool resident(const StagePlan& stage) { return stage.weights == Residency::kResident; }
};

// What a part of the model takes when all of it is on the device, and while it is loaded.
struct PartNeeds {
  int64_t weights = 0, while_loading = 0;
  double load_rate = 10e9;  // bytes of the weights a second, read from a mapped file and prepared; it only ranks plans
};

// What a picture of a size takes, in every way that there is.
struct MemoryNeeds {
  struct Strips {
    int64_t rows, activations;
    double work;
  };
  int64_t library_bytes = 0, kept_bytes = 0;  // kept: embeddings that stay for the whole picture
  int steps = 1, prompts = 2;
  int64_t picture_rows = 0;
  PartNeeds text, transformer, decoder;
  int64_t text_activations = 0, step_activations = 0;
  std::vector<Strips> strips;

  // Measured only when it may be chosen.
  struct Streamed {
    bool text_is_prepared = false;                       // at home; else its layers are loaded from the file in every pass
    PartNeeds text, transformer;                         // with no layer on the device
    int64_t text_activations = 0, step_activations = 0;  // slots included
    int64_t text_bytes = 0, step_bytes = 0;              // copied in a pass
    int64_t step_rows = 0;                               // that every matrix of a step multiplies
    int64_t layers = 0;                                  // of the transformer
  };
  std::optional<Streamed> streamed{};
};

// What a picture takes longer under a plan than with everything resident and few strips, about: it ranks plans.
double seconds_lost(const MemoryNeeds& needs, const MemoryPlan& plan);
// The fastest plan whose peak is within `limit` (0 = no limit), or nothing; and the smallest limit for which there is one.
std::optional<MemoryPlan> choose_plan(const MemoryNeeds& needs, int64_t limit);
int64_t least_memory(const MemoryNeeds& needs);

}  // namespace linea
