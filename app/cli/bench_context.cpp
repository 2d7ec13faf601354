#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
#include <span>
#include <vector>

#include "app/cli/bench_states.h"
#include "app/cli/bench_times.h"
#include "app/cli/options.h"
#include "app/engine/chat_model.h"
#include "core/threads.h"

namespace linea::cli {
namespace {

constexpr int64_t kFirst = 1024;
constexpr int kSteps = 64;

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Reads on, piece by piece. Seconds a token, of the median piece.
double read_seconds(Runner& runner, std::span<const int32_t> ids, Snapshot& snapshot) {
  std::vector<double> seconds;
  const auto piece = static_cast<size_t>(runner.longest_piece());
  for (size_t done = 0; done < ids.size(); done += piece) {
    const std::span<const int32_t> next = ids.subspan(done, std::min(piece, ids.size() - done));
    seconds.push_back(seconds_of([&] { runner.read(next, snapshot); }) / static_cast<double>(next.size()));
  }
  return median(std::move(seconds));
}

// The median step of some, on a copy, so that reading goes on from where it stood.
double step_seconds(Runner& runner, const Snapshot& here) {
  Snapshot snapshot = here;
  std::vector<double> seconds;
  for (int i = 0; i < kSteps; ++i) seconds.push_back(seconds_of([&] { runner.step(1 + i, snapshot); }));
  return median(std::move(seconds));
}

}  // namespace

int bench_context(const std::string& model, Device device, std::optional<DType> dtype, int64_t tokens, bool json) {
  const std::filesystem::path path = find_language_model(model);
  LoadedLanguageModel loaded(path, device, dtype);
  Runner& runner = loaded.runner();
  Snapshot snapshot = runner.start();
  std::minstd_rand random(1);
  std::uniform_int_distribution<int32_t> any_token(1, static_cast<int32_t>(loaded.folder().model->vocabulary_size()) - 1);
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  if (!json) {
    std::printf("%s, %s, %d threads\n", path.filename().string().c_str(), dtype_name(loaded.dtype()).c_str(), thread_count());
    std::printf("%10s %16s %16s %14s %12s\n", "tokens", "reading, µs/tok", "decode, µs/tok", "resident, MB", "state, MB");
  }
  for (int64_t depth = std::min(kFirst, tokens); depth <= tokens; depth *= 2) {
    std::vector<int32_t> ids(static_cast<size_t>(depth - snapshot.tokens));
    for (int32_t& id : ids) id = any_token(random);
    const double read = read_seconds(runner, ids, snapshot);
    const double step = step_seconds(runner, snapshot), resident = resident_bytes(), state = static_cast<double>(snapshot.bytes());
    rows.push_back({{"tokens", depth},
                    {"read_seconds_per_token", read},
                    {"decode_seconds_per_token", step},
                    {"resident_bytes", resident},
                    {"snapshot_bytes", state}});
    if (!json)
      std::printf("%10lld %16.1f %16.1f %14.1f %12.2f\n", static_cast<long long>(depth), 1e6 * read, 1e6 * step, 1e-6 * resident,
                  1e-6 * state);
    std::fflush(stdout);
  }
  if (json) {
    const nlohmann::ordered_json all = {{"suite", "context"}, {"model", path.string()}, {"threads", thread_count()}, {"rows", rows}};
    std::printf("%s\n", all.dump(2).c_str());
  }
  return 0;
}

}  // namespace linea::cli
