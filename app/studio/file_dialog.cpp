#include "app/studio/file_dialog.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <algorithm>

#include "app/engine/plan.h"
#include "app/studio/picture_import.h"
#include "app/studio/studio_settings.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostEntries = 20000;
constexpr float kRow = 30;

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

struct Place {
  const char* name;
  const char* below_home;  // null = the root
  Icon icon;
};
constexpr Place kPlaces[] = {{"Home", "", Icon::kFolder},
                             {"Pictures", "Pictures", Icon::kImage},
                             {"Documents", "Documents", Icon::kList},
                             {"Downloads", "Downloads", Icon::kDownload},
                             {"Computer", nullptr, Icon::kCube}};

}  // namespace

void FileDialog::ask(FileQuestion question) {
  const fs::path last = folder_;
  question_ = std::move(question);
  open_ = true;
  go(!question_.start.empty() ? question_.start : last.empty() ? home_folder() : last);
}

std::vector<FileDialog::Entry> FileDialog::read_folder(const fs::path& folder, const FileQuestion& question, std::string& problem) {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end && entries.size() < kMostEntries; it.increment(error)) {
    std::error_code ignored;
    Entry entry{.name = it->path().filename().string(), .folder = it->is_directory(ignored)};
    if (!entry.folder) {
      const std::string ending = lower(it->path().extension().string());
      const bool wanted =
          question.endings.empty() || std::find(question.endings.begin(), question.endings.end(), ending) != question.endings.end();
      if (question.wish == FileWish::kFolder || !wanted || !it->is_regular_file(ignored)) continue;
      entry.bytes = static_cast<int64_t>(it->file_size(ignored));
    }
    entries.push_back(std::move(entry));
  }
  if (error) problem = "This folder cannot be read: " + error.message() + ".";
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(!a.folder, lower(a.name)) < std::pair(!b.folder, lower(b.name)); });
  return entries;
}

void FileDialog::go(const fs::path& folder) {
  std::string text = folder.string();
  if (!text.ends_with("/")) text += "/";
  path_.set_text(text);
  path_.take_focus();
  look();
}

void FileDialog::look() {
  const std::string text = path_.text();
  const fs::path folder = typed_path(text.substr(0, text.rfind('/') + 1));
  if (folder == folder_ && !entries_.empty()) return filter();
  folder_ = folder;
  reading_ = true;
  background_.run(Background::kFiles, [this, folder, question = question_, ticket = ++ticket_]() -> Background::Done {
    std::string problem;
    std::vector<Entry> entries = read_folder(folder, question, problem);
    return [this, entries = std::move(entries), problem, ticket] {
      if (ticket != ticket_) return;
      reading_ = false;
      entries_ = entries, problem_ = problem;
      filter();
    };
  });
}

// Hidden files only for those who type the dot.
void FileDialog::filter() {
  const std::string text = path_.text(), wanted = lower(text.substr(text.rfind('/') + 1));
  shown_.clear();
  for (size_t i = 0; i < entries_.size(); ++i) {
    const std::string name = lower(entries_[i].name);
    if (name.starts_with('.') && !wanted.starts_with('.')) continue;
    if (name.find(wanted) != std::string::npos) shown_.push_back(i);
  }
  chosen_ = wanted.empty() || shown_.empty() ? -1 : 0;
  scroll_to_chosen_ = true;
}

const FileDialog::Entry* FileDialog::chosen() const {
  return chosen_ >= 0 && chosen_ < static_cast<int>(shown_.size()) ? &entries_[shown_[static_cast<size_t>(chosen_)]] : nullptr;
}

void FileDialog::take(const fs::path& path) {
  open_ = false;
  if (question_.done) question_.done(path.lexically_normal());
}

void FileDialog::accept() {
  if (const Entry* entry = chosen(); entry && takes(*entry)) return take(folder_ / entry->name);
  fs::path folder = folder_;
  if (!folder.has_filename()) folder = folder.parent_path();
  if (question_.wish != FileWish::kFile && !chosen()) take(folder);
}

void FileDialog::enter() {
  const Entry* entry = chosen();
  if (!entry) return accept();
  if (entry->folder) return go(folder_ / entry->name);
  take(folder_ / entry->name);
}

void FileDialog::handle_keys(Ui& ui) {
  Input& in = ui.input();
  if (in.pressed(GLFW_KEY_ESCAPE)) open_ = false;
  if (in.pressed(GLFW_KEY_UP, kAlt)) {
    const fs::path here = folder_.has_filename() ? folder_ : folder_.parent_path();
    go(here.parent_path());
  }
  if (in.pressed(GLFW_KEY_ENTER, kControl)) accept();
  const int last = static_cast<int>(shown_.size()) - 1;
  const auto move = [&](int key, int to) {
    if (last < 0 || !in.pressed(key)) return;
    chosen_ = std::clamp(to, 0, last);
    scroll_to_chosen_ = true;
  };
  move(GLFW_KEY_UP, chosen_ - 1), move(GLFW_KEY_DOWN, chosen_ + 1);
  move(GLFW_KEY_PAGE_UP, chosen_ - 10), move(GLFW_KEY_PAGE_DOWN, chosen_ + 10);
}

