#include "core/threads.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/thread_crew.h"

namespace linea {
namespace {

constexpr int64_t kPiecesPerThread = 4;  // so that a thread which other programs hold up keeps little from the rest

thread_local ThreadCrew* crew_at_hand = nullptr;
thread_local bool inside_a_piece = false;

// A value of this thread for as long as a scope lasts.
template <class T> class Within {
 public:
  Within(T& variable, T value) : variable_(variable), before_(std::exchange(variable, value)) {}
  ~Within() { variable_ = before_; }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;

 private:
  T& variable_;
  T before_;
};

void serve_by(ThreadCrew& crew, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t pieces = std::min((crew.helpers() + 1) * kPiecesPerThread, (count + grain - 1) / grain);
  crew.run(count, pieces, [&](int64_t begin, int64_t end) {
    const Within<bool> piece(inside_a_piece, true);
    body(begin, end);
  });
}

}  // namespace

void restart_with_short_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  execv("/proc/self/exe", argv);
}

int core_count() { return omp_get_num_procs(); }

int thread_count() { return omp_get_max_threads(); }

void set_thread_count(int threads) {
  if (threads < 0 || threads > 4096) throw Error(ErrorKind::kUsage, "--threads: " + std::to_string(threads) + " is not between 0 and 4096");
  omp_set_num_threads(threads == 0 ? core_count() : threads);
}

int thread_index() { return std::max(ThreadCrew::index_of_this_thread(), omp_get_thread_num()); }

void with_helpers(const std::function<void()>& work) {
  static std::mutex mutex;
  static std::unique_ptr<ThreadCrew> crew;
  const std::unique_lock lock(mutex, std::try_to_lock);
  if (!lock || thread_count() == 1 || crew_at_hand || inside_a_piece || omp_in_parallel()) return work();
  if (!crew || crew->helpers() != thread_count() - 1) {
    crew.reset();
    crew = std::make_unique<ThreadCrew>(thread_count() - 1);
  }
  const Within<ThreadCrew*> at_hand(crew_at_hand, crew.get());
  work();
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  const int64_t wanted = std::min<int64_t>(thread_count(), (count + grain - 1) / std::max<int64_t>(grain, 1));
  if (wanted <= 1 || inside_a_piece || omp_in_parallel()) return body(0, count);
  if (crew_at_hand) return serve_by(*crew_at_hand, count, std::max<int64_t>(grain, 1), body);
  std::exception_ptr failure;
  std::mutex mutex;
#pragma omp parallel num_threads(static_cast <int>(wanted))
  {
    const int64_t threads = omp_get_num_threads();
    const int64_t index = omp_get_thread_num();
    const int64_t begin = count * index / threads, end = count * (index + 1) / threads;
    try {
      if (begin < end) body(begin, end);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace linea
