#include "app/studio/create_form_panel.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <array>
#include <charconv>
#include <cmath>
#include <random>

#include "app/studio/clipboard.h"
#include "app/studio/token_counter.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

constexpr const char* kSchedulers[] = {"", "dpm++", "euler"};
constexpr const char* kTypes[] = {"", "fp32", "bf16", "fp16"};

uint64_t random_seed() {
  std::random_device device;
  return device();  // 32 bits: what torch's CPU generator distinguishes
}

template <size_t N> int index_of(const char* const (&names)[N], const std::string& name) {
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) return static_cast<int>(i);
  }
  return 0;
}

}  // namespace

CreateFormPanel::CreateFormPanel(Workspace& ws) : ws_(ws), counter_(std::make_shared<std::shared_ptr<const TokenCounter>>()) {
  set_form(ws.settings.form);
  history_at_ = ws.settings.prompt_history.size();
  advanced_open_ = form_.shift.has_value() || form_.cuda_noise || !form_.dtype.empty();
}

void CreateFormPanel::set_form(const PictureForm& form) {
  form_ = form;
  prompt_.set_text(form.prompt);
  negative_.set_text(form.negative);
  seed_.set_text(std::to_string(form.seed));
  negative_open_ = negative_open_ || !form.negative.empty();
}

void CreateFormPanel::set_prompt(const std::string& prompt) {
  form_.prompt = prompt;
  prompt_.set_text(prompt);
}

bool CreateFormPanel::undo() {
  PictureForm form = form_;
  if (!history_.undo(form)) return false;
  set_form(form);
  return true;
}

bool CreateFormPanel::redo() {
  PictureForm form = form_;
  if (!history_.redo(form)) return false;
  set_form(form);
  return true;
}

void CreateFormPanel::draw(Ui& ui, const Rect& rect) {
  ui.fill(rect, ui.colors().panel);
  Rect content = rect;
  const Rect foot = cut_bottom(content, ui.px(104));
  {
    const ChildScope child("form", content, {ui.px(16), ui.px(12)});
    draw_prompt(ui);
    draw_model(ui);
    draw_size(ui);
    draw_sampling(ui);
    draw_seed(ui);
    draw_advanced(ui);
    ui.gap(8);
  }
  ui.fill({foot.x, foot.y, foot.w, std::max(1.0f, ui.px(1))}, ui.colors().line);
  draw_plan(ui, {foot.x + ui.px(16), foot.y + ui.px(8), foot.w - ui.px(32), ui.px(40)});
  draw_generate(ui, {foot.x + ui.px(16), foot.bottom() - ui.px(52), foot.w - ui.px(32), ui.px(38)});
  history_.look(form_, ui.time());
  count_tokens();
  ask_plan(ui.time());
  if (plan_due_ > 0) ui.animate();
  ws_.settings.form = form_;
}

void CreateFormPanel::draw_prompt(Ui& ui) {
  const Rect head = ui.place(0, ui.px(24));
  ui.text_in(head, "Prompt", Face::kSmall, ui.colors().quiet);
  if (tokens_ >= 0) {
    const bool over = tokens_cut_ > 0;
    const std::string text = over ? std::to_string(tokens_cut_) + " tokens too long" : std::to_string(tokens_) + " / 300 tokens";
    ui.text_in(head, text, Face::kMonoSmall, over ? ui.colors().bad : ui.colors().quiet, 1);
    ui.readable("create/tokens", head, text);
  }
  const float inner = ui.rest() - ui.px(20);
  const float lines = std::clamp(prompt_.height_of(ui, Face::kText, inner) / ui.line_height(Face::kText), 6.0f, 14.0f);
  const Rect box = ui.place(0, lines * ui.line_height(Face::kText) + ui.px(16));
  if (prompt_.focused()) {
    if (ui.input().pressed(GLFW_KEY_UP, kAlt)) browse_history(-1);
    if (ui.input().pressed(GLFW_KEY_DOWN, kAlt)) browse_history(1);
  }
  const EditorResponse e = prompt_.draw(ui, "create/prompt", box,
                                        {.label = "Prompt",
                                         .placeholder = "What should be in the picture?",
                                         .tip = "What to draw. Alt+↑ and Alt+↓ go through earlier prompts."});
  if (e.changed) form_.prompt = prompt_.text();
  draw_prompt_tools(ui);
  ui.gap(3);
  if (fold(ui, "create/negative-fold", "Negative prompt", negative_open_)) {
    const float rows = std::clamp(negative_.height_of(ui, Face::kText, inner) / ui.line_height(Face::kText), 2.0f, 6.0f);
    const Rect field = ui.place(0, rows * ui.line_height(Face::kText) + ui.px(16));
    if (negative_
            .draw(ui, "create/negative", field,
                  {.label = "Negative prompt",
                   .placeholder = "What should not be there",
                   .tip = "What to steer away from. It acts only when guidance is above 1."})
            .changed)
      form_.negative = negative_.text();
  }
  ui.gap(6);
}

