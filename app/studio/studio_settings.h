// app/studio/studio_settings.h: what the studio remembers between starts, in one JSON file that is replaced as a whole.
//
// Keys that this version does not know are kept. A damaged file is set aside as NAME.damaged, and the defaults hold.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/studio/picture_form.h"
#include "core/json.h"

namespace linea::studio {

struct StudioSettings {
  std::string theme = "dark";  // "dark", "light"
  double scale = 1;            // on top of the display's
  int window_width = 1280, window_height = 800;
  bool maximized = false;
  std::string view = "create";
  double left_width = 300, right_width = 260, chat_list_width = 240, filter_width = 220;
  bool left_open = true, right_open = true;
  double row_height = 200;                 // of the gallery
  std::string output_folder;               // empty = default_output_folder()
  std::string name_pattern;                // empty = the job's default
  std::vector<std::string> model_folders;  // folders that hold models, and models
  std::vector<std::string> hidden_models;
  std::string picture_model, chat_model;
  double memory_gigabytes = 0;  // 0 = what is free
  bool previews = true;
  PictureForm form;
  std::vector<std::string> prompt_history;  // newest last
  std::string last_picture;
  bool first_start = true;
  Json chat = Json::object();  // system prompt and sampling for new chats

  Json unknown = Json::object();
};

// $XDG_CONFIG_HOME/linea/studio.json, else ~/.config/linea/studio.json.
std::filesystem::path default_settings_path();
std::filesystem::path home_folder();  // $HOME, else the folder for temporary files
// What a person typed: "~" is the home folder, and what has no root lies in it.
std::filesystem::path typed_path(const std::string& text);
std::filesystem::path default_output_folder();  // Pictures/Linea in the home folder

StudioSettings settings_from_text(const std::string& text, const std::string& source);  // throws kBadFile
std::string to_text(const StudioSettings& settings);

// Defaults when there is no file. `problem` says what was wrong with a damaged one.
StudioSettings load_settings(const std::filesystem::path& path, std::string& problem);
void save_settings(const std::filesystem::path& path, const std::string& text);  // throws kIo, kUsage

}  // namespace linea::studio
