#include "app/studio/ui_guard.h"

#ifndef LINEA_UI_GUARD

namespace linea::studio {

void watch_this_thread(bool) {}
AllowWaiting::AllowWaiting() = default;
AllowWaiting::~AllowWaiting() = default;  // NOLINT: the other build's does something

}  // namespace linea::studio

#else

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace linea::studio {
namespace {

thread_local bool watched = false;
thread_local int allowed = 0;

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

long voluntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// Time that other threads took the core away is not waiting: only a call that went to sleep by itself counts.
class Watch {
 public:
  explicit Watch(const char* what) : what_(watched && allowed == 0 ? what : nullptr) {
    if (what_) switches_ = voluntary_switches(), start_ = now();
  }
  ~Watch() {
    if (!what_ || now() - start_ <= kLimit || voluntary_switches() == switches_) return;
    ++allowed;
    std::fprintf(stderr, "linea: the drawing thread waited %.1f ms in %s\n", 1e3 * (now() - start_), what_);
    void* frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    std::abort();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  static constexpr double kLimit = 2e-3;
  const char* what_;
  double start_ = 0;
  long switches_ = 0;
};

template <class F> F next(const char* name) { return reinterpret_cast<F>(dlsym(RTLD_NEXT, name)); }

}  // namespace

void watch_this_thread(bool on) { watched = on; }
AllowWaiting::AllowWaiting() { ++allowed; }
AllowWaiting::~AllowWaiting() { --allowed; }

}  // namespace linea::studio

// The C library's calls that can sleep, before it in the order of symbols. Parameters and arguments bring their own parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define LINEA_WATCHED(result, name, parameters, arguments)                     \
  extern "C" __attribute__((visibility("default"))) result name parameters {   \
    static const auto real = linea::studio::next<result(*) parameters>(#name); \
    const linea::studio::Watch watch(#name);                                   \
    return real arguments;                                                     \
  }
// NOLINTEND(bugprone-macro-parentheses)

LINEA_WATCHED(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
LINEA_WATCHED(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t* m), (c, m))
LINEA_WATCHED(int, pthread_cond_timedwait, (pthread_cond_t * c, pthread_mutex_t* m, const timespec* t), (c, m, t))
LINEA_WATCHED(int, pthread_join, (pthread_t t, void** result), (t, result))
LINEA_WATCHED(ssize_t, read, (int file, void* data, size_t bytes), (file, data, bytes))
LINEA_WATCHED(ssize_t, write, (int file, const void* data, size_t bytes), (file, data, bytes))
LINEA_WATCHED(ssize_t, pread64, (int file, void* data, size_t bytes, off64_t at), (file, data, bytes, at))
LINEA_WATCHED(ssize_t, pwrite64, (int file, const void* data, size_t bytes, off64_t at), (file, data, bytes, at))
LINEA_WATCHED(int, fsync, (int file), (file))
LINEA_WATCHED(int, fdatasync, (int file), (file))
LINEA_WATCHED(FILE*, fopen, (const char* path, const char* mode), (path, mode))
LINEA_WATCHED(FILE*, fopen64, (const char* path, const char* mode), (path, mode))

#endif