void FileDialog::draw(Ui& ui, const Rect& window) {
  if (!open_) return;
  ImGui::SetNextWindowPos(window.min());
  ImGui::SetNextWindowSize({window.w, window.h});
  struct Cover {
    Cover() {
      ImGui::Begin("##file-dialog", nullptr,
                   ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoNav |
                       ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_NoScrollWithMouse);
    }
    ~Cover() { ImGui::End(); }
  };
  const Cover cover;
  handle_keys(ui);
  ui.fill(window, 0x000000, 0, 0.55f);
  const float width = std::min(ui.px(760), window.w - ui.px(32)), height = std::min(ui.px(540), window.h - ui.px(32));
  const Rect box{window.center().x - width / 2, window.center().y - height / 2, width, height};
  ui.fill(box, ui.colors().panel, 10);
  ui.frame(box, ui.colors().line, 10);
  Rect rest = box.inset(ui.px(20));
  const Rect head = cut_top(rest, ui.px(28));
  ui.text_in(head, question_.title, Face::kHeading, ui.colors().text);
  ui.readable("files/title", head, question_.title);
  cut_top(rest, ui.px(10));
  const EditorResponse e = path_.draw(ui, "files/path", cut_top(rest, ui.px(36)),
                                      {.label = "Place",
                                       .tip = "A folder, and the beginning of a name in it.",
                                       .face = Face::kMono,
                                       .enter_submits = true,
                                       .icon = Icon::kFolder});
  if (e.changed) look();
  if (e.submitted) enter();
  cut_top(rest, ui.px(12));
  draw_foot(ui, cut_bottom(rest, ui.px(kControlHeight)));
  cut_bottom(rest, ui.px(14));
  if (rest.w > ui.px(520)) draw_places(ui, cut_left(rest, ui.px(150)));
  draw_entries(ui, rest);
  if (ImGui::IsMouseClicked(0) && !box.contains(ImGui::GetIO().MousePos)) open_ = false;
}

void FileDialog::draw_places(Ui& ui, Rect rect) {
  for (const Place& place : kPlaces) {
    const fs::path folder = place.below_home ? home_folder() / place.below_home : fs::path("/");
    const Rect row = cut_top(rect, ui.px(34));
    if (button(ui, std::string("files/place/") + place.name, {row.x, row.y, row.w - ui.px(16), ui.px(kControlHeight)}, place.name,
               {.icon = place.icon, .left = true})
            .clicked)
      go(folder);
  }
}

void FileDialog::draw_entries(Ui& ui, const Rect& rect) {
  ui.fill(rect, ui.colors().window, 6);
  ui.frame(rect, ui.colors().line, 6);
  const ChildScope child("entries", rect.inset(ui.px(4)), {0, 0});
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  const float height = ui.px(kRow), width = ui.rest();
  if (shown_.empty() && !reading_) {
    const std::string text = !problem_.empty() ? problem_ : entries_.empty() ? "Nothing to choose in this folder." : "No name fits.";
    ui.text_in({origin.x, origin.y + ui.px(12), width, ui.px(24)}, text, Face::kText, ui.colors().quiet, 0.5f);
    ui.readable("files/none", rect, text);
  }
  ImGui::Dummy({1, height * static_cast<float>(shown_.size())});
  if (std::exchange(scroll_to_chosen_, false)) {
    const float top = height * static_cast<float>(std::max(0, chosen_)), seen = ImGui::GetScrollY(), room = rect.h - ui.px(8);
    if (top < seen) ImGui::SetScrollY(top);
    if (top + height > seen + room) ImGui::SetScrollY(top + height - room);
  }
  const int first = std::max(0, static_cast<int>((rect.y - origin.y) / height));
  for (int i = first; i < static_cast<int>(shown_.size()); ++i) {
    const Rect row{origin.x, origin.y + height * static_cast<float>(i), width, height};
    if (row.y > rect.bottom()) break;
    const Entry& entry = entries_[shown_[static_cast<size_t>(i)]];
    const IdScope scope(entry.name);
    const Response r =
        ui.item("files/entry", row, ItemKind::kRow, entry.name, {.focusable = false, .value = entry.folder ? "folder" : "file"});
    if (i == chosen_) {
      ui.fill(row, ui.colors().selection, 5);
    } else if (r.hovered) {
      ui.fill(row, ui.colors().hover, 5);
    }
    Rect text = row;
    ui.icon(entry.folder                  ? Icon::kFolder
            : is_picture_name(entry.name) ? Icon::kImage
                                          : Icon::kCube,
            cut_left(text, ui.px(36)), entry.folder ? ui.colors().accent : ui.colors().quiet, 16);
    if (!entry.folder) ui.text_in(cut_right(text, ui.px(90)), bytes_text(entry.bytes) + "  ", Face::kMonoSmall, ui.colors().quiet, 1);
    ui.text_in(text, entry.name, Face::kText, ui.colors().text);
    if (r.pressed) chosen_ = i;
    if (r.double_clicked) return enter();
  }
}

void FileDialog::draw_foot(Ui& ui, Rect rect) {
  const Entry* entry = chosen();
  const bool able = entry ? takes(*entry) || entry->folder : question_.wish != FileWish::kFile;
  const bool goes_in = entry && entry->folder && !takes(*entry);
  const std::string word = goes_in ? "Open folder" : question_.accept;
  const Rect ok = cut_right(rect, std::max(ui.px(110), button_width(ui, word)));
  cut_right(rect, ui.px(8));
  const Rect leave = cut_right(rect, button_width(ui, "Cancel"));
  ui.text_in(rect, "↑ ↓ choose · Enter opens · Alt+↑ goes up · Ctrl+Enter takes", Face::kSmall, ui.colors().quiet);
  if (button(ui, "files/cancel", leave, "Cancel", {.look = ButtonLook::kOutlined, .shortcut = "Esc"}).clicked) open_ = false;
  if (button(ui, "files/accept", ok, word, {.look = ButtonLook::kPrimary, .enabled = able, .shortcut = "Ctrl+Enter"}).clicked) {
    if (goes_in) {
      enter();
    } else {
      accept();
    }
  }
}

}  // namespace linea::studio