// What the chat model can do for a prompt.
void CreateFormPanel::draw_prompt_tools(Ui& ui) {
  ui.gap(4);
  const Rect row = ui.place(0, ui.px(28));
  const bool able = static_cast<bool>(ws_.ask_chat);
  const float half = (row.w - ui.px(8)) / 2;
  const auto ask = [&](const char* instruction) {
    ws_.ask_chat(instruction, form_.prompt, [this](const std::string& text) { set_prompt(text); });
  };
  const std::string_view none = "Needs a chat model: add one in Models.";
  if (button(ui, "create/expand", {row.x, row.y, half, row.h}, "Expand",
             {.icon = Icon::kSparkle,
              .look = ButtonLook::kOutlined,
              .enabled = able && !form_.prompt.empty(),
              .tip = able ? "The chat model writes the prompt out in more detail." : none})
          .clicked)
    ask("Write this picture prompt again in one sentence with more visual detail. Answer with the prompt only.");
  if (button(ui, "create/vary-prompt", {row.x + half + ui.px(8), row.y, half, row.h}, "Vary",
             {.icon = Icon::kRefresh,
              .look = ButtonLook::kOutlined,
              .enabled = able && !form_.prompt.empty(),
              .tip = able ? "The chat model writes a variation of the prompt." : none})
          .clicked)
    ask("Write a variation of this picture prompt, of about the same length. Answer with the prompt only.");
}

void CreateFormPanel::browse_history(int step) {
  const std::vector<std::string>& past = ws_.settings.prompt_history;
  if (history_at_ > past.size()) history_at_ = past.size();
  if (history_at_ == past.size()) written_prompt_ = prompt_.text();
  if ((step < 0 && history_at_ == 0) || (step > 0 && history_at_ == past.size())) return;
  history_at_ = step < 0 ? history_at_ - 1 : history_at_ + 1;
  set_prompt(history_at_ == past.size() ? written_prompt_ : past[history_at_]);
}

void CreateFormPanel::draw_model(Ui& ui) {
  caption(ui, "Model");
  std::vector<Choice> choices;
  std::vector<std::string> names;
  int index = -1;
  for (const ModelEntry& model : ws_.models) {
    if (model.kind != ModelKind::kPicture || !model.ready()) continue;
    const bool chosen =
        form_.model == model.name ||
        (form_.model.empty() && model.name == (ws_.settings.picture_model.empty() ? "sana-mini" : ws_.settings.picture_model));
    if (chosen) index = static_cast<int>(choices.size());
    choices.push_back({model.title, model.native_side > 0 ? std::to_string(model.native_side) + " px" : ""});
    names.push_back(model.name);
  }
  if (dropdown(ui, "create/model", ui.place(0, ui.px(kControlHeight)), "Model", choices, index,
               "The model that draws. Add others in Models."))
    form_.model = names[static_cast<size_t>(index)];
  ui.gap(10);
}

void CreateFormPanel::set_side(int& side, int& other, double value) {
  const double ratio = static_cast<double>(other) / side;
  side = static_cast<int>(std::lround(value / kSideStep)) * kSideStep;
  if (form_.keep_aspect) other = std::clamp(static_cast<int>(std::lround(side * ratio / kSideStep)) * kSideStep, kMinSide, kMaxSide);
}

