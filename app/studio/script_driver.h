// app/studio/script_driver.h: runs a script on the studio, a step a frame: what it does goes through the same input as a person's.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "app/studio/frame_times.h"
#include "app/studio/script.h"
#include "app/studio/ui.h"

namespace linea::studio {

// What a script may ask of the studio beyond its items.
struct ScriptHost {
  std::function<void(int, int)> resize;
  std::function<void(double)> scale;
  std::function<void(const std::string&)> theme, view;
  std::function<void(const std::vector<std::filesystem::path>&)> drop;
  std::function<bool()> idle;           // nothing is queued, running, loading or uploaded
  std::function<long()> pictures_done;  // since the start
  std::function<ImVec2()> window_size;
  std::function<std::string()> more_times;  // further members of the report's JSON object
};

class ScriptDriver {
 public:
  ScriptDriver(std::vector<ScriptCommand> script, std::string source, ScriptHost host);

  // Once before each frame. Throws kUsage naming the line when a command cannot be carried out within its time.
  void step(Ui& ui, FrameTimes& times, double now);
  bool finished() const { return at_ >= script_.size(); }
  // The file that the next frame is to be saved as.
  std::optional<std::filesystem::path> take_screenshot();

 private:
  [[noreturn]] void fail(const std::string& what) const;
  const Item* find(const std::vector<Item>& items, const std::string& name, bool readable_too) const;
  bool act(Ui& ui, FrameTimes& times, double now);
  bool mouse(Ui& ui, const std::string& target, const std::string& what);
  bool drag(Ui& ui);
  bool wheel(Ui& ui);
  bool holds(Ui& ui, const std::vector<std::string>& words, double now);
  void type(Ui& ui, const std::string& text);
  bool monkey(Ui& ui);
  void report(const FrameTimes& times) const;
  void advance() { ++at_, phase_ = 0, since_ = -1; }

  std::vector<ScriptCommand> script_;
  std::string source_;
  ScriptHost host_;
  size_t at_ = 0;
  int phase_ = 0;      // of a command that takes several frames
  double since_ = -1;  // when the command began
  ImVec2 from_{}, to_{};
  long monkey_left_ = -1, pictures_before_ = 0;
  long clicks_before_ = 0;
  int click_frames_ = 0;  // the most that a click took to be answered
  std::mt19937 random_;
  std::optional<std::filesystem::path> screenshot_;
};

}  // namespace linea::studio
