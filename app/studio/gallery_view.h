// app/studio/gallery_view.h: all pictures of the library: search, filters, and rows of thumbnails of which only the visible ones cost.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/studio/justified_rows.h"
#include "app/studio/picture_details.h"
#include "app/studio/text_editor.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class GalleryView {
 public:
  explicit GalleryView(Workspace& ws) : ws_(ws) {}

  void draw(Ui& ui, const Rect& rect);
  void search(const std::string& text);
  void focus_search() { search_.take_focus(); }
  // Adds the pictures of a folder to the library.
  void import_folder(const std::filesystem::path& folder);
  std::string times() const;  // members of a JSON object

 private:
  void draw_filters(Ui& ui, const Rect& rect);
  void draw_choices(Ui& ui);
  void draw_rows(Ui& ui, const Rect& rect);
  void draw_picture(Ui& ui, size_t index, const Rect& rect);
  void draw_empty(Ui& ui, const Rect& rect);
  void draw_hover(Ui& ui, const Response& response, size_t index);
  void handle_keys(Ui& ui);
  void move_cursor(Ui& ui, int dx, int dy);
  void draw_tag_bar(Ui& ui, Rect rect);
  void start_tagging(bool on);
  void ask_for_folder();
  void query();
  void query_names();
  void layout(float width, float row_height, float gap);
  const PictureRecord* record(int64_t id);  // null until it is known
  std::vector<int64_t> chosen() const;
  void with_chosen(std::function<void(const PictureRecord&)> done);

  Workspace& ws_;
  TextEditor search_{false, 400};
  TagEditor tag_editor_;
  bool tagging_ = false;
  PictureFilter filter_;
  int size_choice_ = 0, date_choice_ = 0, model_choice_ = 0, order_choice_ = 0, tag_choice_ = 0;
  std::vector<std::string> model_names_, tag_names_;

  std::vector<PictureTile> tiles_;
  std::vector<PictureProportion> proportions_;
  JustifiedRows rows_;
  float rows_width_ = 0, rows_height_ = 0;
  uint64_t seen_version_ = ~uint64_t{0}, ticket_ = 0, laid_out_ = ~uint64_t{0}, answered_ = 0;
  bool dirty_ = true, names_dirty_ = true, known_ = false, scroll_to_cursor_ = false;
  double asked_at_ = 0, query_seconds_ = 0, open_seconds_ = -1, search_seconds_ = -1;

  std::set<int64_t> selected_;
  size_t cursor_ = 0;
  std::map<int64_t, PictureRecord> records_;
  std::set<int64_t> asked_records_;
  PictureRecord menu_record_;
  int64_t menu_wanted_ = 0;
  bool importing_ = false;
};

}  // namespace linea::studio
