#include "app/studio/studio.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "app/engine/model_folders.h"
#include "app/studio/clipboard.h"
#include "app/studio/clock.h"
#include "app/studio/log_file.h"
#include "app/studio/picture_import.h"
#include "app/studio/theme.h"
#include "app/studio/ui_guard.h"
#include "app/studio/view_names.h"
#include "app/studio/widgets.h"
#include "core/mapped_file.h"

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

// Of this thread alone: what other programs take from the cores is not the window's work.
double work_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

ViewKind view_named(const std::string& id) {
  for (const ViewName& view : kViews) {
    if (id == view.id) return view.kind;
  }
  return ViewKind::kCreate;
}

const ViewName& name_of(ViewKind kind) { return kViews[static_cast<size_t>(kind)]; }

WindowOptions window_options(const StudioOptions& options, const StudioSettings& settings) {
  WindowOptions window{.width = settings.window_width, .height = settings.window_height, .maximized = settings.maximized};
  if (options.width > 0) window = {.width = options.width, .height = options.height};
  window.real_input = options.script.empty();
  return window;
}

// SIGTERM, SIGINT and SIGHUP close the window; the loop looks four times a second. A second one ends the process.
volatile std::sig_atomic_t ending_signal = 0;

void on_signal(int signal) {
  if (ending_signal != 0) std::_Exit(128 + signal);
  ending_signal = signal;
}

StudioSettings read_settings(const fs::path& path, std::string& problem) { return load_settings(path, problem); }

}  // namespace

ImGuiScope::ImGuiScope() {
  ImGui::CreateContext();
  ImGui::GetIO().IniFilename = nullptr;
}
ImGuiScope::~ImGuiScope() { ImGui::DestroyContext(); }

Studio::Studio(StudioOptions options, double started)
    : options_(std::move(options)),
      started_(started),
      settings_(read_settings(options_.settings, settings_problem_)),
      window_(window_options(options_, settings_), input_),
      fonts_(assets_folder() / "fonts"),
      ui_(fonts_, input_),
      queue_([] { Window::wake(); }),
      background_(queue_, [this](const std::string& text, const std::string& hint) { toasts_.error(text, hint); }),
      thumbnails_(background_),
      pictures_(background_),
      file_dialog_(background_),
      ws_{.settings = settings_,
          .background = background_,
          .toasts = toasts_,
          .thumbnails = thumbnails_,
          .pictures = pictures_,
          .uploads = uploads_,
          .data_folder = (options_.library.empty() ? options_.settings : options_.library).parent_path()},
      create_((connect_workspace(), ws_)),
      gallery_(ws_),
      chat_(ws_),
      queue_view_(ws_),
      models_(ws_),
      settings_view_(ws_),
      shortcuts_(ws_) {
  const fs::path data = options_.settings.parent_path();
  open_log(data / "studio.log", [this](std::function<void()> task) {
    background_.run(Background::kFiles, [task = std::move(task)]() -> Background::Done {
      task();
      return {};
    });
  });
  saved_settings_ = to_text(settings_);
  if (!settings_problem_.empty()) toasts_.error("The settings were damaged and have been set aside.", settings_problem_);
  view_ = view_before_ = view_named(settings_.view);
  clipboard::connect([this] { return window_.clipboard(); }, [this](const std::string& text) { window_.set_clipboard(text); });
  window_.on_drop = [this](const std::vector<fs::path>& files) { open_files(files); };
  window_.on_refresh = [this] { redraw_ = true; };
  background_.open_library(options_.library);
  start_engine();
  scan_models();
  instance_ = std::make_unique<Instance>(instance_socket(options_.settings), [this](Paths files) {
    queue_.post([this, files = std::move(files)] {
      open_files(files);
      window_.ask_attention();
    });
  });
  if (!options_.script.empty()) start_script();
  open_files(options_.files);
}

Studio::~Studio() {
  const AllowWaiting allow;
  instance_.reset();
  settings_.view = name_of(view_).id;
  settings_.maximized = window_.maximized();
  if (options_.width == 0 && !settings_.maximized) settings_.window_width = window_.width(), settings_.window_height = window_.height();
  try {
    save_settings(options_.settings, to_text(settings_));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "linea: %s\n", error.what());
  }
  chat_.stop();
  if (engine_) engine_->stop();
  close_log();
  clipboard::connect({}, {});
}