void CreateFormPanel::draw_size(Ui& ui) {
  caption(ui, "Size");
  const ModelEntry* model = ws_.find_model(form_.model);
  const int native = model && model->native_side > 0 ? model->native_side : 512;
  std::vector<Choice> choices;
  int index = -1;
  for (const SizePreset& preset : kSizePresets) {
    PictureForm sized = form_;
    apply_preset(sized, preset, native);
    if (sized.width == form_.width && sized.height == form_.height) index = static_cast<int>(choices.size());
    choices.push_back({preset.name, std::to_string(sized.width) + " × " + std::to_string(sized.height)});
  }
  Rect row = ui.place(0, ui.px(kControlHeight));
  const Rect swap = cut_right(row, ui.px(36)), lock = cut_right(row, ui.px(36));
  if (dropdown(ui, "create/preset", row, "Aspect", choices, index, "Proportions, with the number of pixels that the model knows best.",
               "Custom"))
    apply_preset(form_, kSizePresets[static_cast<size_t>(index)], native);
  if (icon_button(ui, "create/lock", {lock.x + ui.px(4), lock.y, ui.px(32), lock.h}, form_.keep_aspect ? Icon::kLock : Icon::kUnlock,
                  "Keep the proportions", {.look = form_.keep_aspect ? ButtonLook::kSelected : ButtonLook::kQuiet})
          .clicked)
    form_.keep_aspect = !form_.keep_aspect;
  if (icon_button(ui, "create/swap", {swap.x + ui.px(4), swap.y, ui.px(32), swap.h}, Icon::kSwap, "Swap width and height").clicked)
    std::swap(form_.width, form_.height);
  ui.gap(6);
  row = ui.place(0, ui.px(kControlHeight));
  const Rect left = cut_left(row, (row.w - ui.px(8)) / 2);
  cut_left(row, ui.px(8));
  const NumberRange range{.low = kMinSide,
                          .high = kMaxSide,
                          .step = kSideStep,
                          .slider_low = 256,
                          .slider_high = 2048,
                          .fallback = static_cast<double>(native)};
  double width = form_.width, height = form_.height;
  const char* tip = "Pixels, a multiple of 32. The model renders at the nearest size that it was trained at, then resizes.";
  if (width_.draw(ui, "create/width", left, "W", width, range, tip)) set_side(form_.width, form_.height, width);
  if (height_.draw(ui, "create/height", row, "H", height, range, tip)) set_side(form_.height, form_.width, height);
  ui.gap(10);
}

void CreateFormPanel::draw_sampling(Ui& ui) {
  caption(ui, "Sampling");
  Rect row = ui.place(0, ui.px(kControlHeight));
  const Rect left = cut_left(row, (row.w - ui.px(8)) / 2);
  cut_left(row, ui.px(8));
  double steps = form_.steps;
  if (steps_.draw(ui, "create/steps", left, "Steps", steps,
                  {.low = 1, .high = 1000, .step = 1, .slider_low = 1, .slider_high = 50, .fallback = 20},
                  "Denoising steps: more take longer; beyond about 20 little changes."))
    form_.steps = static_cast<int>(steps);
  guidance_.draw(ui, "create/guidance", row, "Guidance", form_.guidance,
                 {.low = 0, .high = 100, .step = 0.1, .slider_low = 1, .slider_high = 10, .fallback = 4.5, .decimals = 1},
                 "How strictly to follow the prompt. 1 or less turns guidance off and halves the time.");
  ui.gap(6);
  int index = index_of(kSchedulers, form_.scheduler);
  const std::array<Choice, 3> choices = {Choice{"Model's scheduler", ""}, Choice{"DPM-Solver++", ""}, Choice{"Flow Euler", ""}};
  row = ui.place(0, ui.px(kControlHeight));
  const Rect count = cut_right(row, ui.px(104));
  cut_right(row, ui.px(8));
  if (dropdown(ui, "create/scheduler", row, "Scheduler", choices, index,
               "How the steps follow each other. DPM-Solver++ needs fewer steps than Euler."))
    form_.scheduler = kSchedulers[index];
  double pictures = form_.count;
  if (count_.draw(ui, "create/count", count, "Count", pictures,
                  {.low = 1, .high = 10000, .step = 1, .slider_low = 1, .slider_high = 16, .fallback = 1},
                  "Pictures of one prompt. Picture k has the seed + k and is the same alone."))
    form_.count = static_cast<int>(pictures);
  ui.gap(10);
}

