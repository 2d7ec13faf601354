#include "app/cli/batch_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "core/json.h"

namespace linea::cli {
namespace {

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::ceil(seconds));
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
  return std::to_string(s / 3600) + " h " + std::to_string(s % 3600 / 60) + " min";
}

double BatchView::seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
double BatchView::pictures_per_second() const { return made_ > 0 ? static_cast<double>(made_) / seconds() : 0; }

double BatchView::seconds_left() const {
  return made_ > 0 ? static_cast<double>(pictures_ - there_ - made_ - failed_) / pictures_per_second() : -1;
}

void BatchView::step(const Progress& progress) {
  if (style_ == ProgressStyle::kBar) draw_bar(progress.stage);
}

void BatchView::picture(const PictureResult& result, const std::string& file) {
  ++made_;
  const double left = seconds_left();
  if (style_ == ProgressStyle::kBar) draw_bar("");
  if (style_ == ProgressStyle::kPlain) {
    const std::string count = std::to_string(there_ + made_) + "/" + std::to_string(pictures_);
    std::fprintf(stderr, "%s  %s  %s  %.2f s/picture  %s left\n", now_text().c_str(), count.c_str(), file.c_str(),
                 1 / pictures_per_second(), duration_text(left).c_str());
  } else if (style_ == ProgressStyle::kJson) {
    const nlohmann::ordered_json json = {
        {"event", "picture"}, {"time", now_text()},  {"done", there_ + made_},  {"pictures", pictures_},     {"failed", failed_},
        {"file", file},       {"seed", result.seed}, {"sha256", result.sha256}, {"seconds", result.seconds}, {"seconds_left", left}};
    std::fprintf(stderr, "%s\n", json.dump().c_str());
  }
}

void BatchView::failure(int64_t line, const std::string& reason) {
  ++failed_;
  if (style_ != ProgressStyle::kJson) return;
  const nlohmann::ordered_json json = {{"event", "failed"}, {"time", now_text()}, {"line", line}, {"reason", reason}};
  std::fprintf(stderr, "%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

void BatchView::draw_bar(const std::string& doing) {
  constexpr int64_t kWidth = 28;
  const int64_t done = there_ + made_;
  const int64_t filled = pictures_ > 0 ? kWidth * done / pictures_ : 0;
  std::string bar;
  for (int64_t i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  std::fprintf(stderr, "\r\033[K%s %lld/%lld", bar.c_str(), static_cast<long long>(done), static_cast<long long>(pictures_));
  if (made_ > 0) std::fprintf(stderr, "  %.2f/s  %s left", pictures_per_second(), duration_text(seconds_left()).c_str());
  if (failed_ > 0) std::fprintf(stderr, "  %lld failed", static_cast<long long>(failed_));
  if (!doing.empty()) std::fprintf(stderr, "  %s", doing.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void BatchView::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace linea::cli
