// The engine of jobs: order, cancel, pause, retry, restart; previews, checkpoints and plans; with the small golden model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "app/engine/engine.h"
#include "app/engine/picture_models.h"
#include "app/engine/sha256.h"
#include "app/library/library.h"
#include "tests/app/process.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using Kind = EngineEvent::Kind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Jobs : public testing::Test {
 protected:
  // The cache and the library of the tests are their own.
  Jobs() {
    setenv("XDG_CACHE_HOME", (work_ / "cache").c_str(), 1);
    setenv("LINEA_LIBRARY", "none", 1);
  }

  PictureJob job(uint64_t seed = 1, int count = 1, int steps = 2) const {
    PictureJob j;
    j.settings.request.prompt = "a red apple";
    j.settings.request.size = {32, 64};
    j.settings.request.use_bins = false;
    j.settings.request.steps = steps;
    j.settings.request.seed = seed;
    j.settings.model = work_ / "model";
    j.count = count;
    j.folder = work_ / "out";
    return j;
  }

  EngineOptions options() {
    EngineOptions o;
    o.threads = 2;
    o.previews = false;
    o.on_event = [this](const EngineEvent& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
    };
    return o;
  }

  std::vector<EngineEvent> events(Kind kind) {
    const std::lock_guard lock(mutex_);
    std::vector<EngineEvent> chosen;
    std::copy_if(events_.begin(), events_.end(), std::back_inserter(chosen), [&](const EngineEvent& e) { return e.kind == kind; });
    return chosen;
  }

  std::vector<JobId> jobs_of(Kind kind) {
    std::vector<JobId> ids;
    for (const EngineEvent& event : events(kind)) ids.push_back(event.job);
    return ids;
  }

  template <class Condition> static bool wait_until(const Condition& condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  std::string out(const std::string& name) const { return test::read_file(work_ / ("out/" + name)); }

  test::Workspace work_;
  std::mutex mutex_;
  std::vector<EngineEvent> events_;
};

TEST_F(Jobs, JsonKeepsAJob) {
  PictureJob j = job(~0ull, 3);
  j.id = "a\"1";
  j.index = 4;
  j.overwrite = true;
  j.metadata = false;
  EXPECT_EQ(to_json(picture_job_from_json(to_json(j), "test")), to_json(j));
  for (const char* text : {"", "{}", "[]", R"({"schema":"linea.picture_job/1"})", R"({"schema":"x"})"}) {
    EXPECT_THROW(picture_job_from_json(text, "test"), Error) << text;
  }
  for (const auto& [from, to] : {std::pair("18446744073709551615", "18446744073709551616"),
                                 {"\"count\":3", "\"count\":4294967297"},
                                 {"\"steps\":", "\"steps\":0.5e"}}) {
    std::string text = to_json(j);
    ASSERT_NE(text.find(from), std::string::npos) << text;
    text.replace(text.find(from), std::string(from).size(), to);
    EXPECT_THROW(picture_job_from_json(text, "test"), Error) << text;
  }
}

TEST_F(Jobs, PicturesOfAJobLieUnderTheirNames) {
  Engine engine(options());
  const JobId id = engine.submit(job(5, 2));
  EXPECT_TRUE(engine.wait_idle());
  EXPECT_THAT(jobs_of(Kind::kAccepted), ElementsAre(id));
  EXPECT_THAT(jobs_of(Kind::kStarted), ElementsAre(id));
  EXPECT_THAT(jobs_of(Kind::kJobDone), ElementsAre(id));
  ASSERT_EQ(events(Kind::kPictureDone).size(), 2u);
  for (const EngineEvent& event : events(Kind::kPictureDone)) {
    EXPECT_EQ(event.result.sha256, sha256_of_file(event.result.path));
    EXPECT_EQ(event.result.path, work_ / ("out/a-red-apple-" + std::to_string(event.result.seed) + ".png"));
    EXPECT_EQ(read_image(event.result.path).width, 64);
  }
  const std::shared_ptr<const QueueSnapshot> queue = engine.queue();
  EXPECT_EQ(queue->find(id)->state, JobState::kDone);
  EXPECT_EQ(queue->find(id)->done(), 2);
  EXPECT_EQ(queue->done_pictures, 2);
  EXPECT_FALSE(engine.take_events().empty());
  EXPECT_FALSE(events(Kind::kProgress).empty());
}

