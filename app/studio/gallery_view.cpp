#include "app/studio/gallery_view.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "app/studio/clock.h"
#include "app/studio/picture_details.h"
#include "app/studio/picture_import.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

double day_start(int days_ago) {
  std::time_t now = std::time(nullptr);
  std::tm day{};
  localtime_r(&now, &day);
  day.tm_hour = day.tm_min = day.tm_sec = 0;
  day.tm_mday -= days_ago;
  return static_cast<double>(std::mktime(&day));
}

std::string thousands(size_t n) {
  std::string digits = std::to_string(n), text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += " ";  // a narrow space is not in every font
    text += digits[i];
  }
  return text;
}

}  // namespace

std::string GalleryView::times() const {
  char text[160];
  std::snprintf(text, sizeof text, "\"gallery_pictures\": %zu, \"gallery_open_ms\": %.1f, \"gallery_search_ms\": %.1f", tiles_.size(),
                1e3 * open_seconds_, 1e3 * search_seconds_);
  return text;
}

void GalleryView::search(const std::string& text) {
  search_.set_text(text);
  filter_.text = text;
  dirty_ = true;
}

// The whole list of ids and sizes, in order; an older answer never replaces a newer one.
void GalleryView::query() {
  if (seen_version_ != ws_.library_version) {
    seen_version_ = ws_.library_version;
    records_.clear();
    asked_records_.clear();
    dirty_ = names_dirty_ = true;
  }
  if (!dirty_) return;
  dirty_ = false;
  asked_at_ = now_seconds();
  const bool searching = !filter_.text.empty();
  ws_.background.with_library(
      [this, filter = filter_, ticket = ++ticket_, searching, asked = asked_at_](Library& library) -> Background::Done {
        const double start = now_seconds();
        auto tiles = std::make_shared<std::vector<PictureTile>>(library.tiles(filter));
        const double seconds = now_seconds() - start;
        return [this, tiles, seconds, ticket, searching, asked] {
          if (ticket < answered_) return;
          answered_ = ticket;
          tiles_ = std::move(*tiles);
          proportions_.clear();
          proportions_.reserve(tiles_.size());
          for (const PictureTile& tile : tiles_) proportions_.push_back({tile.width, tile.height});
          query_seconds_ = seconds;
          (searching ? search_seconds_ : open_seconds_) = now_seconds() - asked;
          known_ = true;
          laid_out_ = ~uint64_t{0};
          cursor_ = std::min(cursor_, tiles_.empty() ? size_t{0} : tiles_.size() - 1);
        };
      });
  if (std::exchange(names_dirty_, false)) query_names();
}

// What can be chosen in the filters; a choice keeps its name where the list changes.
void GalleryView::query_names() {
  ws_.background.with_library([this](Library& library) -> Background::Done {
    return [this, models = library.models(), tags = library.tags()] {
      const auto keep = [](std::vector<std::string>& names, const std::vector<std::string>& now, int& choice) {
        const std::string chosen = choice > 0 ? names[static_cast<size_t>(choice) - 1] : "";
        names = now;
        if (choice == 0) return;
        const auto at = std::find(names.begin(), names.end(), chosen);
        choice = at == names.end() ? 0 : static_cast<int>(at - names.begin()) + 1;
      };
      keep(model_names_, models, model_choice_);
      keep(tag_names_, tags, tag_choice_);
      const std::string tag = tag_choice_ > 0 ? filter_.tag : "", model = model_choice_ > 0 ? filter_.model : "";
      if (tag != filter_.tag || model != filter_.model) filter_.tag = tag, filter_.model = model, dirty_ = true;
    };
  });
}

void GalleryView::layout(float width, float row_height, float gap) {
  if (laid_out_ == answered_ && rows_width_ == width && rows_height_ == row_height) return;
  laid_out_ = answered_, rows_width_ = width, rows_height_ = row_height;
  rows_ = JustifiedRows(proportions_, width, row_height, gap);
}

