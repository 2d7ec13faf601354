#include "app/studio/script_driver.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "app/studio/ui_guard.h"
#include "app/studio/utf8.h"
#include "core/error.h"
#include "core/text.h"

namespace linea::studio {
namespace {

constexpr double kPatience = 30, kLongPatience = 300;  // seconds for a widget to appear, for work to end

double number_of(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end) throw Error(ErrorKind::kUsage, "'" + text + "' is no number");
  return value;
}

}  // namespace

ScriptDriver::ScriptDriver(std::vector<ScriptCommand> script, std::string source, ScriptHost host)
    : script_(std::move(script)), source_(std::move(source)), host_(std::move(host)) {}

void ScriptDriver::fail(const std::string& what) const {
  throw Error(ErrorKind::kUsage, source_ + ": line " + std::to_string(script_[at_].line) + ": " + what);
}

std::optional<std::filesystem::path> ScriptDriver::take_screenshot() { return std::exchange(screenshot_, std::nullopt); }

void ScriptDriver::step(Ui& ui, FrameTimes& times, double now) {
  if (finished()) return;
  if (since_ < 0) since_ = now, pictures_before_ = host_.pictures_done();
  const ScriptCommand& command = script_[at_];
  const bool done = act(ui, times, now);
  if (done) {
    advance();
    return;
  }
  const bool patient = command.name == "wait" || command.name == "monkey";
  if (command.name != "monkey" && now - since_ > (patient ? kLongPatience : kPatience)) {
    std::string known;
    for (const Item& item : ui.items()) {
      if (item.kind != ItemKind::kText && known.size() < 2000)
        known += "\n  #" + item.id + "  \"" + printable(item.label, 60) + "\"  " + printable(item.value, 60);
    }
    fail(command.name + " " + (command.words.empty() ? "" : command.words[0]) + ": did not happen in time; there are:" + known);
  }
}

// An item by "#id", or by its label: exactly, else one that begins so. Visible ones first.
const Item* ScriptDriver::find(const std::vector<Item>& items, const std::string& name, bool readable_too) const {
  const bool by_id = name.starts_with("#");
  const std::string wanted = by_id ? name.substr(1) : name;
  const Item* best = nullptr;
  int best_rank = 0;
  for (const Item& item : items) {
    if (item.kind == ItemKind::kText && !readable_too) continue;
    const std::string& text = by_id ? item.id : item.label;
    int rank = text == wanted ? 4 : !by_id && text.starts_with(wanted) ? 2 : 0;
    if (rank == 0) continue;
    rank += item.visible.empty() ? 0 : 1;
    if (rank > best_rank) best = &item, best_rank = rank;
  }
  return best;
}

bool ScriptDriver::act(Ui& ui, FrameTimes& times, double now) {
  const ScriptCommand& c = script_[at_];
  if (c.name == "click" || c.name == "double-click" || c.name == "right-click" || c.name == "move") return mouse(ui, c.words[0], c.name);
  if (c.name == "type") return type(ui, c.words[0]), true;
  if (c.name == "drag") return drag(ui);
  if (c.name == "wheel") return wheel(ui);
  if (c.name == "wait") return holds(ui, c.words, now);
  if (c.name == "monkey") return monkey(ui);
  if (c.name == "key") {
    const KeyChord chord = parse_chord(c.words[0]);
    ui.input().key(chord.key, true, chord.modifiers);
    ui.input().key(chord.key, false, 0);
  } else if (c.name == "expect") {
    if (phase_++ < 2) return false;  // the frame after the last command must have been drawn
    if (!holds(ui, c.words, now))
      fail("expected " + c.words[0] + (c.words.size() > 1 ? " " + c.words[1] : "") + (c.words.size() > 2 ? " " + c.words[2] : ""));
  } else if (c.name == "drop") {
    host_.drop({c.words.begin(), c.words.end()});
  } else if (c.name == "screenshot") {
    if (phase_++ < 3) return false;
    screenshot_ = c.words[0];
  } else if (c.name == "resize") {
    host_.resize(static_cast<int>(number_of(c.words[0])), static_cast<int>(number_of(c.words[1])));
  } else if (c.name == "scale") {
    host_.scale(number_of(c.words[0]));
  } else if (c.name == "theme") {
    host_.theme(c.words[0]);
  } else if (c.name == "view") {
    host_.view(c.words[0]);
  } else if (c.name == "report") {
    report(times);
  } else if (c.name == "dump") {
    for (const Item& item : ui.items())
      std::printf("#%s \"%s\" = \"%s\"\n", item.id.c_str(), printable(item.label, 200).c_str(), printable(item.value, 100).c_str());
    std::fflush(stdout);
  }
  return true;
}

