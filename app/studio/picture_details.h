// app/studio/picture_details.h: what is known of one picture, and what can be done with it: the same text, buttons and menu wherever a
// picture is shown.
#pragma once

#include <optional>

#include "app/library/library.h"
#include "app/studio/text_editor.h"
#include "app/studio/ui.h"
#include "app/studio/workspace.h"

namespace linea::studio {

// The settings of a record, if it has any that can be read.
std::optional<PictureForm> form_of(const PictureRecord& record);

// The tags of pictures, with a field for another one.
class TagEditor {
 public:
  // Shows those of `record`, and adds to all of `ids`.
  void draw(Ui& ui, Workspace& ws, const PictureRecord& record, const std::vector<int64_t>& ids);
  void take_focus() { field_.take_focus(); }

 private:
  TextEditor field_{false, 60};
};

// Prompt, model, size, seed, … and the buttons; at the cursor, as wide as the rest of the line.
void draw_picture_details(Ui& ui, Workspace& ws, TagEditor& tags, const PictureRecord& record);

// The menu of a picture, opened by ImGui::OpenPopup("picture-menu") in the same window and id scope.
void draw_picture_menu(Ui& ui, Workspace& ws, const PictureRecord& record);

void use_settings(Workspace& ws, const PictureRecord& record);
void vary(Workspace& ws, const PictureRecord& record);  // the same settings with another seed, generated at once
void copy_as_command(Workspace& ws, const PictureRecord& record);
void show_in_folder(const std::filesystem::path& path);  // by the desktop's file manager
void add_tag(Workspace& ws, const std::vector<int64_t>& ids, const std::string& tag);
void remove_tag(Workspace& ws, int64_t id, const std::string& tag);
void set_stars(Workspace& ws, const std::vector<int64_t>& ids, int stars);
void delete_pictures(Workspace& ws, const std::vector<int64_t>& ids);  // with a toast that undoes it

}  // namespace linea::studio
