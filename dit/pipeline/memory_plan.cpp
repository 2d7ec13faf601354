#include "dit/pipeline/memory_plan.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace linea {
namespace {

// Rates that only rank plans: weights from a mapped file, prepared layers from pinned memory, and a decoder's pixels.
constexpr double kLoadBytesPerSecond = 10e9, kStreamBytesPerSecond = 40e9, kDecodeSecondsPerRow = 1e-4;
// Less repeated work than this is not worth the memory of higher strips.
constexpr double kSmallStripWork = 1.15;

struct Choice {
  Residency text, transformer, decoder;
  int64_t resident_layers;  // of the transformer
  const MemoryNeeds::Strips* strips;
};

int64_t stage_peak(const StagePlan& stage, int64_t while_loading, int64_t others) {
  return others + std::max(stage.weight_bytes + stage.activation_bytes, while_loading);
}

StagePlan plan_text(const MemoryNeeds& n, Residency residency) {
  StagePlan stage{.weights = residency, .weight_bytes = n.text.weights, .activation_bytes = n.text_activations};
  if (residency == Residency::kOffloaded) stage.loaded_bytes = n.text.weights;
  if (residency == Residency::kStreamed) {
    stage.weight_bytes = n.streamed->text.weights;
    stage.streamed_bytes = n.streamed->text_bytes;
    stage.activation_bytes = n.streamed->text_activations;
  }
  return stage;
}

StagePlan plan_transformer(const MemoryNeeds& n, Residency residency, int64_t resident_layers) {
  StagePlan stage{.weights = residency, .weight_bytes = n.transformer.weights, .activation_bytes = n.step_activations};
  if (residency == Residency::kOffloaded) stage.loaded_bytes = n.transformer.weights;
  if (residency == Residency::kStreamed) {
    const MemoryNeeds::Streamed& s = *n.streamed;
    stage.resident_layers = resident_layers;
    const int64_t a_layer = (n.transformer.weights - s.transformer.weights) / s.layers;
    stage.weight_bytes = s.transformer.weights + resident_layers * a_layer;
    stage.streamed_bytes = s.step_bytes * (s.layers - resident_layers) / s.layers;
    stage.activation_bytes = s.step_activations;
  }
  return stage;
}

int64_t while_loading(const PartNeeds& all, const std::optional<PartNeeds>& streamed, Residency residency) {
  return residency == Residency::kStreamed ? streamed->while_loading : all.while_loading;
}

MemoryPlan plan_of(const MemoryNeeds& n, const Choice& c) {
  MemoryPlan plan;
  plan.library_bytes = n.library_bytes;
  plan.text = plan_text(n, c.text);
  plan.transformer = plan_transformer(n, c.transformer, c.resident_layers);
  plan.decoder = {.weights = c.decoder,
                  .weight_bytes = n.decoder.weights,
                  .loaded_bytes = c.decoder == Residency::kOffloaded ? n.decoder.weights : 0,
                  .strip_rows = c.strips->rows,
                  .strip_work = c.strips->work,
                  .activation_bytes = c.strips->activations};
  // What lies there in other stages: a streamed transformer stays as it is, because its home took time to make.
  const auto kept = [](const StagePlan& stage, bool stays_streamed) {
    const bool stays = stage.weights == Residency::kResident || (stays_streamed && stage.weights == Residency::kStreamed);
    return stays ? stage.weight_bytes : 0;
  };
  const int64_t text = kept(plan.text, false), transformer = kept(plan.transformer, true), decoder = kept(plan.decoder, false);
  const int64_t always = n.library_bytes + n.kept_bytes;
  std::optional<PartNeeds> streamed_text, streamed_transformer;
  if (n.streamed) streamed_text = n.streamed->text, streamed_transformer = n.streamed->transformer;
  plan.text.peak_bytes = stage_peak(plan.text, while_loading(n.text, streamed_text, c.text), always + transformer + decoder);
  plan.transformer.peak_bytes = stage_peak(
      plan.transformer, std::max(while_loading(n.transformer, streamed_transformer, c.transformer), plan.transformer.weight_bytes),
      always + text + decoder);
  plan.decoder.peak_bytes = stage_peak(plan.decoder, n.decoder.while_loading, always + text + transformer);
  return plan;
}

double seconds_lost(const MemoryNeeds& n, const MemoryPlan& plan) {
  const auto bytes = [](int64_t b) { return static_cast<double>(b); };
  double seconds = bytes(plan.text.loaded_bytes + plan.transformer.loaded_bytes + plan.decoder.loaded_bytes) / kLoadBytesPerSecond;
  seconds += 2 * bytes(plan.text.streamed_bytes) / kLoadBytesPerSecond;  // both prompts
  seconds += n.steps * bytes(plan.transformer.streamed_bytes) / kStreamBytesPerSecond;
  return seconds + std::max(plan.decoder.strip_work - kSmallStripWork, 0.0) * kDecodeSecondsPerRow * static_cast<double>(n.picture_rows);
}

template <class Visit> void for_each_plan(const MemoryNeeds& n, const Visit& visit) {
  std::vector<Residency> text = {Residency::kResident, Residency::kOffloaded};
  std::vector<std::pair<Residency, int64_t>> transformer = {{Residency::kResident, -1}, {Residency::kOffloaded, -1}};
  if (n.streamed) {
    text.push_back(Residency::kStreamed);
    for (int64_t k = n.streamed->layers - 1; k >= 0; --k) transformer.emplace_back(Residency::kStreamed, k);
  }
  for (const Residency t : text) {
    for (const auto& [residency, layers] : transformer) {
      for (const Residency d : {Residency::kResident, Residency::kOffloaded}) {
        for (const MemoryNeeds::Strips& strips : n.strips) visit(plan_of(n, {t, residency, d, layers, &strips}));
      }
    }
  }
}

}  // namespace

const char* name_of(Residency residency) {
  return residency == Residency::kResident ? "resident" : residency == Residency::kOffloaded ? "offloaded" : "streamed";
}

int64_t MemoryPlan::peak() const { return std::max({text.peak_bytes, transformer.peak_bytes, decoder.peak_bytes}); }

int64_t MemoryPlan::resident_bytes() const {
  int64_t bytes = 0;
  for (const StagePlan* stage : {&text, &transformer, &decoder}) {
    if (stage->weights == Residency::kResident || (stage == &transformer && stage->weights == Residency::kStreamed)) {
      bytes += stage->weight_bytes;
    }
  }
  return bytes;
}

std::optional<MemoryPlan> choose_plan(const MemoryNeeds& needs, int64_t limit) {
  std::optional<MemoryPlan> best;
  // The least time lost, then the most that stays, then the least memory.
  const auto rank = [&](const MemoryPlan& plan) { return std::tuple(seconds_lost(needs, plan), -plan.resident_bytes(), plan.peak()); };
  for_each_plan(needs, [&](const MemoryPlan& plan) {
    if (limit > 0 && plan.peak() > limit) return;
    if (!best || rank(plan) < rank(*best)) best = plan;
  });
  if (best) best->limit = limit;
  return best;
}

int64_t least_memory(const MemoryNeeds& needs) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for_each_plan(needs, [&](const MemoryPlan& plan) { least = std::min(least, plan.peak()); });
  return least;
}

}  // namespace linea
