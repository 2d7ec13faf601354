#include "app/engine/batch_plan.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "app/engine/name_pattern.h"
#include "app/engine/picture_models.h"
#include "app/engine/sha256.h"
#include "core/text.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

std::string without_version(const PictureSettings& settings) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(to_json(settings));
  json.erase("version");
  return json.dump();
}

// Torch's CPU generator distinguishes 32 bits.
uint64_t hashed_seed(uint64_t base, const std::string& text) {
  return std::stoull(sha256_of(std::to_string(base) + "\n" + text).substr(0, 8), nullptr, 16);
}

class Planner {
 public:
  Planner(const BatchSettings& settings, const std::string& source)
      : s_(settings),
        source_(printable(source, 4096)),
        there_(read_manifests(settings.folder)),
        known_folder_(has_manifest(settings.folder)) {}

  BatchPlan run(std::vector<BatchLine> lines) {
    BatchPlan plan;
    std::vector<Order> orders;
    for (BatchLine& line : lines) {
      const std::string where = source_ + ":" + std::to_string(line.line);
      try {
        prepare(line);
        const Order order = check(line.job);
        BatchJob job = names_of(std::move(line));
        if (job.job.index % s_.shards != s_.shard - 1) continue;
        plan.pictures += job.job.count;
        find_existing(job);
        plan.there += static_cast<int64_t>(job.job.skipped.size());
        if (job.pending() == 0) continue;
        orders.push_back(order);
        std::get<size_t>(orders.back()) = plan.jobs.size();
        plan.jobs.push_back(std::move(job));
      } catch (const Error& error) {
        throw Error(error.kind() == ErrorKind::kUsage ? ErrorKind::kBadFile : error.kind(), where + ": " + error.what(), error.hint());
      }
    }
    std::sort(orders.begin(), orders.end());
    std::vector<BatchJob> sorted;
    sorted.reserve(orders.size());
    for (const Order& order : orders) sorted.push_back(std::move(plan.jobs[std::get<size_t>(order)]));
    plan.jobs = std::move(sorted);
    return plan;
  }

 private:
  // Model, pixels, width, prompt (each by first appearance), place.
  using Order = std::tuple<int64_t, int64_t, int64_t, int64_t, size_t>;

  void prepare(BatchLine& line) {
    PictureJob& job = line.job;
    job.folder = s_.folder;
    job.overwrite = true;
    job.origin = "batch";
    if (!line.has_name) job.name_pattern = s_.name_pattern;
    if (!line.folder.empty()) job.name_pattern = line.folder + "/" + job.name_pattern;
    if (line.has_seed) return;
    if (s_.seed_by_index) {
      job.settings.request.seed = s_.base_seed + static_cast<uint64_t>(job.index);
      return;
    }
    std::string text = job.id;
    if (text.empty()) {  // equal lines differ by how many came before
      text = without_version(job.settings) + "\n" + std::to_string(job.count);
      text += "\n" + std::to_string(repeats_[sha256_of(text)]++);
    }
    job.settings.request.seed = hashed_seed(s_.base_seed, text);
  }

  static int64_t rank(std::unordered_map<std::string, int64_t>& ranks, const std::string& text) {
    return ranks.emplace(text, static_cast<int64_t>(ranks.size())).first->second;
  }

  // What the model says to the request, from its configuration.
  Order check(PictureJob& job) {
    const std::string key = model_key(job.settings);
    std::unique_ptr<SanaPipeline>& model = models_[key];
    if (!model) model = std::make_unique<SanaPipeline>(key.substr(0, key.find('\n')), pipeline_options_of(job.settings));
    PictureRequest& request = job.settings.request;
    request.count = job.count;
    model->check(request);
    const SanaPipeline::Sizes sizes = model->resolve_size(request);
    request.size = sizes.asked;
    if (!request.joint_noise) request.count = 1;
    return {rank(model_ranks_, key), sizes.rendered.width * sizes.rendered.height, sizes.rendered.width,
            rank(prompt_ranks_, request.prompt + "\n\n" + request.negative), 0};
  }

  BatchJob names_of(BatchLine line) {
    const NamePattern pattern(line.job.name_pattern);
    BatchJob job{.line = line.line, .job = std::move(line.job)};
    for (int k = 0; k < job.job.count; ++k) {
      const std::string file = fs::path(pattern.expand(job.job, k)).lexically_normal().string();
      const auto [first, fresh] = files_.emplace(file, job.line);
      if (!fresh) {
        throw Error(ErrorKind::kBadFile,
                    "the file " + printable(file) +
                        (first->second == job.line ? " would hold several pictures of this line"
                                                   : " is that of line " + std::to_string(first->second) + " too"),
                    "use {index}, {id}, {n} or {seed} in the names");
      }
      job.files.push_back(file);
      job.keys.push_back(picture_key(job.job, k));
    }
    return job;
  }

  void find_existing(BatchJob& job) const {
    for (int k = 0; k < job.job.count; ++k) {
      const std::string& file = job.files[static_cast<size_t>(k)];
      const fs::path path = s_.folder / file;
      std::error_code error;
      const bool exists = fs::exists(path, error);
      const auto entry = there_.find(file);
      const bool listed = entry != there_.end();
      if (!exists || s_.redo) continue;
      if (listed && entry->second.key == job.keys[static_cast<size_t>(k)] &&
          entry->second.bytes == static_cast<int64_t>(fs::file_size(path, error))) {
        job.job.skipped.push_back(k);
      } else if (!listed && !known_folder_) {
        throw Error(ErrorKind::kBadFile, path.string() + " is there already, and is no picture of a batch",
                    "choose another folder, or --redo");
      }
    }
  }

  const BatchSettings& s_;
  std::string source_;
  std::map<std::string, ManifestEntry> there_;
  bool known_folder_;
  std::unordered_map<std::string, int64_t> files_, model_ranks_, prompt_ranks_, repeats_;
  std::map<std::string, std::unique_ptr<SanaPipeline>> models_;
};

}  // namespace

std::string picture_key(const PictureJob& job, int picture) {
  PictureSettings settings = job.settings;
  settings.index = picture;
  return sha256_of(without_version(settings) + "\n" + std::to_string(picture) + (job.metadata ? "" : "\nplain"));
}

BatchPlan plan_batch(std::vector<BatchLine> lines, const BatchSettings& settings, const std::string& source) {
  return Planner(settings, source).run(std::move(lines));
}

}  // namespace linea