void GalleryView::draw(Ui& ui, const Rect& rect) {
  query();
  Rect rest = rect;
  float filters = static_cast<float>(ws_.settings.filter_width);
  if (rect.w > ui.px(760)) {
    draw_filters(ui, cut_left(rest, ui.px(filters)));
    drag_edge(ui, "edge/filters", {rest.x - ui.px(3), rest.y, ui.px(6), rest.h}, filters, 170, 400, 1);
    ws_.settings.filter_width = filters;
  }
  Rect head = cut_top(rest, ui.px(56));
  head = {head.x + ui.px(20), head.y + ui.px(12), head.w - ui.px(40), ui.px(kControlHeight)};
  const Rect field = cut_left(head, std::min(ui.px(420), head.w - ui.px(190)));
  const EditorResponse e = search_.draw(ui, "gallery/search", field,
                                        {.label = "Search prompts",
                                         .placeholder = "Search prompts",
                                         .tip = "Words, the beginning is enough; \"several words\" together; -word leaves out.",
                                         .icon = Icon::kSearch});
  if (e.changed && search_.text() != filter_.text) filter_.text = search_.text(), dirty_ = true;
  if (e.cancelled) ui.focus(0), ui.input().pressed(GLFW_KEY_ESCAPE);
  const std::string found = known_ ? thousands(tiles_.size()) + (tiles_.size() == 1 ? " picture" : " pictures") + " · " +
                                         std::to_string(std::lround(1e3 * query_seconds_)) + " ms"
                                   : "…";
  const auto tool = [&](const char* id, Icon icon, const char* label, const char* key, bool on) {
    const Rect place = cut_right(head, ui.px(36));
    return icon_button(ui, id, {place.x + ui.px(4), place.y, ui.px(32), place.h}, icon, label,
                       {.look = on ? ButtonLook::kSelected : ButtonLook::kQuiet, .shortcut = key})
        .clicked;
  };
  if (tool("gallery/add", Icon::kFolder, "Add a folder of pictures", "", false)) ask_for_folder();
  if (tool("gallery/tags", Icon::kEdit, "Tag what is chosen", "T", tagging_)) start_tagging(!tagging_);
  const Rect count{head.x + ui.px(12), head.y, head.w - ui.px(12), head.h};
  ui.text_in(count, found, Face::kSmall, ui.colors().quiet);
  ui.readable("gallery/count", count, found);
  if (tagging_) draw_tag_bar(ui, cut_top(rest, ui.px(38)));
  if (known_ && tiles_.empty()) {
    draw_empty(ui, rest);
  } else {
    draw_rows(ui, rest);
  }
  if (!ui.typing()) handle_keys(ui);
}

void GalleryView::draw_filters(Ui& ui, const Rect& rect) {
  ui.fill(rect, ui.colors().panel);
  const ChildScope child("filters", rect, {ui.px(16), ui.px(16)});
  draw_choices(ui);
  ui.gap(14);
  caption(ui, "Stars, at least");
  const int star = star_row(ui, "gallery/min-star", ui.place(0, ui.px(30)), filter_.min_stars,
                            {.label = " or more stars", .tip = "Only pictures with so many stars"});
  if (star > 0) filter_.min_stars = filter_.min_stars == star ? 0 : star, dirty_ = true;
  ui.gap(14);
  caption(ui, "Thumbnails");
  Rect row = ui.place(0, ui.px(kControlHeight));
  const auto resize = [&](const char* id, Icon icon, const char* label, double factor, const Rect& place) {
    if (icon_button(ui, id, place, icon, label, {.look = ButtonLook::kOutlined}).clicked)
      ws_.settings.row_height = std::clamp(ws_.settings.row_height * factor, 90.0, 460.0), scroll_to_cursor_ = true;
  };
  resize("gallery/smaller", Icon::kMinus, "Smaller", 0.8, cut_left(row, ui.px(36)));
  cut_left(row, ui.px(8));
  resize("gallery/larger", Icon::kPlus, "Larger", 1.25, cut_left(row, ui.px(36)));
}

