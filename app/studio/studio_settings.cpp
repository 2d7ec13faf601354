#include "app/studio/studio_settings.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/atomic_file.h"
#include "core/mapped_file.h"

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr size_t kMaxHistory = 200;

// One list of all fields serves reading and writing.
template <class Settings, class Visit> void visit(Settings& s, Visit&& v) {
  v("theme", s.theme), v("scale", s.scale);
  v("window_width", s.window_width), v("window_height", s.window_height), v("maximized", s.maximized);
  v("view", s.view);
  v("left_width", s.left_width), v("right_width", s.right_width), v("chat_list_width", s.chat_list_width),
      v("filter_width", s.filter_width);
  v("left_open", s.left_open), v("right_open", s.right_open), v("row_height", s.row_height);
  v("output_folder", s.output_folder), v("name_pattern", s.name_pattern);
  v("model_folders", s.model_folders), v("hidden_models", s.hidden_models);
  v("picture_model", s.picture_model), v("chat_model", s.chat_model);
  v("memory_gigabytes", s.memory_gigabytes), v("previews", s.previews);
  v("prompt_history", s.prompt_history), v("last_picture", s.last_picture), v("first_start", s.first_start);
  v("chat", s.chat);
}

void put_right(StudioSettings& s) {
  const auto limit = [](double& value, double low, double high, double fallback) {
    value = std::isfinite(value) ? std::clamp(value, low, high) : fallback;
  };
  limit(s.scale, 0.5, 4, 1);
  limit(s.left_width, 220, 600, 300), limit(s.right_width, 200, 600, 260);
  limit(s.chat_list_width, 160, 500, 240), limit(s.filter_width, 160, 400, 220);
  limit(s.row_height, 80, 480, 200);
  limit(s.memory_gigabytes, 0, 1e6, 0);
  s.window_width = std::clamp(s.window_width, 640, 16384), s.window_height = std::clamp(s.window_height, 480, 16384);
  if (s.theme != "light") s.theme = "dark";
  if (s.prompt_history.size() > kMaxHistory) s.prompt_history.erase(s.prompt_history.begin(), s.prompt_history.end() - kMaxHistory);
  if (!s.chat.is_object()) s.chat = Json::object();
}

}  // namespace

fs::path default_settings_path() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  return (config && *config ? fs::path(config) : home_folder() / ".config") / "linea" / "studio.json";
}

fs::path home_folder() {
  const char* folder = std::getenv("HOME");
  return folder && *folder ? fs::path(folder) : fs::temp_directory_path();
}

fs::path typed_path(const std::string& text) {
  if (text.starts_with("~")) return home_folder() / fs::path(text.substr(std::min<size_t>(text.size(), 2)));
  return text.starts_with("/") ? fs::path(text) : home_folder() / text;
}

fs::path default_output_folder() { return home_folder() / "Pictures" / "Linea"; }

StudioSettings settings_from_text(const std::string& text, const std::string& source) {
  Json json = parse_json(text, source, ErrorKind::kBadFile);
  if (!json.is_object()) throw Error(ErrorKind::kBadFile, source + ": the settings are no JSON object");
  StudioSettings s;
  visit(s, [&](const char* key, auto& value) {
    const auto found = json.find(key);
    if (found == json.end()) return;
    try {
      value = found->template get<std::remove_reference_t<decltype(value)>>();
    } catch (const Json::exception&) {  // of another type: the default stays
    }
    json.erase(found);
  });
  if (json.contains("form")) s.form = form_from_json(json["form"]);
  json.erase("form");
  json.erase("version");
  s.unknown = std::move(json);
  put_right(s);
  return s;
}

std::string to_text(const StudioSettings& s) {
  Json json = s.unknown;
  json["version"] = kVersion;
  visit(s, [&](const char* key, const auto& value) { json[key] = value; });
  json["form"] = to_json(s.form);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

StudioSettings load_settings(const fs::path& path, std::string& problem) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    StudioSettings first;
    first.form.prompt = "a red apple on a blue background";  // one click away from a first picture
    first.right_width = 300;
    return first;
  }
  try {
    return settings_from_text(read_file(path, 16 << 20, ErrorKind::kBadFile), path.string());
  } catch (const Error& error) {
    problem = error.what();
    fs::rename(path, path.string() + ".damaged", ignored);
    return {};
  }
}

void save_settings(const fs::path& path, const std::string& text) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  write_file(path, std::string_view(text));
}

}  // namespace linea::studio
