#include "app/cli/bench_memory.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "app/cli/memory_option.h"
#include "app/engine/model_folders.h"
#include "app/engine/sha256.h"
#include "core/json.h"
#include "core/memory_use.h"
#include "kernels/devices.h"

namespace linea::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Outcome {
  MemoryPlan plan{};
  // Seconds: the first picture with all loading, and the second, with its stages; a step is the fastest.
  double plan_seconds = 0, first = 0, second = 0, text = 0, step = 0, denoise = 0, decode = 0;
  int64_t observed = 0, driver = 0;  // peaks in bytes: ours with the constant, and the device's own
  std::string sha256{};              // of the second picture's pixels
};

// What the device says is taken, by everybody.
int64_t taken(Device device) {
  const std::optional<DeviceInfo> info = device_info(device);
  return info ? info->total_bytes - info->free_bytes : 0;
}

Outcome render(const std::string& model, const PipelineOptions& options, const PictureRequest& request, int64_t limit) {
  Outcome outcome;
  const auto start = Clock::now();
  SanaPipeline pipeline(model, options);
  outcome.plan = pipeline.plan(request, limit);
  outcome.plan_seconds = seconds_since(start);
  pipeline.follow(outcome.plan);
  reset_memory_peak(options.device);
  double before = 0;
  Image image;
  bool samples_driver = !options.device.is_cpu();  // which takes its time: not of the picture that is timed
  GenerateCallbacks callbacks;
  callbacks.progress = [&](const Progress& p) {
    if (p.stage == "denoise" && p.step > 2) {  // a report comes when the device has done the step before
      const double step = p.seconds - before;
      outcome.step = outcome.step > 0 ? std::min(outcome.step, step) : step;
    }
    before = p.seconds;
    if (p.stage == "denoise") outcome.denoise = p.seconds;
    if (p.stage == "text") outcome.text = p.seconds;
    if (p.stage == "decode") outcome.decode = p.seconds;
    if (samples_driver) outcome.driver = std::max(outcome.driver, taken(options.device));
  };
  callbacks.picture = [&](Picture&& picture) { image = std::move(picture.image); };
  const auto time_picture = [&](const PictureRequest& asked) {
    outcome.step = 0;
    const auto begin = Clock::now();
    pipeline.generate(asked, callbacks);
    return seconds_since(begin);
  };
  // The first has other prompts, so that the second reads its own with all that stays resident in place.
  PictureRequest other = request;
  other.prompt = "beside " + request.prompt;
  other.negative = other.prompt;
  outcome.first = time_picture(other);
  samples_driver = false;
  outcome.second = time_picture(request);
  outcome.sha256 = sha256_of(std::string_view(reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()));
  outcome.observed = memory_use(options.device).peak + outcome.plan.library_bytes;
  return outcome;
}

std::string letters(const MemoryPlan& plan) {
  const auto letter = [](const StagePlan& stage) { return std::string(1, name_of(stage.weights)[0]); };
  std::string text = letter(plan.text) + "/" + letter(plan.transformer);
  if (plan.transformer.resident_layers >= 0) text += std::to_string(plan.transformer.resident_layers);
  return text + "/" + letter(plan.decoder);
}

nlohmann::ordered_json to_json(const std::string& limit, const Outcome& o) {
  return {{"limit", limit},
          {"plan", letters(o.plan)},
          {"strip_rows", o.plan.decoder.strip_rows},
          {"planned", o.plan.peak()},
          {"observed", o.observed},
          {"driver", o.driver},
          {"text_seconds", o.text},
          {"step_seconds", o.step},
          {"denoise_seconds", o.denoise},
          {"decode_seconds", o.decode},
          {"first_seconds", o.first},
          {"second_seconds", o.second},
          {"plan_seconds", o.plan_seconds},
          {"sha256", o.sha256}};
}

}  // namespace

int bench_memory(const std::string& model, const PipelineOptions& options, const PictureRequest& request,
                 const std::vector<std::string>& limits, bool json) {
  const std::string folder = find_picture_model(model).string();
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  std::string first;
  bool equal = true;
  if (!json) {
    std::printf("%-8s %-8s %6s %9s %9s %6s %9s %8s %8s %8s %8s %8s  %s\n", "limit", "plan", "strips", "planned", "observed", "ratio",
                "driver", "text", "step", "decode", "first", "second", "sha256");
  }
  for (const std::string& limit : limits) {
    try {
      const Outcome o = render(folder, options, request, vram_bytes(limit, options.device));
      if (first.empty()) first = o.sha256;
      equal = equal && o.sha256 == first;
      if (json) {
        all.push_back(to_json(limit, o));
        continue;
      }
      const auto gigabytes = [](int64_t bytes) { return 1e-9 * static_cast<double>(bytes); };
      std::printf("%-8s %-8s %6lld %6.2f GB %6.2f GB %6.3f %6.2f GB %6.3f s %5.1f ms %6.3f s %6.2f s %6.3f s  %.16s\n", limit.c_str(),
                  letters(o.plan).c_str(), static_cast<long long>(o.plan.decoder.strip_rows), gigabytes(o.plan.peak()),
                  gigabytes(o.observed), static_cast<double>(o.observed) / static_cast<double>(o.plan.peak()), gigabytes(o.driver), o.text,
                  1e3 * o.step, o.decode, o.first, o.second, o.sha256.c_str());
      std::fflush(stdout);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kMemory) throw;
      if (json) {
        all.push_back({{"limit", limit}, {"error", error.what()}, {"hint", error.hint()}});
      } else {
        std::printf("%-8s %s: %s\n", limit.c_str(), error.what(), error.hint().c_str());
      }
    }
  }
  if (json) std::printf("%s\n", all.dump(2).c_str());
  if (!equal) std::fprintf(stderr, "linea: the pictures differ between plans\n");
  return equal ? 0 : 1;
}

}  // namespace linea::cli
