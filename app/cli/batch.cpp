// linea batch: a list of pictures, made exactly once each.
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "app/cli/batch_view.h"
#include "app/cli/commands.h"
#include "app/cli/picture_options.h"
#include "app/cli/signals.h"
#include "app/engine/abandoned.h"
#include "app/engine/batch_plan.h"
#include "app/engine/engine.h"
#include "app/engine/name_pattern.h"
#include "app/engine/picture_models.h"
#include "app/library/library.h"
#include "core/threads.h"

namespace linea::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kSomeFailed = 3, kRunAgain = 75;
constexpr int kMostLanes = 16;

constexpr const char* kBatchFooter =
    R"(Input: JSONL ({"id": "a1", "prompt": "a red apple", "size": [1024, 768], "seed": 7, "count": 2}), CSV with the same
keys in its first line, or one prompt a line; a line that begins with -- holds the options of A1111's prompts-from-file script. Keys: id,
prompt, negative, size, width, height, bins, steps, guidance, seed, count, scheduler, shift, noise, joint_noise, instruction, softcap,
model, dtype, device, metadata, out (a name), folder (below -o). Keys that begin with x- are left alone. All of it is checked first.

Every picture is written under a temporary name, synced, renamed, and then listed with its SHA-256 in FOLDER/manifest.jsonl. Calling
the same command again makes what is missing. A picture depends on its own line alone.

Names: {index:06} {id} {n} {count} {seed} {slug:40} {width} {height} {steps} {guidance} {model}

Exit status: 0 all there, 1 a picture could not be written, 2 bad input (nothing made), 3 some failed, 4 does not fit into memory,
5 model, 6 device, 75 stopped by SIGUSR1 or SIGUSR2 after the current pictures (run again to go on), 130 Ctrl-C, 143 SIGTERM.

Examples:
  linea batch prompts.txt -o out/
  linea batch jobs.jsonl -o out/ --name '{id}_{n}.png' --shard 3/16
  linea batch jobs.csv -o out/ --dry-run)";

struct BatchOptions {
  RunOptions run;
  PictureOptions picture;
  std::string file, output, name = "{index:06}_{seed}_{slug:40}.png", format = "auto", seed = "0", seed_rule = "hash", shard = "1/1";
  std::string max_failures = "0", lanes = "0", count = "1";
  bool redo = false, dry_run = false, json = false;
};

void add_options(CLI::App& command, BatchOptions& o) {
  command.add_option("file", o.file, "list of pictures; - reads it from standard input")->required();
  command.add_option("-o,--output", o.output, "folder of the pictures, made when missing")->type_name("FOLDER")->required();
  command.add_option("--name", o.name, "names of the pictures; .png, .jpg or .webp")->type_name("PATTERN");
  command.add_option("--format", o.format, "auto (by the name, else the first line), jsonl, csv or lines")->type_name("FORMAT");
  command.add_option("--count", o.count, "pictures of a line that says nothing else")->type_name("N");
  command.add_option("--seed", o.seed, "base of the seeds of lines without one")->type_name("N");
  command.add_option("--seed-rule", o.seed_rule, "hash: of the line's id, else its content; index: base + place of the line")
      ->type_name("hash|index");
  command.add_option("--shard", o.shard, "make only the lines i, i + n, …; the pictures are the same however they are split")
      ->type_name("I/N");
  command.add_flag("--redo", o.redo, "make pictures again that are there");
  command.add_flag("--dry-run", o.dry_run, "check the input and the models, and say what it would take");
  command.add_option("--max-failures", o.max_failures, "stop after so many lines failed; 0 = never")->type_name("N");
  command.add_option("--lanes", o.lanes, "pictures at a time, which share the cores; 0 = what suits")->type_name("N");
  command.add_flag("--json", o.json, "print one JSON object a picture on standard output");
  o.picture.add_to(command);
  o.run.add_to(command);
  command.footer(kBatchFooter);
}