TEST_F(Jobs, NamesThatAreTakenGetANumber) {
  Engine engine(options());
  engine.submit(job(5));
  engine.submit(job(5));
  engine.wait_idle();
  EXPECT_EQ(out("a-red-apple-5.png"), out("a-red-apple-5-2.png"));
  PictureJob again = job(5);
  again.overwrite = true;
  engine.submit(again);
  engine.wait_idle();
  EXPECT_FALSE(fs::exists(work_ / "out/a-red-apple-5-3.png"));
}

TEST_F(Jobs, OrderFrontMoveAndDuplicate) {
  EngineOptions o = options();
  o.start_paused = true;
  Engine engine(o);
  const JobId a = engine.submit(job(1)), b = engine.submit(job(2)), c = engine.submit(job(3));
  const JobId front = engine.submit(job(4), QueuePlace::kFront);
  engine.move(c, 1);
  engine.wait_idle();
  const JobId copy = engine.duplicate(b);
  EXPECT_GT(copy, front);
  EXPECT_EQ(engine.duplicate(999), 0);
  engine.wait_idle();
  EXPECT_EQ(engine.queue()->waiting, 5);
  engine.resume();
  engine.wait_idle();
  EXPECT_THAT(jobs_of(Kind::kStarted), ElementsAre(front, c, a, b, copy));
  engine.clear_finished();
  engine.wait_idle();
  EXPECT_THAT(engine.queue()->jobs, IsEmpty());
}

TEST_F(Jobs, CancelStopsWithinAStepAndRetryMakesTheRest) {
  Engine engine(options());
  const JobId long_one = engine.submit(job(1, 3, 1000));
  const JobId next = engine.submit(job(9));
  ASSERT_TRUE(wait_until([&] { return events(Kind::kProgress).size() > 4; }));
  engine.cancel(long_one);
  engine.wait_idle();
  EXPECT_EQ(engine.queue()->find(long_one)->state, JobState::kCancelled);
  EXPECT_EQ(engine.queue()->find(next)->state, JobState::kDone);
  EXPECT_THAT(jobs_of(Kind::kJobCancelled), ElementsAre(long_one));
  engine.pause();
  engine.retry(long_one);
  engine.wait_idle();
  EXPECT_EQ(engine.queue()->find(long_one)->state, JobState::kQueued);
  engine.remove(long_one);
  engine.cancel_all();
  engine.wait_idle();
  EXPECT_EQ(engine.queue()->find(long_one), nullptr);
}

TEST_F(Jobs, FailuresSayWhyAndOthersGoOn) {
  Engine engine(options());
  PictureJob no_model = job(), bad_size = job(), bad_name = job(), no_folder = job();
  no_model.settings.model = work_ / "nowhere";
  bad_size.settings.request.size = {33, 33};
  bad_name.name_pattern = "{nothing}.png";
  std::ofstream(work_ / "file") << "x";
  no_folder.folder = work_ / "file";
  const std::vector<JobId> ids = {engine.submit(no_model), engine.submit(bad_size), engine.submit(bad_name), engine.submit(no_folder)};
  const JobId good = engine.submit(job());
  engine.wait_idle();
  const std::shared_ptr<const QueueSnapshot> queue = engine.queue();
  const std::vector<std::pair<ErrorKind, std::string>> expected = {
      {ErrorKind::kModel, "nowhere"}, {ErrorKind::kUsage, "33x33"}, {ErrorKind::kUsage, "nothing"}, {ErrorKind::kIo, "file"}};
  for (size_t i = 0; i < ids.size(); ++i) {
    const JobView* view = queue->find(ids[i]);
    EXPECT_EQ(view->state, JobState::kFailed);
    EXPECT_EQ(view->failure_kind, expected[i].first) << view->failure;
    EXPECT_THAT(view->failure, HasSubstr(expected[i].second));
  }
  EXPECT_EQ(queue->find(good)->state, JobState::kDone);
}

TEST_F(Jobs, LanesMakeTheSameBytes) {
  {
    Engine engine(options());
    engine.submit(job(1, 6));
    engine.wait_idle();
  }
  std::map<std::string, std::string> alone;
  for (const fs::directory_entry& entry : fs::directory_iterator(work_ / "out")) alone[entry.path().filename()] = test::read_file(entry);
  ASSERT_EQ(alone.size(), 6u);
  fs::remove_all(work_ / "out");
  EngineOptions o = options();
  o.lanes = 3;
  for (const int denoising : {0, 1, 2}) {
    Engine engine(o);
    engine.set_lanes(3, denoising);
    engine.submit(job(1, 6));
    engine.wait_idle();
    for (const auto& [name, bytes] : alone) EXPECT_EQ(out(name), bytes) << name;
    engine.stop();
    fs::remove_all(work_ / "out");
  }
}

