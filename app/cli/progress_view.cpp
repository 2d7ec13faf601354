#include "app/cli/progress_view.h"

#include <unistd.h>

#include <cstdio>

#include "app/cli/options.h"
#include "core/json.h"

namespace linea::cli {

ProgressStyle parse_progress_style(const std::string& name) {
  if (name == "auto") return isatty(STDERR_FILENO) ? ProgressStyle::kBar : ProgressStyle::kNone;
  if (name == "bar") return ProgressStyle::kBar;
  if (name == "plain") return ProgressStyle::kPlain;
  if (name == "json") return ProgressStyle::kJson;
  if (name == "none") return ProgressStyle::kNone;
  fail_choice("--progress", name, {"auto", "bar", "plain", "json", "none"});
}

void ProgressView::show(const Progress& p) {
  if (style_ == ProgressStyle::kBar) return show_bar(p);
  if (style_ == ProgressStyle::kPlain) {
    std::fprintf(stderr, "picture %d/%d  %-8s %d/%d  %.1f s", index_ + 1, count_, p.stage.c_str(), p.step, p.steps, p.seconds);
    if (p.seconds_left >= 0) std::fprintf(stderr, "  %.1f s left", p.seconds_left);
    std::fputc('\n', stderr);
  } else if (style_ == ProgressStyle::kJson) {
    nlohmann::ordered_json json = {{"event", "progress"}, {"picture", index_ + 1}, {"pictures", count_},  {"stage", p.stage},
                                   {"step", p.step},      {"steps", p.steps},      {"seconds", p.seconds}};
    if (p.seconds_left >= 0) json["seconds_left"] = p.seconds_left;
    std::fprintf(stderr, "%s\n", json.dump().c_str());
  }
}

void ProgressView::show_bar(const Progress& p) {
  constexpr int kWidth = 28;
  const int filled = p.steps > 0 ? kWidth * p.step / p.steps : 0;
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  std::fputs("\r\033[K", stderr);
  if (count_ > 1) std::fprintf(stderr, "%d/%d ", index_ + 1, count_);
  std::fprintf(stderr, "%-8s %s %d/%d  %.1f s", p.stage.c_str(), bar.c_str(), p.step, p.steps, p.seconds);
  if (p.seconds_left > 0) std::fprintf(stderr, "  %.1f s left", p.seconds_left);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressView::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace linea::cli