BatchSettings batch_settings(const BatchOptions& o) {
  BatchSettings s;
  s.folder = o.output;
  s.name_pattern = o.name;
  const NamePattern checked(o.name);
  s.base_seed = parse_seed(o.seed);
  s.seed_by_index = parse_choice("--seed-rule", o.seed_rule, {"hash", "index"}) == 1;
  const size_t slash = o.shard.find('/');
  if (slash == std::string::npos) throw Error(ErrorKind::kUsage, "--shard: '" + o.shard + "' is not I/N", "for example 3/16");
  s.shards = static_cast<int>(parse_integer("--shard", o.shard.substr(slash + 1), 1, 1000000));
  s.shard = static_cast<int>(parse_integer("--shard", o.shard.substr(0, slash), 1, s.shards));
  s.redo = o.redo;
  return s;
}

std::vector<BatchLine> read_lines(const BatchOptions& o) {
  BatchInput input;
  input.source = o.file == "-" ? "standard input" : o.file;
  const size_t format = parse_choice("--format", o.format, {"auto", "jsonl", "csv", "lines"});
  input.dialect = static_cast<BatchDialect>(format);
  input.defaults.settings = o.picture.settings(o.run);
  input.defaults.count = static_cast<int>(parse_integer("--count", o.count, 1, 100000));
  input.defaults.metadata = !o.picture.no_metadata;
  if (o.file == "-") return read_batch(std::cin, input);
  std::error_code error;
  if (fs::is_directory(o.file, error)) throw Error(ErrorKind::kUsage, o.file + ": is a folder, not a list of pictures");
  std::ifstream file(o.file, std::ios::binary);
  if (!file) throw Error(ErrorKind::kUsage, o.file + ": cannot be read");
  return read_batch(file, input);
}

// Made when missing, and written to once: a folder that cannot be used is told before the work.
void check_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(ErrorKind::kUsage, "-o " + folder.string() + ": the folder cannot be made: " + error.message());
  if (::access(folder.c_str(), W_OK | X_OK) != 0) throw Error(ErrorKind::kUsage, "-o " + folder.string() + ": cannot be written to");
}

class BatchRun {
 public:
  explicit BatchRun(const BatchOptions& options)
      : o_(options), settings_(batch_settings(options)), plan_(plan_batch(read_lines(options), settings_, source())), view_(make_view()) {}

  int run() {
    std::reverse(plan_.jobs.begin(), plan_.jobs.end());  // taken from the back
    if (!o_.dry_run && !plan_.jobs.empty()) check_folder(settings_.folder);
    stop_ = install_signal_handlers();
    catch_requeue_signals();
    int status = 0;
    if (!plan_.jobs.empty()) {
      engine_ = std::make_unique<Engine>(engine_options());
      const bool fits = plan_memory();
      if (o_.dry_run || !fits) return fits ? 0 : exit_code(ErrorKind::kMemory);
      manifest_ = std::make_unique<ManifestWriter>(settings_.folder / manifest_name());
      remove_leftovers();
      status = work();
      engine_.reset();
    } else if (o_.dry_run) {
      std::printf("nothing to do: all %lld pictures are there\n", static_cast<long long>(plan_.pictures));
    }
    view_.clear();
    if (failure_) throw Error(*failure_);
    if (status == 0 && !o_.dry_run) finish();
    return status != 0 ? status : view_.failed() > 0 ? kSomeFailed : 0;
  }

 private:
  std::string source() const { return o_.file == "-" ? "standard input" : o_.file; }

  BatchView make_view() const {
    ProgressStyle style = o_.run.progress_style();
    if (o_.run.progress == "auto" && style == ProgressStyle::kNone && !o_.run.quiet) style = ProgressStyle::kPlain;
    return {style, plan_.pictures, plan_.there};
  }

  std::string manifest_name() const {
    if (settings_.shards == 1) return "manifest.jsonl";
    return "manifest-" + std::to_string(settings_.shard) + "-of-" + std::to_string(settings_.shards) + ".jsonl";
  }

  fs::path checkpoints() const { return settings_.folder / ".linea-checkpoints"; }

