#include "kernels/replay.h"

#include <algorithm>

namespace linea {
namespace {

constexpr size_t kKept = 8;  // states of conversations that take turns, for example

}  // namespace

void ReplayCache::run(Context& ctx, Key key, const std::function<void()>& work) {
  if (ctx.planning() || ctx.tap) return work();
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  if (found == entries_.end()) {
    work();
    if (entries_.size() == kKept) entries_.erase(entries_.begin());
    entries_.push_back({std::move(key), nullptr});
    return;
  }
  if (!found->captured) found->captured = ctx.backend->capture(work);
  found->captured ? found->captured->submit() : work();
}

}  // namespace linea
