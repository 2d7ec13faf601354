#include "dit/pipeline/memory_plan.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace linea {
namespace {

// Rates that only rank plans: prepared layers from pinned memory, and a decoder's pixels.
constexpr double kStreamBytesPerSecond = 40e9, kDecodeSecondsPerRow = 1e-4;
// No device multiplies rows by matrices faster, in rows times bytes of the matrices a second: 1 PFLOP/s in 16 bits, 2 in FP8. So long at
// least a step computes, beside which its layers are copied.
constexpr double kRowBytesPerSecond = 1e15;
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

StagePlan plan_part(const PartNeeds& part, Residency residency, int64_t activations) {
  StagePlan stage{.weights = residency, .weight_bytes = part.weights, .activation_bytes = activations};
  if (residency != Residency::kOffloaded) return stage;
  stage.stays = false;
  stage.loaded_bytes = part.weights;
  stage.load_seconds = static_cast<double>(part.weights) / part.load_rate;
  return stage;
}

StagePlan plan_text(const MemoryNeeds& n, Residency residency) {
  if (residency != Residency::kStreamed) return plan_part(n.text, residency, n.text_activations);
  const MemoryNeeds::Streamed& s = *n.streamed;
  StagePlan stage = plan_part(s.text, residency, s.text_activations);
  stage.stays = s.text_is_prepared;
  stage.streamed_bytes = s.text_bytes;
  stage.stream_seconds = n.prompts * static_cast<double>(s.text_bytes) / (s.text_is_prepared ? kStreamBytesPerSecond : n.text.load_rate);
  return stage;
}

StagePlan plan_transformer(const MemoryNeeds& n, Residency residency, int64_t resident_layers) {
  if (residency != Residency::kStreamed) return plan_part(n.transformer, residency, n.step_activations);
  const MemoryNeeds::Streamed& s = *n.streamed;
  StagePlan stage = plan_part(s.transformer, residency, s.step_activations);
  stage.resident_layers = resident_layers;
  const int64_t a_layer = (n.transformer.weights - s.transformer.weights) / s.layers;
  stage.weight_bytes += resident_layers * a_layer;
  stage.streamed_bytes = s.step_bytes * (s.layers - resident_layers) / s.layers;
  const double copies = static_cast<double>(stage.streamed_bytes) / kStreamBytesPerSecond;
  const double computes = static_cast<double>(s.step_rows) * static_cast<double>(s.step_bytes) / kRowBytesPerSecond;
  stage.stream_seconds = n.steps * std::max(copies - computes, 0.0);
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
  plan.decoder = plan_part(n.decoder, c.decoder, c.strips->activations);
  plan.decoder.strip_rows = c.strips->rows;
  plan.decoder.strip_work = c.strips->work;
  const int64_t text = plan.text.kept_bytes(), transformer = plan.transformer.kept_bytes(), decoder = plan.decoder.kept_bytes();
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

int64_t MemoryPlan::resident_bytes() const { return text.kept_bytes() + transformer.kept_bytes() + decoder.kept_bytes(); }

double seconds_lost(const MemoryNeeds& needs, const MemoryPlan& plan) {
  double seconds =
      std::max(plan.decoder.strip_work - kSmallStripWork, 0.0) * kDecodeSecondsPerRow * static_cast<double>(needs.picture_rows);
  for (const StagePlan* stage : {&plan.text, &plan.transformer, &plan.decoder}) seconds += stage->load_seconds + stage->stream_seconds;
  return seconds;
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