void CreateFormPanel::draw_seed(Ui& ui) {
  Rect row = ui.place(0, ui.line_height(Face::kSmall));
  const char* changing = form_.seed == 0 ? "Seed: a new one each time" : "Seed: a new one each time; the last was:";  // 0: none yet
  ui.text_in(row, form_.random_seed ? changing : "Seed: kept", Face::kSmall, ui.colors().quiet);
  row = ui.place(0, ui.px(kControlHeight));
  const Rect keep = cut_right(row, ui.px(36)), dice = cut_right(row, ui.px(36));
  if (!seed_.focused() && seed_.text() != std::to_string(form_.seed)) seed_.set_text(std::to_string(form_.seed));
  const EditorResponse e = seed_.draw(ui, "create/seed", row,
                                      {.label = "Seed", .tip = "The same seed and settings give the same picture.", .face = Face::kMono});
  if (e.changed && e.focused) {
    uint64_t value = 0;
    const std::string& text = seed_.text();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) form_.seed = value, form_.random_seed = false;
  }
  if (icon_button(ui, "create/random", {dice.x + ui.px(4), dice.y, ui.px(32), dice.h}, Icon::kDice, "A new random seed for every picture",
                  {.look = form_.random_seed ? ButtonLook::kSelected : ButtonLook::kQuiet})
          .clicked)
    form_.random_seed = true;
  if (icon_button(ui, "create/keep-seed", {keep.x + ui.px(4), keep.y, ui.px(32), keep.h}, Icon::kPin, "Keep this seed",
                  {.look = form_.random_seed ? ButtonLook::kQuiet : ButtonLook::kSelected})
          .clicked)
    form_.random_seed = false;
  ui.gap(8);
}

void CreateFormPanel::draw_advanced(Ui& ui) {
  if (!fold(ui, "create/advanced", "Advanced", advanced_open_)) return;
  bool own_shift = form_.shift.has_value();
  if (toggle(ui, "create/own-shift", "Flow shift other than the model's", own_shift,
             "Moves the steps towards noise (above 1) or towards detail."))
    form_.shift = own_shift ? std::optional<double>(3.0) : std::nullopt;
  if (form_.shift) {
    double shift = *form_.shift;
    if (shift_.draw(ui, "create/shift", ui.place(0, ui.px(kControlHeight)), "Shift", shift,
                    {.low = 0.01, .high = 100, .step = 0.1, .slider_low = 0.1, .slider_high = 10, .fallback = 3, .decimals = 2},
                    "Flow shift"))
      form_.shift = shift;
    ui.gap(4);
  }
  toggle(ui, "create/cuda-noise", "Noise as on a GPU", form_.cuda_noise,
         "Draws the noise of torch's CUDA generator: the seed then gives the picture that a GPU gives.");
  int type = index_of(kTypes, form_.dtype);
  const std::array<Choice, 4> types = {Choice{"Precision: the best here", ""}, Choice{"fp32", ""}, Choice{"bf16", ""}, Choice{"fp16", ""}};
  if (dropdown(ui, "create/dtype", ui.place(0, ui.px(kControlHeight)), "Precision", types, type,
               "Number format of the transformer's weights."))
    form_.dtype = kTypes[type];
}

void CreateFormPanel::count_tokens() {
  if ((form_.prompt == counted_prompt_ && form_.model == counted_model_) || !ws_.models_known) return;
  const ModelEntry* model = ws_.find_model(form_.model);
  if (!model) return;
  counted_prompt_ = form_.prompt, counted_model_ = form_.model;
  ws_.background.run(Background::kFiles,
                     [this, kept = counter_, prompt = form_.prompt, name = model->name, path = model->path]() -> Background::Done {
                       if (!*kept || (*kept)->name() != name) *kept = std::make_shared<const TokenCounter>(name, path);
                       const TokenCounter::Count count =
                           prompt.find_first_not_of(" \n\t") == std::string::npos ? TokenCounter::Count{} : (*kept)->count(prompt);
                       return [this, count, prompt] {
                         if (prompt == counted_prompt_) tokens_ = count.used, tokens_cut_ = count.cut;
                       };
                     });
}