void Studio::connect_workspace() {
  ws_.go = [this](ViewKind view) { go(view); };
  ws_.use_form = [this](const PictureForm& form, bool generate) {
    create_.form().set_form(form);
    if (generate) {
      create_.form().generate(QueuePlace::kBack);
    } else {
      go(ViewKind::kCreate);
    }
  };
  ws_.use_prompt = [this](const std::string& prompt) {
    create_.form().set_prompt(prompt);
    go(ViewKind::kCreate);
  };
  ws_.show_picture = [this](const fs::path& path) {
    create_.show(path);
    go(ViewKind::kCreate);
  };
  ws_.compare_picture = [this](const fs::path& path) {
    create_.compare(path);
    go(ViewKind::kCreate);
  };
  ws_.ask_file = [this](FileQuestion question) {
    file_dialog_.ask(std::move(question));
    redraw_ = true;
  };
  ws_.post = [this](std::function<void()> work) { queue_.post(std::move(work)); };
  ws_.rescan_models = [this] { scan_models(); };
  ws_.library_changed = [this] { ++ws_.library_version; };
}

// The queue is read from the disk: on a thread that may wait.
void Studio::start_engine() {
  background_.run(Background::kFiles, [this, library = options_.library, settings = settings_]() -> Background::Done {
    EngineOptions options;
    options.library = library;
    options.checkpoint_folder = library.empty() ? fs::path() : library.parent_path() / "checkpoints";
    options.lanes = 0;
    options.memory_budget = static_cast<int64_t>(settings.memory_gigabytes * 1e9);
    options.previews = settings.previews;
    options.on_event = [](const EngineEvent&) { Window::wake(); };
    std::string problem, hint;
    std::shared_ptr<Engine> engine;
    try {
      engine = std::make_shared<Engine>(options);
    } catch (const Error& error) {
      problem = error.what(), hint = error.hint();
      options.library.clear();
      engine = std::make_shared<Engine>(options);
    }
    return [this, engine, problem, hint] {
      engine_ = engine;
      ws_.engine = engine.get();
      engine_starting_ = false;
      if (!problem.empty()) toasts_.error("The library cannot be used; the queue is kept in memory only.", problem + "\n" + hint);
    };
  });
}

void Studio::scan_models() {
  if (scanning_) return;
  scanning_ = true;
  background_.run(Background::kFiles, [this, folders = settings_.model_folders]() -> Background::Done {
    return [this, models = find_models(folders)] {
      ws_.models = models;
      std::erase_if(ws_.models, [&](const ModelEntry& m) {
        return std::find(settings_.hidden_models.begin(), settings_.hidden_models.end(), m.name) != settings_.hidden_models.end();
      });
      ws_.models_known = true;
      scanning_ = false;
      chat_.models_changed();
    };
  });
}

void Studio::start_script() {
  const std::string source = options_.script.string();
  ScriptHost host;
  host.resize = [this](int w, int h) { window_.resize(w, h); };
  host.scale = [this](double scale) { options_.scale = scale; };
  host.theme = [this](const std::string& theme) { settings_.theme = theme; };
  host.view = [this](const std::string& view) { go(view_named(view)); };
  host.drop = [this](const std::vector<fs::path>& files) { open_files(files); };
  host.idle = [this] { return idle(); };
  host.pictures_done = [this] { return pictures_done_; };
  host.window_size = [this] { return ImVec2(static_cast<float>(window_.width()), static_cast<float>(window_.height())); };
  host.more_times = [this] {
    char text[320];
    std::snprintf(text, sizeof text, "\"first_frame_ms\": %.0f, \"chat_open_ms\": %.1f, \"first_view_ms\": %.1f, %s",
                  1e3 * (first_frame_ - started_), 1e3 * chat_.open_seconds(), 1e3 * create_.view_seconds(), gallery_.times().c_str());
    return std::string(text);
  };
  script_ =
      std::make_unique<ScriptDriver>(parse_script(read_file(options_.script, 4 << 20, ErrorKind::kUsage), source), source, std::move(host));
  ui_.recording = true;
}

// Pictures and texts give their settings; a folder of pictures goes into the gallery; everything else is taken for a model.
void Studio::open_files(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) {
    if (is_picture_name(file) || file.extension() == ".txt") {
      create_.drop(file);
      continue;
    }
    background_.run(Background::kFiles, [this, file]() -> Background::Done {
      const bool album = !look_at_model(file).problem.empty() && holds_pictures(file);
      return [this, file, album] {
        if (album) {
          gallery_.import_folder(file);
          go(ViewKind::kGallery);
        } else {
          models_.add({file.string()});
        }
      };
    });
  }
}

void Studio::go(ViewKind view) {
  if (view != view_) view_before_ = view_;
  view_ = view;
  redraw_ = true;
}

const Palette& Studio::palette() const { return settings_.theme == "light" ? light_palette() : dark_palette(); }

float Studio::scale() const {
  const float display = options_.scale ? static_cast<float>(*options_.scale) : window_.content_scale();
  return std::clamp(display * static_cast<float>(settings_.scale), 0.5f, 8.0f);
}