TEST_F(Jobs, StepsOfOnePictureAtATimeWhileOthersAreReadAndDecoded) {
  constexpr int kPictures = 6, kSteps = 8;
  EngineOptions o = options();
  o.lanes = 3;
  o.start_paused = true;
  Engine engine(o);
  engine.set_lanes(3, 1);
  engine.submit(job(1, kPictures, kSteps));
  engine.resume();
  size_t most_running = 0;
  while (!engine.wait_idle(0.001)) most_running = std::max(most_running, engine.queue()->running.size());
  EXPECT_GT(most_running, 1u);
  std::vector<int> order;  // of the pictures whose steps were told
  for (const EngineEvent& event : events(Kind::kProgress)) {
    if (event.progress.stage == "denoise" && event.progress.step > 0) order.push_back(event.picture);
  }
  ASSERT_EQ(order.size(), static_cast<size_t>(kPictures * kSteps));
  const auto changes = std::unique(order.begin(), order.end()) - order.begin();
  EXPECT_EQ(changes, kPictures);
}

TEST_F(Jobs, AStopWhileDecodingDoesNotWaitForThePicture) {
  EngineOptions o = options();
  o.checkpoint_folder = work_ / "checkpoints";
  o.checkpoint_seconds = 1e-6;  // a checkpoint after every step but the last
  Engine engine(o);
  PictureJob large = job(1, 1, 3);
  large.settings.request.size = {1024, 1024};
  const JobId id = engine.submit(large);
  const auto decodes = [&] {
    const std::vector<EngineEvent> all = events(Kind::kProgress);
    return !all.empty() && all.back().progress.stage == "decode";
  };
  ASSERT_TRUE(wait_until(decodes));
  ASSERT_EQ(events(Kind::kProgress).back().progress.step, 0) << "decoded before it could be stopped";
  engine.stop();
  EXPECT_EQ(engine.queue()->find(id)->state, JobState::kQueued);
  EXPECT_TRUE(!fs::exists(work_ / "out") || fs::is_empty(work_ / "out"));
  EXPECT_FALSE(fs::is_empty(work_ / "checkpoints"));
}