  void remove_leftovers() const {
    std::vector<fs::path> targets;
    for (const BatchJob& job : plan_.jobs) {
      for (const std::string& file : job.files) targets.push_back(settings_.folder / file);
    }
    remove_abandoned_parts(targets);
  }

  EngineOptions engine_options() {
    EngineOptions options;
    if (!o_.picture.no_library) options.library = default_library_path();
    options.durable_queue = false;
    if (!o_.dry_run) options.checkpoint_folder = checkpoints();
    options.threads = thread_count();
    const int most = static_cast<int>(parse_integer("--lanes", o_.lanes, 0, 64));
    denoising_ = most > 0 ? most : std::min(thread_count(), kMostLanes);
    options.devices = o_.run.devices();
    // Where --threads leaves enough cores for it, one more picture's text and decoding are done beside the steps of the others.
    const bool on_cpu = options.devices.size() == 1 && options.devices.front() == kCpuDevice;
    const bool has_spare_cores = core_count() - thread_count() >= thread_count() / denoising_;
    options.lanes = denoising_ + (most == 0 && on_cpu && has_spare_cores ? 1 : 0);
    options.memory_budget = o_.picture.memory_bytes(options.devices.front());
    options.previews = false;
    options.kept_finished = 0;
    options.on_event = [this](const EngineEvent& event) { on_event(event); };
    lanes_ = options.lanes;
    return options;
  }

  // ---- Planning ------------------------------------------------------------------------------------------------------------------