bool Studio::take_events() {
  if (!engine_) return false;
  const std::vector<EngineEvent> events = engine_->take_events();
  for (const EngineEvent& event : events) {
    create_.take_event(event);
    using Kind = EngineEvent::Kind;
    if (event.kind == Kind::kPictureDone) ++pictures_done_, ++ws_.library_version;
    if (event.kind == Kind::kJobFailed) toasts_.error("A picture failed: " + event.text, event.hint);
    if (event.kind == Kind::kWarning) toasts_.show({.kind = ToastKind::kWarning, .text = event.text});
    if (event.kind == Kind::kJobDone) window_.ask_attention();
  }
  ws_.queue = engine_->queue();
  const bool changed = ws_.queue->version != shown_queue_;
  shown_queue_ = ws_.queue->version;
  return changed || !events.empty();
}

// Whether anything could look different from the last frame.
bool Studio::has_news(double now) {
  const bool posted = queue_.done() != queue_done_;
  queue_done_ = queue_.done();
  const long minute = static_cast<long>(std::time(nullptr) / 60);
  const bool clock = std::exchange(shown_minute_, minute) != minute;
  if (input_.any() || posted) last_activity_ = now;
  return script_ || redraw_ || posted || clock || queue_left_ || now - last_activity_ < 0.3 ||
         (toasts_.count() > 0 && now - last_frame_ > 0.24);
}

// What `generate` and `batch` add shows within two seconds.
void Studio::watch_library() {
  const double now = now_seconds();
  if (now < next_library_look_ || window_.iconified()) return;
  next_library_look_ = now + 2;
  background_.with_library([this, seen = library_changes_](Library& library) -> Background::Done {
    const int64_t changes = library.change_count(), before = std::exchange(*seen, changes);
    if (before == changes || before < 0) return {};
    return [this] { ++ws_.library_version; };
  });
}

void Studio::save_settings_soon() {
  const double now = now_seconds();
  if (now < next_save_) return;
  next_save_ = now + 2;
  settings_.view = name_of(view_).id;
  std::string text = to_text(settings_);
  if (text == saved_settings_) return;
  saved_settings_ = text;
  background_.run(Background::kFiles, [path = options_.settings, text]() -> Background::Done {
    save_settings(path, text);
    return {};
  });
}

bool Studio::idle() const {
  if (engine_starting_ || scanning_ || !ws_.engine || queue_left_ || create_.loading()) return false;
  if (ws_.queue->waiting > 0 && !ws_.queue->paused) return false;
  return ws_.queue->running.empty() && background_.waiting(Background::kLibrary) == 0 && background_.waiting(Background::kPictures) == 0 &&
         background_.waiting(Background::kFiles) == 0;
}

// Full rate while something moves, ten frames a second while a picture is made, else four looks a second without drawing.
double Studio::wait_seconds(double now) const {
  if (window_.iconified()) return 0.25;
  if (script_ || redraw_ || queue_left_) return 0;
  if (now - last_activity_ < 0.3) return 0.008;
  return ws_.busy() ? 0.1 : 0.25;
}

int Studio::run() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal, on_signal);
  watch_this_thread(true);
  while (!window_.closing() && ending_signal == 0) {
    const double before = now_seconds();
    window_.wait(wait_seconds(before));
    const double now = now_seconds(), start = work_seconds();
    queue_left_ = queue_.drain(2e-3);
    queue_left_ = background_.flush() || queue_left_;
    const bool events = take_events();
    watch_library();
    save_settings_soon();
    const bool news = has_news(now) || events;
    if (script_ && script_failure_.empty()) {
      try {
        script_->step(ui_, times_, now);
        if (script_->finished()) window_.close();
      } catch (const Error& error) {
        script_failure_ = error.what();
        window_.close();
      }
    }
    if (news && !window_.iconified()) frame(start), last_frame_ = now;
  }
  watch_this_thread(false);
  if (script_failure_.empty()) return ending_signal == 0 ? 0 : 128 + static_cast<int>(ending_signal);
  std::fprintf(stderr, "linea: %s\n", script_failure_.c_str());
  return 2;
}

// `start`: when the work for this frame began.
void Studio::frame(double start) {
  if (fonts_.needs_build(scale())) {
    const AllowWaiting allow;
    fonts_.build(scale());
    window_.rebuild_font_texture();
  }
  redraw_ = false;
  apply_theme(palette(), scale());
  uploads_.begin_frame();
  window_.begin_frame();
  ImGui::NewFrame();
  ui_.begin_frame(palette(), scale());
  try {
    draw_frame();
    failed_frames_ = 0;
  } catch (const std::exception& error) {
    // What is open was closed on the way here; a view that fails again and again is left.
    toasts_.error("Something went wrong in this view.", error.what());
    if (++failed_frames_ > 10) go(ViewKind::kSettings);
  }
  ui_.end_frame();
  input_.end_frame();
  thumbnails_.end_frame();
  ImGui::Render();
  times_.add(work_seconds() - start);
  if (ui_.take_animate() || input_.pending() || uploads_.missed()) redraw_ = true;
  const std::optional<fs::path> screenshot = script_ ? script_->take_screenshot() : std::nullopt;
  Image image;
  window_.end_frame(palette().window, screenshot ? &image : nullptr);
  if (screenshot) keep_screenshot(image, *screenshot);
  if (frames_++ == 0) first_frame_ = now_seconds();
}