TEST_F(Jobs, WhoWaitsForItsStepsCanBeCancelled) {
  EngineOptions o = options();
  o.lanes = 2;
  Engine engine(o);
  engine.set_lanes(2, 1);
  const JobId working = engine.submit(job(1, 1, 400)), waiting = engine.submit(job(2, 1, 400));
  ASSERT_TRUE(wait_until([&] { return engine.queue()->running.size() == 2; }));
  engine.cancel(waiting);
  ASSERT_TRUE(wait_until([&] { return engine.queue()->find(waiting)->state == JobState::kCancelled; }));
  EXPECT_EQ(engine.queue()->find(working)->state, JobState::kRunning);
  const auto start = std::chrono::steady_clock::now();
  engine.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(Jobs, PreviewsLookLikeThePicture) {
  EngineOptions o = options();
  o.previews = true;
  Engine engine(o);
  engine.submit(job(1, 2, 6));
  engine.wait_idle();
  const std::vector<EngineEvent> previews = events(Kind::kPreview);
  ASSERT_EQ(previews.size(), 10u);  // every step but the last of both pictures
  EXPECT_EQ(previews[0].preview->width, 16);
  EXPECT_EQ(previews[0].preview->height, 8);
  engine.stop();
  int kept = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(work_ / "cache/linea")) {
    kept += entry.path().filename().string().starts_with("preview-");
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(Jobs, PlansSayWhatFits) {
  EngineOptions o = options();
  o.memory_budget = int64_t{48} << 20;
  Engine engine(o);
  const auto answer = [&](PictureSize size, uint64_t tag) {
    PictureJob j = job();
    j.settings.request.size = size;
    engine.request_plan(j.settings, tag);
    EXPECT_TRUE(wait_until([&] { return !events(Kind::kPlan).empty() && events(Kind::kPlan).back().plan->tag == tag; }));
    return events(Kind::kPlan).back().plan;
  };
  const auto small = answer({32, 64}, 1);
  EXPECT_TRUE(small->fits) << small->problem;
  EXPECT_GT(small->plan.weights, 10000);
  EXPECT_GT(small->plan.activations, 10000);
  const auto large = answer({4096, 4096}, 2);
  EXPECT_FALSE(large->fits);
  EXPECT_GT(large->plan.activations, small->plan.activations);
  ASSERT_TRUE(large->nearest_that_fits) << large->problem;
  EXPECT_TRUE(answer(*large->nearest_that_fits, 3)->fits);
  EXPECT_THAT(answer({31, 64}, 4)->problem, HasSubstr("64x31"));
  PictureJob too_large = job();
  too_large.settings.request.size = {4096, 4096};
  const JobId id = engine.submit(too_large);
  engine.wait_idle();
  EXPECT_EQ(engine.queue()->find(id)->failure_kind, ErrorKind::kMemory) << engine.queue()->find(id)->failure;
}

TEST_F(Jobs, ALongPictureGoesOnFromItsCheckpoint) {
  {
    Engine engine(options());
    engine.submit(job(3, 1, 60));
    engine.wait_idle();
  }
  const std::string undisturbed = out("a-red-apple-3.png");
  fs::remove(work_ / "out/a-red-apple-3.png");
  EngineOptions o = options();
  o.checkpoint_folder = work_ / "checkpoints";
  o.checkpoint_seconds = 1e-9;  // after every step
  o.library = work_ / "library.db";
  {
    Engine engine(o);
    engine.submit(job(3, 1, 60));
    ASSERT_TRUE(wait_until([&] {
      const std::vector<EngineEvent> progress = events(Kind::kProgress);
      return !progress.empty() && progress.back().progress.stage == "denoise" && progress.back().progress.step >= 10;
    }));
    engine.stop();
  }
  EXPECT_FALSE(fs::is_empty(work_ / "checkpoints"));
  EXPECT_EQ(out("a-red-apple-3.png"), "");
  {
    const std::lock_guard lock(mutex_);
    events_.clear();
  }
  Engine engine(o);
  engine.wait_idle();
  int first_step = 1000;
  for (const EngineEvent& event : events(Kind::kProgress)) {
    if (event.progress.stage == "denoise") first_step = std::min(first_step, event.progress.step);
  }
  EXPECT_GE(first_step, 9);
  EXPECT_EQ(out("a-red-apple-3.png"), undisturbed);
  EXPECT_TRUE(fs::is_empty(work_ / "checkpoints"));
}

// A process with a queue of 8 pictures is killed at any moment, until one run finishes them.
TEST_F(Jobs, AKilledQueueGoesOnAndLosesNothing) {
  EngineOptions o = options();
  o.on_event = {};
  o.library = work_ / "library.db";
  o.checkpoint_folder = work_ / "checkpoints";
  {
    o.start_paused = true;
    Engine engine(o);
    engine.submit(job(10, 5));
    engine.submit(job(20, 3));
    engine.wait_idle();
  }
  o.start_paused = false;
  bool finished = false;
  int kills = 0;
  for (int round = 0; !finished && round < 60; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      execl(LINEA_QUEUE_WORKER, LINEA_QUEUE_WORKER, o.library.c_str(), o.checkpoint_folder.c_str(), nullptr);
      _exit(127);
    }
    for (int waited = 0; waited < 30 + 17 * (round % 40); ++waited) {
      int status = 0;
      if (waitpid(child, &status, WNOHANG) == child) {
        EXPECT_EQ(status, 0);
        finished = true;
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (finished) break;
    ++kills;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    Library library(o.library);
    EXPECT_THAT(library.integrity_problems(), IsEmpty());
    for (const PictureRecord& picture : library.pictures({}, 0, 100)) EXPECT_NO_THROW(read_image(picture.path));
  }
  if (!finished) {
    Engine engine(o);
    engine.wait_idle();
  }
  Library library(o.library);
  EXPECT_EQ(library.count_pictures(), 8);
  for (const StoredJob& stored : library.jobs()) EXPECT_EQ(stored.state, "done");
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(work_ / "out")) {
    ++files;
    EXPECT_EQ(entry.path().extension(), ".png");
  }
  EXPECT_EQ(files, 8);
  EXPECT_GT(kills, 0);
}

TEST_F(Jobs, TwoEnginesDoNotShareAQueue) {
  EngineOptions o = options();
  o.library = work_ / "library.db";
  Engine engine(o);
  EXPECT_THROW(Engine{o}, Error);
}

TEST_F(Jobs, ALibraryThatCannotBeWrittenCostsNoPicture) {
  EngineOptions o = options();
  std::ofstream(work_ / "library.db") << std::string(1000, 'x');
  o.library = work_ / "library.db";
  EXPECT_THROW(Engine{o}, Error);
  o.durable_queue = false;
  Engine engine(o);
  engine.submit(job());
  engine.wait_idle();
  EXPECT_EQ(events(Kind::kJobDone).size(), 1u);
  ASSERT_EQ(events(Kind::kWarning).size(), 1u);
  EXPECT_THAT(events(Kind::kWarning)[0].text, HasSubstr("not registered"));
}

// ---- Several devices ------------------------------------------------------------------------------------------------------------

TEST_F(Jobs, SeveralDevicesMakeThePicturesOfOne) {
  {
    Engine engine(options());
    engine.submit(job(1, 5));
    engine.wait_idle();
  }
  std::vector<std::string> expected;
  for (int seed = 1; seed <= 5; ++seed) expected.push_back(out("a-red-apple-" + std::to_string(seed) + ".png"));
  fs::remove_all(work_ / "out");
  EngineOptions o = options();
  o.devices = {kCpuDevice, kCpuDevice, kCpuDevice};
  std::set<int> lanes;
  o.before_picture = [&](Device, int lane) {
    const std::lock_guard lock(mutex_);
    lanes.insert(lane);
  };
  Engine engine(o);
  engine.submit(job(1, 5));
  engine.wait_idle();
  EXPECT_EQ(lanes.size(), 3u);
  for (int seed = 1; seed <= 5; ++seed) {
    EXPECT_EQ(out("a-red-apple-" + std::to_string(seed) + ".png"), expected[static_cast<size_t>(seed - 1)]) << seed;
  }
}

TEST_F(Jobs, ALostDeviceHandsItsPicturesToTheOthers) {
  EngineOptions o = options();
  o.devices = {kCpuDevice, kCpuDevice};
  o.before_picture = [](Device, int lane) {
    if (lane == 1) throw Error(ErrorKind::kDevice, "fell off the bus");
  };
  Engine engine(o);
  const JobId id = engine.submit(job(1, 6));
  engine.wait_idle();
  EXPECT_EQ(engine.queue()->find(id)->state, JobState::kDone);
  EXPECT_EQ(events(Kind::kPictureDone).size(), 6u);
  ASSERT_EQ(events(Kind::kWarning).size(), 1u);
  EXPECT_THAT(events(Kind::kWarning)[0].text, HasSubstr("cpu is lost"));
  EXPECT_THAT(events(Kind::kWarning)[0].text, HasSubstr("fell off the bus"));
  engine.submit(job(9, 2));  // the other device goes on alone
  engine.wait_idle();
  EXPECT_EQ(events(Kind::kPictureDone).size(), 8u);
  EXPECT_EQ(events(Kind::kWarning).size(), 1u);
}

TEST_F(Jobs, TheLastDevicesFailureIsTheJobs) {
  EngineOptions o = options();
  o.devices = {kCpuDevice, kCpuDevice};
  std::atomic<int> made = 0;
  o.before_picture = [&](Device, int) {
    if (++made > 2) throw Error(ErrorKind::kDevice, "power failure");
  };
  Engine engine(o);
  const JobId first = engine.submit(job(1, 5)), second = engine.submit(job(8, 1));
  EXPECT_TRUE(engine.wait_idle(60));
  for (const JobId id : {first, second}) {
    EXPECT_EQ(engine.queue()->find(id)->state, JobState::kFailed);
    EXPECT_EQ(engine.queue()->find(id)->failure_kind, ErrorKind::kDevice);
  }
  const JobId late = engine.submit(job(20, 1));
  EXPECT_TRUE(engine.wait_idle(60));
  EXPECT_EQ(engine.queue()->find(late)->failure_kind, ErrorKind::kDevice);
}

TEST_F(Jobs, OtherFailuresDoNotCostADevice) {
  EngineOptions o = options();
  o.devices = {kCpuDevice, kCpuDevice};
  Engine engine(o);
  PictureJob bad = job(1, 1);
  bad.settings.request.size = {31, 64};
  engine.submit(bad);
  engine.submit(job(1, 4));
  engine.wait_idle();
  EXPECT_EQ(events(Kind::kPictureDone).size(), 4u);
  EXPECT_THAT(events(Kind::kWarning), IsEmpty());
}

TEST_F(Jobs, PicturesSayWhatMemoryTheyWerePlannedForAndTook) {
  Engine engine(options());
  engine.submit(job());
  engine.wait_idle();
  ASSERT_EQ(events(Kind::kPictureDone).size(), 1u);
  const PictureResult result = events(Kind::kPictureDone)[0].result;
  EXPECT_GT(result.planned_bytes, 0);
  EXPECT_GT(result.observed_bytes, 0);
}

}  // namespace
}  // namespace linea
