#include "core/threads.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <string>

#include "core/error.h"

namespace linea {

int thread_count() { return omp_get_max_threads(); }

void set_thread_count(int threads) {
  if (threads < 0 || threads > 4096) throw Error(ErrorKind::kUsage, "--threads: " + std::to_string(threads) + " is not between 0 and 4096");
  omp_set_num_threads(threads == 0 ? omp_get_num_procs() : threads);
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  const int64_t wanted = std::min<int64_t>(thread_count(), (count + grain - 1) / std::max<int64_t>(grain, 1));
  if (wanted <= 1 || omp_in_parallel()) {
    body(0, count);
    return;
  }
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