// Asks a moment after the last change.
void CreateFormPanel::ask_plan(double now) {
  PictureForm same = form_;
  same.prompt.clear(), same.negative.clear(), same.seed = 0, same.random_seed = true, same.count = 1, same.keep_aspect = false;
  if (!plan_asked_ || !(same == planned_)) {
    planned_ = same;
    plan_asked_ = true;
    plan_due_ = now + 0.15;
  }
  if (plan_due_ > 0 && now >= plan_due_ && ws_.engine) {
    plan_due_ = 0;
    PictureSettings settings = to_settings(form_);
    if (settings.model.empty()) settings.model = ws_.settings.picture_model;
    ws_.engine->request_plan(settings, ++plan_tag_);
  }
}

void CreateFormPanel::take_plan(const std::shared_ptr<const PlanAnswer>& plan) {
  if (plan && plan->tag == plan_tag_) plan_ = plan;
}

void CreateFormPanel::draw_plan(Ui& ui, Rect rect) {
  const Rect first = cut_top(rect, ui.px(18));
  if (!plan_) {
    ui.text_in(first, "Plan: …", Face::kSmall, ui.colors().quiet);
    return;
  }
  if (!plan_->problem.empty()) {
    ui.text_in(first, plan_->problem, Face::kSmall, ui.colors().bad);
    ui.text_in({rect.x, rect.y, rect.w, ui.px(18)}, plan_->hint, Face::kSmall, ui.colors().quiet);
    ui.readable("create/plan", first, plan_->problem);
    return;
  }
  const PicturePlan& p = plan_->plan;
  std::string text = bytes_text(p.bytes()) + " of " + bytes_text(plan_->available);
  if (p.seconds >= 0) text += " · ~" + time_text(p.seconds * form_.count);
  if (!plan_->fits) text = "Does not fit: " + text;
  ui.text_in(first, text, Face::kSmall, plan_->fits ? ui.colors().quiet : ui.colors().bad);
  ui.readable("create/plan", first, text);
  const Rect second{rect.x, rect.y, rect.w, ui.px(20)};
  if (!plan_->fits && plan_->nearest_that_fits) {
    const PictureSize size = *plan_->nearest_that_fits;
    const std::string offer = "Use " + std::to_string(size.width) + " × " + std::to_string(size.height) + ", which fits";
    const Response r = ui.item("create/use-fitting", second, ItemKind::kButton, offer);
    ui.text_in(second, offer, Face::kSmall, r.hovered ? ui.colors().accent_hover : ui.colors().accent);
    if (r.hovered) ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
    if (r.clicked) form_.width = static_cast<int>(size.width), form_.height = static_cast<int>(size.height);
  } else if (p.rendered.width != p.asked.width || p.rendered.height != p.asked.height) {
    ui.text_in(second, "rendered at " + std::to_string(p.rendered.width) + " × " + std::to_string(p.rendered.height) + ", then resized",
               Face::kSmall, ui.colors().quiet);
  }
}

void CreateFormPanel::draw_generate(Ui& ui, const Rect& rect) {
  const bool able = ws_.engine && form_.prompt.find_first_not_of(" \t\n") != std::string::npos;
  const bool waiting = ws_.busy() || ws_.queue->waiting > 0;
  const Response r = button(ui, "create/generate", rect,
                            waiting           ? "Add to queue"
                            : form_.count > 1 ? "Generate " + std::to_string(form_.count)
                                              : "Generate",
                            {.icon = Icon::kSparkle,
                             .look = ButtonLook::kPrimary,
                             .enabled = able,
                             .tip = able ? "Renders the picture; with Shift first in line." : "Say what to draw first.",
                             .shortcut = "Ctrl+Enter, Ctrl+Shift+Enter"});
  if (r.clicked) generate(QueuePlace::kBack);
}

void CreateFormPanel::generate(QueuePlace place) {
  if (!ws_.engine || form_.prompt.find_first_not_of(" \t\n") == std::string::npos) return;
  if (form_.random_seed) form_.seed = random_seed();
  PictureJob job = to_job(form_, form_.seed, ws_.output_folder().string(), ws_.settings.name_pattern);
  if (job.settings.model.empty()) job.settings.model = ws_.settings.picture_model;
  last_job_ = ws_.engine->submit(std::move(job), place);
  std::vector<std::string>& past = ws_.settings.prompt_history;
  std::erase(past, form_.prompt);
  past.push_back(form_.prompt);
  if (past.size() > 200) past.erase(past.begin());
  history_at_ = past.size();
  ws_.settings.first_start = false;
}

}  // namespace linea::studio
