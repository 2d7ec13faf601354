// core/threads.h: data parallelism on the CPU.
//
// One pool serves long work: OpenMP's, which oneDNN uses too, so that no two pools compete for the cores. Many short loops in a row are
// served by helpers of their own (core/thread_crew.h), which sleep at all other times.
#pragma once

#include <cstdint>
#include <functional>

namespace linea {

// For the first line of main(): OpenMP's threads wait for each other by spinning, by default for so long that a busy machine makes a
// picture many times slower. The runtime reads the setting when it is loaded, hence before main: the program starts itself once more with
// it (under 2 ms). Where that fails, it runs on as it is.
void restart_with_short_spinning(char** argv);

int thread_count();
int core_count();                    // that this process may use
void set_thread_count(int threads);  // 0 = every core this process may use; throws kUsage when negative
int thread_index();                  // of the body that runs here, in [0, thread_count()), among those that run at the same time

// Calls body(begin, end) for disjoint ranges that cover [0, count), each of at least `grain` items, on up to thread_count() threads.
// The split depends on the number of threads: a body whose result could depend on the split must make its own fixed blocks and
// use one block as the item. The first exception thrown by a body is rethrown here. A body may be called more often than there are threads.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

// Runs `work` here, with helpers at hand for its parallel_for calls: for a sequence of many short ones, such as a token's way through a
// model. One thread at a time has the helpers; for another, `work` runs without them.
void with_helpers(const std::function<void()>& work);

}  // namespace linea