void GalleryView::draw_choices(Ui& ui) {
  const auto choose = [&](const char* title, const char* id, const std::vector<Choice>& choices, int& index, const char* tip) {
    caption(ui, title);
    const bool changed = dropdown(ui, id, ui.place(0, ui.px(kControlHeight)), title, choices, index, tip);
    ui.gap(10);
    dirty_ = dirty_ || changed;
    return changed;
  };
  const std::vector<Choice> orders = {{"Newest first", ""}, {"Oldest first", ""}, {"Most stars first", ""}};
  if (choose("Order", "gallery/order", orders, order_choice_, "")) filter_.order = static_cast<PictureOrder>(order_choice_);
  std::vector<Choice> models = {{"All models", ""}};
  for (const std::string& name : model_names_) models.push_back({model_title(ws_, name), ""});
  if (choose("Model", "gallery/model", models, model_choice_, ""))
    filter_.model = model_choice_ == 0 ? "" : model_names_[static_cast<size_t>(model_choice_) - 1];
  const std::vector<Choice> sizes = {{"All sizes", ""}, {"Up to 512", ""}, {"513 to 1024", ""}, {"1025 to 2048", ""}, {"Above 2048", ""}};
  if (choose("Longer side", "gallery/size", sizes, size_choice_, "")) {
    constexpr std::array<std::pair<int64_t, int64_t>, 5> kSides = {{{0, 0}, {0, 512}, {513, 1024}, {1025, 2048}, {2049, 0}}};
    filter_.min_side = kSides[static_cast<size_t>(size_choice_)].first, filter_.max_side = kSides[static_cast<size_t>(size_choice_)].second;
  }
  const std::vector<Choice> dates = {{"Any time", ""}, {"Today", ""}, {"Last 7 days", ""}, {"Last 30 days", ""}};
  if (choose("Made", "gallery/date", dates, date_choice_, "")) {
    constexpr int kDays[] = {0, 0, 6, 29};
    filter_.from = date_choice_ == 0 ? 0 : day_start(kDays[date_choice_]);
  }
  if (!tag_names_.empty()) {
    std::vector<Choice> tags = {{"All tags", ""}};
    for (const std::string& tag : tag_names_) tags.push_back({tag, ""});
    if (choose("Tag", "gallery/tag", tags, tag_choice_, ""))
      filter_.tag = tag_choice_ == 0 ? "" : tag_names_[static_cast<size_t>(tag_choice_) - 1];
  }
}

void GalleryView::draw_empty(Ui& ui, const Rect& rect) {
  const float width = std::min(ui.px(460), rect.w - ui.px(40));
  Rect box{rect.center().x - width / 2, rect.center().y - ui.px(90), width, ui.px(160)};
  const bool filtered = !filter_.text.empty() || filter_.min_stars > 0 || size_choice_ + date_choice_ + model_choice_ + tag_choice_ > 0;
  ui.icon(Icon::kGrid, cut_top(box, ui.px(56)), ui.colors().quiet, 40);
  const Rect title = cut_top(box, ui.px(30));
  const std::string text = filtered ? "No picture matches" : "No pictures yet";
  ui.text_in(title, text, Face::kTitle, ui.colors().text, 0.5f);
  ui.readable("gallery/empty", title, text);
  cut_top(box, ui.px(8));
  if (filtered) {
    const Rect r = cut_top(box, ui.px(kControlHeight));
    if (button(ui, "gallery/clear", {r.center().x - ui.px(90), r.y, ui.px(180), r.h}, "Clear the filters", {.look = ButtonLook::kOutlined})
            .clicked) {
      filter_ = {};
      filter_.order = static_cast<PictureOrder>(order_choice_);
      size_choice_ = date_choice_ = model_choice_ = tag_choice_ = 0;
      search_.set_text("");
      dirty_ = true;
    }
    return;
  }
  ui.text_in(cut_top(box, ui.px(24)), "Generate one, or add those that you have.", Face::kText, ui.colors().quiet, 0.5f);
  cut_top(box, ui.px(12));
  const Rect row = cut_top(box, ui.px(kControlHeight));
  const float wide = button_width(ui, "Add a folder …", Icon::kFolder);
  if (button(ui, "gallery/add-folder", {row.center().x - wide / 2, row.y, wide, row.h}, "Add a folder …",
             {.icon = Icon::kFolder, .look = ButtonLook::kPrimary, .enabled = !importing_})
          .clicked)
    ask_for_folder();
}

void GalleryView::ask_for_folder() {
  ws_.ask_file({.title = "A folder of pictures; those in folders below it come too",
                .accept = "Add this folder",
                .wish = FileWish::kFolder,
                .done = [this](const std::filesystem::path& path) { import_folder(path); }});
}

// What is chosen gets tags here; T opens it.
void GalleryView::draw_tag_bar(Ui& ui, Rect rect) {
  const std::vector<int64_t> ids = chosen();
  const PictureRecord* first = ids.empty() ? nullptr : record(ids.front());
  rect = {rect.x + ui.px(20), rect.y, rect.w - ui.px(40), rect.h - ui.px(8)};
  if (!first) return;
  const ChildScope child("tag-bar", rect, {0, 0}, false);
  Rect head{rect.x, rect.y, ui.px(150), ui.px(26)};
  ui.text_in(head, ids.size() == 1 ? "Tags of this picture" : "Tags for " + std::to_string(ids.size()) + " pictures", Face::kSmall,
             ui.colors().quiet);
  const ChildScope rest("tags", {rect.x + head.w, rect.y, rect.w - head.w, rect.h}, {0, 0});
  tag_editor_.draw(ui, ws_, *first, ids);
  if (!ui.input().pressed(GLFW_KEY_ESCAPE)) return;
  tagging_ = false;
  ui.focus(0);
}