bool ScriptDriver::mouse(Ui& ui, const std::string& target, const std::string& what) {
  Input& in = ui.input();
  if (phase_ == 0) {
    const Item* item = find(ui.items(), target, false);
    if (!item || (!item->enabled && what != "move")) return false;
    if (item->visible.w < std::min(4.0f, item->rect.w) || item->visible.h < std::min(item->rect.h, 8.0f)) {
      ui.reveal(item->key);
      return false;
    }
    from_ = item->visible.center();
    in.mouse_at(from_.x, from_.y);
    ++phase_;
    return what == "move";
  }
  const int button = what == "right-click" ? 1 : 0;
  if (phase_ == 1) {  // the mouse has been over it for a frame; is it still there?
    const Item* item = find(ui.items(), target, false);
    if (item && !item->visible.contains(from_)) return phase_ = 0, false;
    for (int i = 0; i < (what == "double-click" ? 2 : 1); ++i) in.mouse_button(button, true), in.mouse_button(button, false);
    clicks_before_ = ui.clicks();
  } else if (what == "click" && ui.clicks() > clicks_before_) {
    click_frames_ = std::max(click_frames_, phase_ - 1);  // frames that were drawn since
    clicks_before_ = ui.clicks() + (1L << 40);            // the first answer counts
  }
  ++phase_;
  return phase_ > 3 && !in.pending();
}

bool ScriptDriver::drag(Ui& ui) {
  const ScriptCommand& c = script_[at_];
  Input& in = ui.input();
  constexpr int kSteps = 8;
  if (phase_ == 0) {
    const Item* item = find(ui.items(), c.words[0], false);
    if (!item || item->visible.empty()) return false;
    from_ = item->visible.center();
    if (c.words.size() == 3) {
      to_ = {from_.x + static_cast<float>(number_of(c.words[1])), from_.y + static_cast<float>(number_of(c.words[2]))};
    } else {
      const Item* target = find(ui.items(), c.words[1], false);
      if (!target) return false;
      to_ = target->visible.center();
    }
    in.mouse_at(from_.x, from_.y);
  } else if (phase_ == 1) {
    in.mouse_button(0, true);
  } else if (phase_ <= 1 + kSteps) {
    const float part = static_cast<float>(phase_ - 1) / kSteps;
    in.mouse_at(from_.x + (to_.x - from_.x) * part, from_.y + (to_.y - from_.y) * part);
  } else if (phase_ == 3 + kSteps) {
    in.mouse_button(0, false);
  }
  return ++phase_ > 5 + kSteps;
}

bool ScriptDriver::wheel(Ui& ui) {
  if (phase_ == 0) {
    const Item* item = find(ui.items(), script_[at_].words[0], false);
    if (!item || item->visible.empty()) return false;
    const ImVec2 at = item->visible.center();
    ui.input().mouse_at(at.x, at.y);
  } else if (phase_ == 2) {
    ui.input().wheel(0, static_cast<float>(number_of(script_[at_].words[1])));
  }
  return ++phase_ > 3;
}

void ScriptDriver::type(Ui& ui, const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const unsigned int c = decode_utf8(text, at);
    if (c == '\n') {
      ui.input().key(GLFW_KEY_ENTER, true, 0);
    } else {
      ui.input().character(c);
    }
  }
}