void Studio::keep_screenshot(const Image& image, const fs::path& path) {
  const AllowWaiting allow;
  write_image(path, image, {.png_level = 6, .webp_lossless = false, .webp_quality = 86});
}

void Studio::draw_frame() {
  const Rect screen{0, 0, static_cast<float>(window_.width()), static_cast<float>(window_.height())};
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize({screen.w, screen.h});
  struct MainWindow {
    MainWindow() {
      ImGui::Begin("##studio", nullptr,
                   ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                       ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoNav | ImGuiWindowFlags_NoScrollWithMouse);
    }
    ~MainWindow() { ImGui::End(); }
  };
  cover_content(file_dialog_.is_open());
  {
    const MainWindow main;
    Rect rest = screen;
    ws_.wide = screen.w >= ui_.px(1100);
    if (!picture_only_) {
      draw_bar(cut_top(rest, ui_.px(48)));
      draw_status(cut_bottom(rest, ui_.px(28)));
    }
    draw_content(rest);
  }
  cover_content(false);
  const bool covered = file_dialog_.is_open();
  file_dialog_.draw(ui_, screen);
  toasts_.draw(ui_, screen);
  if (!covered) handle_shortcuts();
}

// What lies under the file dialog hears neither keys nor the way of Tab.
void Studio::cover_content(bool covered) {
  input_.cover(covered);
  ui_.cover(covered);
}

void Studio::draw_content(const Rect& rect) {
  const IdScope scope(name_of(view_).id);
  switch (view_) {
    case ViewKind::kCreate: {
      const bool left = settings_.left_open, right = settings_.right_open;
      if (picture_only_) settings_.left_open = settings_.right_open = false;
      create_.draw(ui_, rect);
      if (picture_only_) settings_.left_open = left, settings_.right_open = right;
      break;
    }
    case ViewKind::kGallery: gallery_.draw(ui_, rect); break;
    case ViewKind::kChat: chat_.draw(ui_, rect); break;
    case ViewKind::kQueue: queue_view_.draw(ui_, rect); break;
    case ViewKind::kModels: models_.draw(ui_, rect); break;
    case ViewKind::kSettings: settings_view_.draw(ui_, rect); break;
    case ViewKind::kShortcuts: shortcuts_.draw(ui_, rect); break;
  }
  chat_.update();
}

void Studio::handle_shortcuts() {
  Input& in = input_;
  if (in.pressed(GLFW_KEY_ENTER, kControl)) create_.form().generate(QueuePlace::kBack);
  if (in.pressed(GLFW_KEY_ENTER, kControl | kShift)) create_.form().generate(QueuePlace::kFront);
  for (size_t i = 0; i < kTabs; ++i) {
    if (in.pressed(GLFW_KEY_1 + static_cast<int>(i), kControl)) go(kViews[i].kind);
  }
  if (in.pressed(GLFW_KEY_COMMA, kControl)) go(ViewKind::kSettings);
  if (in.pressed(GLFW_KEY_SLASH, kControl)) go(view_ == ViewKind::kShortcuts ? view_before_ : ViewKind::kShortcuts);
  if (in.pressed(GLFW_KEY_F1)) settings_.left_open = !settings_.left_open;
  if (in.pressed(GLFW_KEY_F2)) settings_.right_open = !settings_.right_open;
  if (in.pressed(GLFW_KEY_F11)) picture_only_ = !picture_only_, view_ = picture_only_ ? ViewKind::kCreate : view_;
  if (in.pressed(GLFW_KEY_F, kControl)) {
    go(ViewKind::kGallery);
    gallery_.focus_search();
  }
  if (in.pressed(GLFW_KEY_L, kControl)) {
    go(ViewKind::kCreate);
    create_.form().focus_prompt();
  }
  if (in.pressed(GLFW_KEY_O, kControl)) create_.ask_for_picture();
  if (in.pressed(GLFW_KEY_P, kControl) && engine_) {
    if (ws_.queue->paused) {
      engine_->resume();
    } else {
      engine_->pause();
    }
  }
  if (in.pressed(GLFW_KEY_Q, kControl)) window_.close();
  if (in.pressed(GLFW_KEY_ESCAPE)) {
    if (picture_only_) {
      picture_only_ = false;
    } else if (!ws_.queue->running.empty() && engine_) {
      engine_->cancel(ws_.queue->running.front().job);
    } else {
      ui_.focus(0);
    }
  }
}

}  // namespace linea::studio