void GalleryView::import_folder(const std::filesystem::path& folder) {
  if (importing_) return;
  importing_ = true;
  ws_.background.run(Background::kPictures, [this, folder]() -> Background::Done {
    std::vector<PictureRecord> found;
    std::string problem;
    try {
      found = find_pictures(folder);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    return [this, found, folder, problem] {
      importing_ = false;
      if (!problem.empty()) return ws_.toasts.error("The folder could not be read.", problem);
      ws_.background.with_library([this, found, folder](Library& library) -> Background::Done {
        library.add_pictures(found);
        return [this, count = found.size(), folder] {
          ws_.toasts.good(std::to_string(count) + (count == 1 ? " picture" : " pictures") + " added from " + folder.filename().string() +
                          ".");
          ws_.library_changed();
        };
      });
    };
  });
}

const PictureRecord* GalleryView::record(int64_t id) {
  const auto found = records_.find(id);
  if (found != records_.end()) return &found->second;
  if (asked_records_.insert(id).second) with_record(ws_, id, [this](const PictureRecord& r) { records_[r.id] = r; });
  return nullptr;
}

void GalleryView::start_tagging(bool on) {
  tagging_ = on;
  if (on) tag_editor_.take_focus();
}

std::vector<int64_t> GalleryView::chosen() const {
  if (!selected_.empty()) return {selected_.begin(), selected_.end()};
  if (cursor_ < tiles_.size()) return {tiles_[cursor_].id};
  return {};
}

void GalleryView::with_chosen(std::function<void(const PictureRecord&)> done) {
  if (cursor_ < tiles_.size()) with_record(ws_, tiles_[cursor_].id, std::move(done));
}

void GalleryView::draw_rows(Ui& ui, const Rect& rect) {
  const float pad = ui.px(20), gap = ui.px(8);
  const ChildScope child("rows", rect, {pad, ui.px(3)});
  layout(rect.w - 2 * pad, ui.px(static_cast<float>(ws_.settings.row_height)), gap);
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  ImGui::Dummy({1, rows_.height() + ui.px(12)});
  if (scroll_to_cursor_ && !rows_.rows().empty()) {
    scroll_to_cursor_ = false;
    const JustifiedRow& row = rows_.rows()[std::min(rows_.row_of(cursor_), rows_.rows().size() - 1)];
    const float top = ImGui::GetScrollY();
    if (row.top < top) ImGui::SetScrollY(row.top);
    if (row.top + row.height > top + rect.h) ImGui::SetScrollY(row.top + row.height - rect.h + gap);
  }
  const float from = rect.y - origin.y;
  for (size_t r = rows_.row_at(from); r < rows_.rows().size(); ++r) {
    const JustifiedRow& row = rows_.rows()[r];
    if (row.top > from + rect.h) break;
    const auto places = rows_.places(row, proportions_);
    for (size_t i = 0; i < row.count; ++i) {
      draw_picture(ui, row.first + i, {origin.x + places[i].x, origin.y + row.top, places[i].width, row.height});
    }
  }
  if (menu_wanted_ != 0 && record(menu_wanted_)) {
    menu_record_ = *record(menu_wanted_);
    menu_wanted_ = 0;
    ImGui::OpenPopup("picture-menu");
  }
  draw_picture_menu(ui, ws_, menu_record_);
}

void GalleryView::draw_picture(Ui& ui, size_t index, const Rect& rect) {
  const int64_t id = tiles_[index].id;
  const PictureRecord* known = ui.recording ? record(id) : nullptr;
  const Response r = ui.item("picture/" + std::to_string(id), rect, ItemKind::kPicture, known ? known->prompt : "picture",
                             {.focusable = false, .enter_clicks = false});
  draw_thumbnail(ui, ws_.thumbnails, id, rect, true);
  if (selected_.contains(id)) ui.fill(rect, ui.colors().accent, 4, 0.25f);
  if (index == cursor_ || selected_.contains(id))
    ui.list().AddRect(rect.min(), rect.max(), ui.color(ui.colors().accent), ui.px(4), 0, ui.px(2));
  if (r.hovered) draw_hover(ui, r, index);
  const int modifiers = ui.input().modifiers();
  if (r.pressed) {
    if ((modifiers & kControl) != 0) {
      if (!selected_.erase(id)) selected_.insert(id);
    } else if ((modifiers & kShift) != 0) {
      for (size_t i = std::min(cursor_, index); i <= std::max(cursor_, index); ++i) selected_.insert(tiles_[i].id);
    } else {
      selected_.clear();
    }
    cursor_ = index;
    ui.focus(0);
  }
  if (r.double_clicked) with_chosen([this](const PictureRecord& record) { ws_.show_picture(record.path); });
  if (r.right_clicked) cursor_ = index, menu_wanted_ = id;
}

// The prompt and the size on a dark strip.
void GalleryView::draw_hover(Ui& ui, const Response& r, size_t index) {
  const PictureRecord* known = record(tiles_[index].id);
  if (!known) return;
  const Rect strip{r.rect.x, r.rect.bottom() - ui.px(46), r.rect.w, ui.px(46)};
  ui.list().AddRectFilled(strip.min(), strip.max(), ui.color(0x000000, 0.72f), ui.px(4), ImDrawFlags_RoundCornersBottom);
  const Rect text{strip.x + ui.px(8), strip.y + ui.px(4), strip.w - ui.px(16), ui.px(20)};
  ui.text_in(text, known->prompt.empty() ? known->path.filename().string() : known->prompt, Face::kSmall, 0xFFFFFF);
  std::string facts = std::to_string(known->width) + " × " + std::to_string(known->height);
  for (int i = 0; i < known->stars; ++i) facts += i == 0 ? "  ★" : "★";
  ui.text_in({text.x, text.y + ui.px(19), text.w, text.h}, facts, Face::kSmall, 0xC8CDD6);
}

void GalleryView::move_cursor(Ui& ui, int dx, int dy) {
  if (tiles_.empty()) return;
  const auto count = static_cast<std::ptrdiff_t>(tiles_.size());
  std::ptrdiff_t next = static_cast<std::ptrdiff_t>(cursor_) + dx;
  if (dy != 0) {
    // The picture of the other row whose middle is nearest.
    const size_t at = rows_.row_of(cursor_);
    const std::ptrdiff_t target = static_cast<std::ptrdiff_t>(at) + dy;
    if (target < 0 || target >= std::ssize(rows_.rows())) return;
    const JustifiedRow &row = rows_.rows()[at], &other = rows_.rows()[static_cast<size_t>(target)];
    const auto here = rows_.places(row, proportions_)[cursor_ - row.first];
    const auto places = rows_.places(other, proportions_);
    size_t best = 0;
    const auto distance = [&](size_t i) { return std::abs(places[i].x + places[i].width / 2 - here.x - here.width / 2); };
    for (size_t i = 1; i < places.size(); ++i) best = distance(i) < distance(best) ? i : best;
    next = static_cast<std::ptrdiff_t>(other.first + best);
  }
  cursor_ = static_cast<size_t>(std::clamp<std::ptrdiff_t>(next, 0, count - 1));
  selected_.clear();
  scroll_to_cursor_ = true;
  ui.animate();
}

void GalleryView::handle_keys(Ui& ui) {
  Input& in = ui.input();
  if (in.pressed(GLFW_KEY_LEFT)) move_cursor(ui, -1, 0);
  if (in.pressed(GLFW_KEY_RIGHT)) move_cursor(ui, 1, 0);
  if (in.pressed(GLFW_KEY_UP)) move_cursor(ui, 0, -1);
  if (in.pressed(GLFW_KEY_DOWN)) move_cursor(ui, 0, 1);
  if (in.pressed(GLFW_KEY_HOME)) move_cursor(ui, -static_cast<int>(tiles_.size()), 0);
  if (in.pressed(GLFW_KEY_END)) move_cursor(ui, static_cast<int>(tiles_.size()), 0);
  if (ui.focused() == 0 && in.pressed(GLFW_KEY_ENTER)) with_chosen([this](const PictureRecord& r) { ws_.show_picture(r.path); });
  if (in.pressed(GLFW_KEY_C)) with_chosen([this](const PictureRecord& r) { ws_.compare_picture(r.path); });
  if (in.pressed(GLFW_KEY_A, kControl)) {
    for (const PictureTile& tile : tiles_) selected_.insert(tile.id);
  }
  if (in.pressed(GLFW_KEY_T)) start_tagging(true);
  for (int star = 0; star <= 5; ++star) {
    if (in.pressed(GLFW_KEY_0 + star)) set_stars(ws_, chosen(), star);
  }
  if (in.pressed(GLFW_KEY_DELETE)) {
    delete_pictures(ws_, chosen());
    selected_.clear();
  }
}

}  // namespace linea::studio
