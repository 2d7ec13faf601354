#include "core/thread_crew.h"

#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace linea {
namespace {

constexpr int kWatchedTurns = 2000;  // of a helper without work before it sleeps: some 50 µs, longer than what lies between two loops
constexpr int kPatientTurns = 200;   // of a caller whose last pieces are under way before it lets others run

thread_local int index_of_helper = 0;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

uint32_t untaken(uint64_t left) { return static_cast<uint32_t>(left); }

}  // namespace

int ThreadCrew::index_of_this_thread() { return index_of_helper; }

ThreadCrew::ThreadCrew(int helpers) : pieces_of_(static_cast<size_t>(helpers) + 1) {
  for (int i = 1; i <= helpers; ++i) threads_.emplace_back([this, i] { help(i); });
}

ThreadCrew::~ThreadCrew() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  awake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadCrew::run(int64_t count, int64_t pieces, const Body& body) {
  body_ = &body;
  count_ = count;
  pieces_ = pieces;
  unfinished_.store(pieces, std::memory_order_relaxed);
  const uint32_t round = round_.load(std::memory_order_relaxed) + 1;
  const auto threads = static_cast<int64_t>(pieces_of_.size());
  for (int64_t i = 0; i < threads; ++i) {
    Pieces& own = pieces_of_[static_cast<size_t>(i)];
    own.end = pieces * (i + 1) / threads;
    own.left.store(uint64_t{round} << 32 | static_cast<uint64_t>(own.end - pieces * i / threads), std::memory_order_release);
  }
  round_.store(round);
  if (sleepers_.load() > 0) {
    { const std::lock_guard lock(mutex_); }  // a helper on its way to sleep has either seen the work or hears the call
    awake_.notify_all();
  }
  work_on_pieces(0);
  for (int turn = 0; unfinished_.load(std::memory_order_acquire) > 0; ++turn) turn < kPatientTurns ? pause() : std::this_thread::yield();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// One's own pieces first, then those of the others. Returns whether there were any.
bool ThreadCrew::work_on_pieces(int index) {
  int64_t done = 0;
  const auto threads = static_cast<int>(pieces_of_.size());
  for (int i = 0; i < threads; ++i) {
    while (work_on_a_piece_of((index + i) % threads)) ++done;
  }
  if (done > 0) unfinished_.fetch_sub(done, std::memory_order_acq_rel);
  return done > 0;
}

bool ThreadCrew::work_on_a_piece_of(int owner) {
  Pieces& pieces = pieces_of_[static_cast<size_t>(owner)];
  uint64_t left = pieces.left.load(std::memory_order_acquire);
  do {
    if (untaken(left) == 0) return false;
  } while (!pieces.left.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire));
  const int64_t piece = pieces.end - untaken(left);
  try {
    (*body_)(count_ * piece / pieces_, count_ * (piece + 1) / pieces_);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
  return true;
}

void ThreadCrew::help(int index) {
  index_of_helper = index;
  while (!ending_) {
    const uint32_t seen = round_.load(std::memory_order_acquire);
    if (work_on_pieces(index)) continue;
    int turn = 0;
    while (turn < kWatchedTurns && round_.load(std::memory_order_acquire) == seen) pause(), ++turn;
    if (turn == kWatchedTurns) sleep_until_work(seen);
  }
}

void ThreadCrew::sleep_until_work(uint32_t seen) {
  std::unique_lock lock(mutex_);
  ++sleepers_;
  awake_.wait(lock, [&] { return round_.load() != seen || ending_; });
  --sleepers_;
}

}  // namespace linea
