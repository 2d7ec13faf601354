// core/threads.h: data parallelism on the CPU.
//
// One pool serves everything: OpenMP's, which oneDNN uses too, so that no two pools compete for the cores.
#pragma once

#include <cstdint>
#include <functional>

namespace linea {

int thread_count();
void set_thread_count(int threads);  // 0 = every core this process may use; throws kUsage when negative

// Calls body(begin, end) for disjoint ranges that cover [0, count), each of at least `grain` items, on up to thread_count() threads.
// The split depends on the number of threads: a body whose result could depend on the split must make its own fixed blocks and
// use one block as the item. The first exception thrown by a body is rethrown here.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace linea
