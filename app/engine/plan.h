// app/engine/plan.h: what a picture will take, before it starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "app/engine/picture_settings.h"

namespace linea {

struct PicturePlan {
  PictureSize asked, rendered;
  int64_t weights = 0;      // bytes of the model's parts that stay, with what drivers and libraries take
  int64_t activations = 0;  // bytes that the largest stage takes besides
  double flops = 0;         // of one picture: text, steps, decoder
  double seconds = -1;      // of one picture, by the rate last measured with this model, device and type; negative while none is known
  std::optional<MemoryPlan> memory{};  // stage by stage
  int64_t bytes() const { return weights + activations; }
};

// The answer to Engine::request_plan.
struct PlanAnswer {
  uint64_t tag = 0;
  PicturePlan plan{};
  int64_t available = 0;                           // bytes that could be had
  bool fits = false;                               //
  std::optional<PictureSize> nearest_that_fits{};  // same proportions, where `fits` is false and there is one
  ErrorKind problem_kind = ErrorKind::kInternal;
  std::string problem{}, hint{};  // settings that cannot be rendered at all; then nothing above but the tag holds
};

// "6.1 GB", "512 MB", "900 kB": for people.
std::string bytes_text(int64_t bytes);

}  // namespace linea
