// core/thread_crew.h: helpers that stand by while one thread goes through many short parallel loops.
//
// OpenMP wakes its team for every loop and waits for all of it at the end: on a busy machine each loop costs a turn of the scheduler. Here
// a loop lies open in pieces, a run of them for each thread. Who is done with its own takes of the others', so that the caller waits only
// for pieces that were begun. Helpers watch for work for some microseconds before they sleep.
//
// Thread rule: run() is called by one thread at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace linea {

class ThreadCrew {
 public:
  using Body = std::function<void(int64_t begin, int64_t end)>;

  explicit ThreadCrew(int helpers);
  ~ThreadCrew();
  ThreadCrew(const ThreadCrew&) = delete;
  ThreadCrew& operator=(const ThreadCrew&) = delete;

  int helpers() const { return static_cast<int>(threads_.size()); }
  // Calls body for disjoint ranges that cover [0, count), in `pieces` pieces; rethrows the first exception.
  void run(int64_t count, int64_t pieces, const Body& body);

  // 0 on any thread that is no helper, and from 1 for helpers.
  static int index_of_this_thread();

 private:
  void help(int index);
  bool work_on_pieces(int index);
  bool work_on_a_piece_of(int owner);
  void sleep_until_work(uint32_t seen);

  struct alignas(64) Pieces {
    std::atomic<uint64_t> left = 0;  // round << 32 | pieces that nobody has taken
    int64_t end = 0;                 // the last piece's number, plus 1
  };
  std::vector<Pieces> pieces_of_;  // a thread
  std::atomic<uint32_t> round_ = 0;
  std::atomic<int64_t> unfinished_ = 0;
  // Of the round: whoever has taken a piece may read them, and they change only when all pieces are done.
  const Body* body_ = nullptr;
  int64_t count_ = 0, pieces_ = 0;

  std::mutex mutex_;  // for what follows
  std::condition_variable awake_;
  std::atomic<int> sleepers_ = 0;
  std::atomic<bool> ending_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace linea
