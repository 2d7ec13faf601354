// app/studio/file_dialog.h: choosing a file or a folder, over whatever is shown.
//
// One field holds the place and the beginning of a name: typing filters, Up and Down choose, Enter goes into a folder or takes a file,
// Alt+Up goes to the folder above, Ctrl+Enter takes what is chosen (or the folder itself), Esc leaves. Folders are read in the background.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/studio/background.h"
#include "app/studio/text_editor.h"
#include "app/studio/ui.h"

namespace linea::studio {

enum class FileWish : uint8_t { kFile, kFolder, kEither };

struct FileQuestion {
  std::string title, accept = "Open";  // the sentence above, the word on the button
  FileWish wish = FileWish::kFile;
  std::vector<std::string> endings{};  // of files, lower case with the dot; empty = all
  std::filesystem::path start{};       // empty or missing = where the last one ended, else the home folder
  std::function<void(const std::filesystem::path&)> done{};
};

class FileDialog {
 public:
  explicit FileDialog(Background& background) : background_(background) {}

  void ask(FileQuestion question);
  bool is_open() const { return open_; }
  void draw(Ui& ui, const Rect& window);

 private:
  struct Entry {
    std::string name;
    bool folder = false;
    int64_t bytes = 0;
  };
  static std::vector<Entry> read_folder(const std::filesystem::path& folder, const FileQuestion& question, std::string& problem);
  void go(const std::filesystem::path& folder);  // shows this folder
  void look();                                   // at the folder that the field names
  void filter();
  void take(const std::filesystem::path& path);
  void accept();  // what is chosen, else the folder itself
  void enter();   // goes into the chosen folder, or takes the chosen file
  bool takes(const Entry& entry) const {
    return question_.wish == FileWish::kEither || entry.folder == (question_.wish == FileWish::kFolder);
  }
  const Entry* chosen() const;
  void handle_keys(Ui& ui);
  void draw_places(Ui& ui, Rect rect);
  void draw_entries(Ui& ui, const Rect& rect);
  void draw_foot(Ui& ui, Rect rect);

  Background& background_;
  FileQuestion question_;
  bool open_ = false, reading_ = false, scroll_to_chosen_ = false;
  TextEditor path_{false, 4096};
  std::filesystem::path folder_;  // the one that is listed
  std::string problem_;
  std::vector<Entry> entries_;
  std::vector<size_t> shown_;  // of entries_, those that the field's last word allows
  int chosen_ = -1;            // of shown_
  uint64_t ticket_ = 0;
};

}  // namespace linea::studio