  std::shared_ptr<const PlanAnswer> plan_of(const PictureSettings& settings) {
    engine_->request_plan(settings, ++plan_tag_);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return answer_ && answer_->tag == plan_tag_; });
    return answer_;
  }

  // Pictures that need the same.
  struct Group {
    const BatchJob* first = nullptr;
    int64_t pictures = 0;  // that are not there yet
  };

  std::map<std::string, Group> groups() const {
    std::map<std::string, Group> groups;
    for (auto job = plan_.jobs.rbegin(); job != plan_.jobs.rend(); ++job) {
      const PictureSettings& s = job->job.settings;
      const PictureRequest& r = s.request;
      Group& group = groups[model_key(s) + "\n" + std::to_string(r.size.width) + "x" + std::to_string(r.size.height) + "\n" +
                            std::to_string(r.steps) + "\n" + std::to_string(r.guidance > 1) + std::to_string(r.use_bins)];
      if (!group.first) group.first = &*job;
      group.pictures += job->pending();
    }
    return groups;
  }

  // Asks for every kind of picture what it takes; chooses the number of lanes. False when something does not fit.
  bool plan_memory() {
    const std::map<std::string, Group> groups = this->groups();
    std::pair<const BatchJob*, std::shared_ptr<const PlanAnswer>> misfit;  // the first in the file
    int lanes = lanes_;
    for (const auto& [key, group] : groups) {
      const std::shared_ptr<const PlanAnswer> answer = plan_of(group.first->job.settings);
      if (!answer->problem.empty()) throw Error(answer->problem_kind, answer->problem, answer->hint);
      const PicturePlan& plan = answer->plan;
      if (!answer->fits && (!misfit.first || group.first->line < misfit.first->line)) misfit = {group.first, answer};
      const int64_t room = answer->available - plan.weights;
      lanes = static_cast<int>(std::clamp<int64_t>(room / std::max<int64_t>(plan.activations, 1), 1, lanes));
      if (plan.memory && !plan.memory->all_resident()) lanes = 1;  // weights that come and go are shared badly
    }
    if (pipeline_options_of(plan_.jobs.back().job.settings).device != kCpuDevice && o_.lanes == "0") lanes = 1;
    lanes = std::max(lanes, static_cast<int>(o_.run.devices().size()));
    lanes_ = std::min<int64_t>(lanes, std::max<int64_t>(plan_.pictures - plan_.there, 1));
    denoising_ = static_cast<int>(std::min<int64_t>(denoising_, lanes_));
    engine_->set_lanes(static_cast<int>(lanes_), denoising_);
    if (o_.dry_run) print_plan(groups);
    if (misfit.first) tell_misfit(*misfit.first, *misfit.second);
    return !misfit.first;
  }

  // How long a picture takes depends on the lanes, which are chosen now.
  void print_plan(const std::map<std::string, Group>& groups) {
    double seconds = 0;
    for (const auto& [key, group] : groups) {
      const PictureSettings& s = group.first->job.settings;
      const std::shared_ptr<const PlanAnswer> answer = plan_of(s);
      const double each = answer->plan.seconds;
      seconds = each < 0 || seconds < 0 ? -1 : seconds + each * static_cast<double>(group.pictures);
      print_group(s, answer->plan, group.pictures);
    }
    print_total(seconds);
  }

  void tell_misfit(const BatchJob& job, const PlanAnswer& answer) const {
    std::string hint = "allow more with --vram";
    if (answer.nearest_that_fits) {
      hint = std::to_string(answer.nearest_that_fits->width) + "x" + std::to_string(answer.nearest_that_fits->height) + " would fit";
    }
    print_error(source() + ":" + std::to_string(job.line) + ": needs " + bytes_text(answer.plan.bytes()) + "; " +
                    bytes_text(answer.available) + " are free",
                hint);
  }

  static void print_group(const PictureSettings& s, const PicturePlan& plan, int64_t pictures) {
    std::printf("%lld pictures of %lldx%lld, %d steps, %s: %s of weights, %s of work", static_cast<long long>(pictures),
                static_cast<long long>(plan.asked.width), static_cast<long long>(plan.asked.height), s.request.steps,
                model_title(s).c_str(), bytes_text(plan.weights).c_str(), bytes_text(plan.activations).c_str());
    if (plan.seconds >= 0) std::printf(", %.1f s each", plan.seconds);
    std::printf("\n");
  }

  void print_total(double seconds) const {
    std::printf("%lld pictures in all, %lld there already; %lld at a time", static_cast<long long>(plan_.pictures),
                static_cast<long long>(plan_.there), static_cast<long long>(lanes_));
    if (seconds >= 0) {
      std::printf("; about %s\n", duration_text(seconds / static_cast<double>(denoising_)).c_str());
    } else {
      std::printf("; the time is not known before this machine has made a picture with each model\n");
    }
  }

  // ---- Work ----------------------------------------------------------------------------------------------------------------------

  // Keeps some jobs ahead of the lanes, and looks at the signals.
  int work() {
    const size_t ahead = static_cast<size_t>(2 * lanes_ + 2);
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        while (!plan_.jobs.empty() && given_.size() < ahead && !failure_) {
          auto job = std::make_shared<const BatchJob>(std::move(plan_.jobs.back()));
          plan_.jobs.pop_back();
          given_.emplace(engine_->submit(job->job), job);
        }
        if (failure_ || (given_.empty() && plan_.jobs.empty())) break;
        changed_.wait_for(lock, std::chrono::milliseconds(50));
      }
      if (stop_.cancelled()) {
        engine_->stop();
        throw Error(ErrorKind::kCancelled, "stopped");
      }
      if (requeue_requested()) {
        engine_->finish_pictures_and_stop();
        return complete() ? 0 : kRunAgain;
      }
    }
    engine_->stop();
    return 0;
  }

  bool complete() const { return given_.empty() && plan_.jobs.empty(); }

  void on_event(const EngineEvent& event) {
    const std::lock_guard lock(mutex_);
    switch (event.kind) {
      case EngineEvent::Kind::kProgress: view_.step(event.progress); break;
      case EngineEvent::Kind::kPlan: answer_ = event.plan; break;
      case EngineEvent::Kind::kPictureDone: on_picture(event); break;
      case EngineEvent::Kind::kJobDone: given_.erase(event.job); break;
      case EngineEvent::Kind::kJobFailed: on_failure(event); break;
      case EngineEvent::Kind::kWarning:
        view_.clear();
        // What ends the batch is told in one line; what it brings with it is not.
        if (!o_.run.quiet && !failure_) print_warning(event.text);
        break;
      default: return;
    }
    changed_.notify_all();
  }

  void on_picture(const EngineEvent& event) {
    const auto given = given_.find(event.job);
    if (given == given_.end() || failure_) return;
    const BatchJob& job = *given->second;
    const auto k = static_cast<size_t>(event.picture);
    const PictureResult& r = event.result;
    try {
      manifest_->add({.file = job.files[k],
                      .id = job.job.id,
                      .sha256 = r.sha256,
                      .key = job.keys[k],
                      .n = event.picture + 1,
                      .index = job.job.index,
                      .bytes = r.bytes,
                      .width = r.width,
                      .height = r.height,
                      .seed = r.seed,
                      .seconds = r.seconds});
    } catch (const Error& error) {
      failure_.emplace(error);
      return;
    }
    view_.picture(r, job.files[k]);
    print(job, r, k);
  }

  void print(const BatchJob& job, const PictureResult& r, size_t k) {
    if (o_.json) {
      const nlohmann::ordered_json line = {{"file", r.path.string()}, {"id", job.job.id},   {"n", k + 1},         {"seed", r.seed},
                                           {"width", r.width},        {"height", r.height}, {"sha256", r.sha256}, {"seconds", r.seconds}};
      std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
      std::fflush(stdout);
    }
  }

  // A disk, a model or a device that fails ends the batch; other failures are the line's own.
  void on_failure(const EngineEvent& event) {
    const auto given = given_.find(event.job);
    if (given == given_.end()) return;
    const BatchJob& job = *given->second;
    const std::string where = source() + ":" + std::to_string(job.line) + ": ";
    const bool everybodys = event.error == ErrorKind::kIo || event.error == ErrorKind::kModel || event.error == ErrorKind::kDevice ||
                            event.error == ErrorKind::kMemory;
    if (everybodys) {
      if (!failure_) failure_.emplace(event.error, event.text, event.hint);
    } else {
      view_.clear();
      print_error(where + event.text, event.hint);
      view_.failure(job.line, event.text);
      try {
        manifest_->add_failure(job.job.id, job.job.index, job.line, event.text);
      } catch (const Error& error) {
        failure_.emplace(error);
      }
      const int64_t most = parse_integer("--max-failures", o_.max_failures, 0, 1000000000);
      if (most > 0 && view_.failed() >= most) plan_.jobs.clear();
    }
    given_.erase(given);
  }

  void finish() const {
    std::error_code ignored;
    fs::remove(checkpoints(), ignored);  // when it is empty: other shards may be at work
    if (o_.run.quiet) return;
    std::fprintf(stderr, "%lld pictures made", static_cast<long long>(view_.made()));
    if (plan_.there > 0) std::fprintf(stderr, ", %lld were there", static_cast<long long>(plan_.there));
    if (view_.failed() > 0) std::fprintf(stderr, ", %lld lines failed", static_cast<long long>(view_.failed()));
    if (view_.made() > 0) {
      std::fprintf(stderr, " in %s, %.2f a second", duration_text(view_.seconds()).c_str(), view_.pictures_per_second());
    }
    std::fprintf(stderr, "\n");
  }

  const BatchOptions& o_;
  BatchSettings settings_;
  BatchPlan plan_;
  BatchView view_;
  CancelToken stop_;
  std::unique_ptr<ManifestWriter> manifest_;
  int64_t lanes_ = 1;
  int denoising_ = 1;  // of the pictures in progress, how many are in their steps
  uint64_t plan_tag_ = 0;

  std::mutex mutex_;  // of what follows, of view_ and of the jobs that are left
  std::condition_variable changed_;
  std::unordered_map<JobId, std::shared_ptr<const BatchJob>> given_;
  std::shared_ptr<const PlanAnswer> answer_;
  std::optional<Error> failure_;
  std::unique_ptr<Engine> engine_;  // last: its events use the rest
};

}  // namespace

Action add_batch(CLI::App& app) {
  CLI::App* command = app.add_subcommand("batch", "Render a list of pictures, exactly once each");
  const auto options = std::make_shared<BatchOptions>();
  add_options(*command, *options);
  return [options] { return BatchRun(*options).run(); };
}

}  // namespace linea::cli
