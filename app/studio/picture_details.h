// app/studio/picture_details.h: what is known of one picture, and what can be done with it: the same text, buttons and menu wherever a
// picture is shown.
#pragma once

#include <optional>

#include "app/library/library.h"
#include "app/studio/ui.h"
#include "app/studio/workspace.h"

namespace linea::studio {

// The settings of a record, if it has any that can be read.
std::optional<PictureForm> form_of(const PictureRecord& record);

// Prompt, model, size, seed, … and the buttons; at the cursor, as wide as the rest of the line.
void draw_picture_details(Ui& ui, Workspace& ws, const PictureRecord& record);

// The menu of a picture, opened by ImGui::OpenPopup("picture-menu") in the same window and id scope.
void draw_picture_menu(Ui& ui, Workspace& ws, const PictureRecord& record);

void use_settings(Workspace& ws, const PictureRecord& record);
void vary(Workspace& ws, const PictureRecord& record);  // the same settings with another seed, generated at once
void copy_as_command(Workspace& ws, const PictureRecord& record);
void set_stars(Workspace& ws, const std::vector<int64_t>& ids, int stars);
void delete_pictures(Workspace& ws, const std::vector<int64_t>& ids);  // with a toast that undoes it

}  // namespace linea::studio