bool ScriptDriver::holds(Ui& ui, const std::vector<std::string>& words, double now) {
  const std::string& what = words[0];
  const auto word = [&](size_t i) -> const std::string& {
    if (i >= words.size()) fail("'" + what + "' needs more arguments");
    return words[i];
  };
  if (what == "item") return find(ui.items(), word(1), true) != nullptr;
  if (what == "gone") return find(ui.items(), word(1), true) == nullptr;
  if (what == "focus") {
    const Item* item = find(ui.items(), word(1), false);
    return item && item->focused;
  }
  if (what == "enabled" || what == "disabled") {
    const Item* item = find(ui.items(), word(1), false);
    return item && item->enabled == (what == "enabled");
  }
  if (what == "value") {
    const Item* item = find(ui.items(), word(1), true);
    return item && (item->value == word(2) || (item->kind == ItemKind::kText && item->label == word(2)));
  }
  if (what == "changed") {
    const Item* item = find(ui.items(), word(1), true);
    return item && item->value != word(2);
  }
  if (what == "text") {
    return std::any_of(ui.items().begin(), ui.items().end(), [&](const Item& item) {
      return item.label.find(word(1)) != std::string::npos || item.value.find(word(1)) != std::string::npos;
    });
  }
  if (what == "idle") return ++phase_ > 3 && host_.idle();
  if (what == "frames") return ++phase_ > static_cast<int>(number_of(word(1)));
  if (what == "seconds") return now - since_ >= number_of(word(1));
  if (what == "picture") return host_.pictures_done() > (words.size() > 1 ? static_cast<long>(number_of(words[1])) - 1 : pictures_before_);
  fail("unknown condition '" + what + "'");
}

// Clicks, drags, wheels, keys and text at random places; never quits or opens files.
bool ScriptDriver::monkey(Ui& ui) {
  if (monkey_left_ < 0) {
    monkey_left_ = static_cast<long>(number_of(script_[at_].words[0]));
    random_.seed(static_cast<unsigned>(number_of(script_[at_].words[1])));
  }
  Input& in = ui.input();
  const ImVec2 size = host_.window_size();
  const auto below = [&](unsigned n) { return static_cast<int>(random_() % n); };
  if (in.pending()) return false;
  for (int i = 0; i < 4 && monkey_left_ > 0; ++i, --monkey_left_) {
    const int kind = below(100);
    if (kind < 30) {
      in.mouse_at(static_cast<float>(below(static_cast<unsigned>(size.x))), static_cast<float>(below(static_cast<unsigned>(size.y))));
    } else if (kind < 62) {
      if (!ui.items().empty() && below(4) != 0) {
        const Item& item = ui.items()[static_cast<size_t>(below(static_cast<unsigned>(ui.items().size())))];
        in.mouse_at(item.visible.center().x, item.visible.center().y);
      }
      const int button = below(6) == 0 ? 1 : 0;
      in.mouse_button(button, true), in.mouse_button(button, false);
    } else if (kind < 70) {
      in.wheel(0, static_cast<float>(below(7) - 3));
    } else if (kind < 76) {
      in.mouse_button(0, true);
      in.mouse_at(static_cast<float>(below(static_cast<unsigned>(size.x))), static_cast<float>(below(static_cast<unsigned>(size.y))));
      in.mouse_button(0, false);
    } else if (kind < 88) {
      constexpr int kKeys[] = {256, 257, 258, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 32, 290, 291};
      const int key = below(3) == 0 ? kKeys[below(std::size(kKeys))] : 'A' + below(26);
      const int modifiers = below(3) == 0 ? 0 : below(8);
      if (below(6) == 0) in.key('1' + below(5), true, kControl);  // from view to view
      const bool quits = key == 'Q' && modifiers == kControl;
      if (!quits) in.key(key, true, modifiers);
    } else {
      constexpr unsigned kCharacters[] = {'a', 'e', ' ', 'z', '1', '.', 0xE4, 0x4E2D, 0x1F600, 0x301, '*', '`', '\\', '"'};
      in.character(kCharacters[below(std::size(kCharacters))]);
    }
  }
  if (monkey_left_ > 0) return false;
  monkey_left_ = -1;
  return true;
}

void ScriptDriver::report(const FrameTimes& times) const {
  const AllowWaiting allow;
  std::ofstream file(script_[at_].words[0]);
  file << "{\"frames\": " << times.count() << ", \"p50_ms\": " << 1e3 * times.quantile(0.5)
       << ", \"p99_ms\": " << 1e3 * times.quantile(0.99) << ", \"max_ms\": " << 1e3 * times.quantile(1)
       << ", \"click_frames\": " << click_frames_ << ", " << host_.more_times() << "}\n";
}

}  // namespace linea::studio
