#include "app/studio/chat_view.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "app/studio/clipboard.h"
#include "app/studio/clock.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n\r\"");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\n\r\"") - first + 1);
}

// The built-in models know one wording, on one line; what is varied is what the prompt leaves open.
std::string prompt_request(const ModelEntry& model, const std::string& instruction, const std::string& prompt) {
  if (!model.built_in) return instruction + "\n\n" + prompt;
  std::string line = prompt;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return "Expand this picture prompt: " + line;
}

}  // namespace

ChatView::ChatView(Workspace& ws)
    : ws_(ws),
      worker_(
          std::make_unique<ChatWorker>([&ws](std::function<void()> work) { ws.post(std::move(work)); }, ws.data_folder / "chat-states")),
      chat_(ws) {
  chat_.start_new();
  system_.set_text(chat_.settings().system);
}

void ChatView::stop() {
  if (answering()) chat_.save(answer_);
  worker_.reset();
}

const ModelEntry* ChatView::model() const {
  const ModelEntry* best = nullptr;
  for (const ModelEntry& entry : ws_.models) {
    if (entry.kind != ModelKind::kChat || !entry.ready()) continue;
    if (entry.name == ws_.settings.chat_model) return &entry;
    if (!best) best = &entry;
  }
  return best;
}

void ChatView::models_changed() {
  ws_.ask_chat = {};
  if (!model()) return;
  ws_.ask_chat = [this](const std::string& instruction, const std::string& text, const std::function<void(std::string)>& done) {
    const ModelEntry* entry = model();
    if (!entry || answering()) return ws_.toasts.show({.kind = ToastKind::kInfo, .text = "The chat model is busy with an answer."});
    ChatRequest request{.model = entry->path,
                        .title = entry->title,
                        .turns = {{Role::kUser, prompt_request(*entry, instruction, text)}},
                        .max_tokens = 200};
    request.sampling = sampling_of(chat_.settings(), std::random_device()());
    request.on_text = [](const std::string&) {};
    request.on_done = [this, done](const ChatOutcome& outcome) {
      if (!outcome.failure.empty()) return ws_.toasts.error("The chat model failed: " + outcome.failure, outcome.hint);
      if (!outcome.stopped && !trimmed(outcome.text).empty()) done(trimmed(outcome.text));
    };
    ws_.toasts.show({.kind = ToastKind::kInfo, .text = "The chat model writes a prompt …"});
    worker_->ask(std::move(request), ws_.engine ? &ws_.engine->memory() : nullptr);
  };
}

void ChatView::update() { refresh_list(); }

void ChatView::draw(Ui& ui, const Rect& rect) {
  Rect rest = rect;
  float width = static_cast<float>(ws_.settings.chat_list_width);
  if (rect.w > ui.px(760)) {
    draw_list(ui, cut_left(rest, ui.px(width)));
    drag_edge(ui, "edge/chats", {rest.x - ui.px(3), rest.y, ui.px(6), rest.h}, width, 160, 500, 1);
    ws_.settings.chat_list_width = width;
  }
  if (side_open_) draw_side(ui, cut_right(rest, ui.px(300)));
  const float column = std::min(rest.w - ui.px(32), ui.px(46 * 15));
  Rect input = cut_bottom(rest, input_height(ui, column));
  if (chat_.path().empty()) {
    draw_welcome(ui, rest);
  } else {
    draw_messages(ui, rest);
  }
  draw_input(ui, {rest.center().x - column / 2, input.y, column, input.h});
  {
    // In a window of its own: it lies over the messages, or over the head of the panel that it opens.
    const Rect place{(side_open_ ? rect : rest).right() - ui.px(52), rest.y + ui.px(8), ui.px(36), ui.px(36)};
    const ChildScope over("side-toggle", place, {0, 0}, false);
    if (icon_button(ui, "chat/side", place.inset(ui.px(2)), Icon::kPanelRight, "System prompt, sampling, branches",
                    {.look = side_open_ ? ButtonLook::kSelected : ButtonLook::kQuiet, .shortcut = "F2"})
            .clicked)
      side_open_ = !side_open_;
  }
  Input& in = ui.input();
  if (in.pressed(GLFW_KEY_F2)) side_open_ = !side_open_;
  if (in.pressed(GLFW_KEY_N, kControl)) {
    start_new_chat();
    input_.take_focus();
  }
  if (answering() && in.pressed(GLFW_KEY_ESCAPE)) worker_->stop_answer();
  if (!ui.typing() && in.pressed(GLFW_KEY_Z, kControl)) step_back();
  if (in.pressed(GLFW_KEY_C, kControl)) {
    for (const int node : chat_.path()) {
      const RichText& text = *chat_.nodes()[static_cast<size_t>(node)].rich;
      if (text.has_selection()) clipboard::set(text.selected());
    }
  }
}

void ChatView::draw_welcome(Ui& ui, const Rect& rect) {
  const float width = std::min(ui.px(480), rect.w - ui.px(40));
  Rect box{rect.center().x - width / 2, rect.center().y - ui.px(100), width, ui.px(200)};
  ui.icon(Icon::kChat, cut_top(box, ui.px(56)), ui.colors().quiet, 42);
  const ModelEntry* entry = model();
  const std::string title = entry ? "Chat with " + entry->title : "No chat model yet";
  const Rect head = cut_top(box, ui.px(32));
  ui.text_in(head, title, Face::kTitle, ui.colors().text, 0.5f);
  ui.readable("chat/welcome", head, title);
  const char* const with[] = {"Everything stays on this machine.",
                              "Its memory has a fixed size: a chat of any length answers at the same speed."};
  const char* const without[] = {"Add RWKV or Mamba: drop its folder or file onto this window,",
                                 "or name it in Models. Chats that you have are kept here."};
  for (const char* text : entry ? with : without) ui.text_in(cut_top(box, ui.px(22)), text, Face::kText, ui.colors().quiet, 0.5f);
  if (entry) return;
  cut_top(box, ui.px(12));
  const Rect row = cut_top(box, ui.px(kControlHeight));
  const float button_wide = button_width(ui, "Open Models", Icon::kCube);
  if (button(ui, "chat/models", {row.center().x - button_wide / 2, row.y, button_wide, row.h}, "Open Models",
             {.icon = Icon::kCube, .look = ButtonLook::kPrimary})
          .clicked)
    ws_.go(ViewKind::kModels);
}

// Heights of messages outside the window are estimates until they are first seen: opening a long chat costs what is visible.
void ChatView::draw_messages(Ui& ui, const Rect& rect) {
  const float width = std::min(rect.w - ui.px(32), ui.px(46 * 15)), left = rect.center().x - width / 2;
  const ChildScope child("messages", rect, {0, 0});
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  std::deque<ChatConversation::Node>& nodes = chat_.nodes();
  const float per_line = std::max(10.0f, width / ui.px(7.3f)), line = ui.line_height(Face::kText);
  float y = ui.px(20);
  hovered_ = -1;
  const std::vector<int> path = chat_.path();
  for (const int index : path) {
    ChatConversation::Node& node = nodes[static_cast<size_t>(index)];
    if (node.height < 0) node.height = std::ceil(static_cast<float>(node.text.size()) / per_line) * line + ui.px(64);
    const float top = origin.y + y;
    const bool visible = top < rect.bottom() + ui.px(100) && top + node.height > rect.y - ui.px(100);
    if (visible) {
      const float before = node.height;
      node.height = draw_message(ui, index, left, top, width);
      if (node.height != before) ui.animate();
      // A message above the window that turns out higher or lower must not move what is read.
      if (top + before < rect.y && node.height != before) ImGui::SetScrollY(ImGui::GetScrollY() + node.height - before);
    }
    y += node.height + ui.px(18);
  }
  ImGui::SetCursorScreenPos(origin);
  ImGui::Dummy({1, y});
  if (ImGui::GetIO().MouseWheel > 0 && ImGui::IsWindowHovered()) follow_ = false;
  if (ImGui::GetScrollY() >= ImGui::GetScrollMaxY() - ui.px(4)) follow_ = true;
  if (follow_) ImGui::SetScrollY(y);
  if (std::exchange(just_opened_, false)) open_seconds_ = now_seconds() - opened_at_;
}

float ChatView::draw_message(Ui& ui, int index, float x, float y, float width) {
  ChatConversation::Node& node = chat_.nodes()[static_cast<size_t>(index)];
  const IdScope scope("message" + std::to_string(index));
  const bool user = node.role != "assistant";
  const float pad = user ? ui.px(14) : 0, inner = width - 2 * pad;
  if (user) {
    node.rich->set_plain(node.text);
  } else {
    node.rich->set(node.text.empty() && index == answer_ ? "…" : node.text);
  }
  const float text_height = node.rich->height(ui, inner), tools = ui.px(32), height = text_height + 2 * pad + tools;
  const Rect whole{x - ui.px(8), y, width + ui.px(16), height};
  if (whole.contains(ImGui::GetIO().MousePos)) hovered_ = index;
  if (user) ui.fill({x, y, width, text_height + 2 * pad}, ui.colors().tinted, 10);
  if (!*node.saved) {
    const Rect note{x, y + height - tools, width, tools};
    ui.text_in(note, "not saved yet", Face::kSmall, ui.colors().quiet, 1);
    ui.readable("chat/unsaved", note, node.text);
  }
  if (node.rich->draw(ui, user ? "chat/question" : "chat/answer", {x + pad, y + pad})) {
    for (const int other : chat_.path()) {
      if (other != index) chat_.nodes()[static_cast<size_t>(other)].rich->clear_selection();
    }
  }
  const bool last = index == chat_.leaf();
  const auto [place, count] = chat_.sibling_place(index);
  if (hovered_ == index || last || count > 1) draw_tools(ui, index, {x, y + text_height + 2 * pad + ui.px(2), width, ui.px(28)});
  return height;
}

void ChatView::draw_tools(Ui& ui, int index, Rect row) {
  const ChatConversation::Node& node = chat_.nodes()[static_cast<size_t>(index)];
  const bool user = node.role != "assistant", shown = hovered_ == index || index == chat_.leaf();
  if (!user) row.x -= ui.px(6);  // so that the first icon, not its place, is at the text's edge
  const auto tool = [&](const char* id, Icon icon, const char* label) {
    const Rect r = cut_left(row, ui.px(30));
    return icon_button(ui, id, {r.x, r.y, ui.px(28), r.h}, icon, label).clicked;
  };
  const auto [place, count] = chat_.sibling_place(index);
  if (count > 1) {
    if (tool("chat/previous", Icon::kChevronLeft, "Previous version")) chat_.switch_sibling(index, -1), follow_ = false;
    const std::string text = std::to_string(place) + "/" + std::to_string(count);
    const Rect label = cut_left(row, text_width(ui.style(Face::kMonoSmall), text) + ui.px(4));
    ui.text_in(label, text, Face::kMonoSmall, ui.colors().quiet, 0.5f);
    ui.readable("chat/version", label, "version", text);
    if (tool("chat/next", Icon::kChevronRight, "Next version")) chat_.switch_sibling(index, 1), follow_ = false;
  }
  if (!shown || index == answer_) return;
  if (tool("chat/copy", Icon::kCopy, "Copy")) {
    clipboard::set(node.text);
    ws_.toasts.good("Copied.");
  }
  if (tool("chat/edit", Icon::kEdit, user ? "Edit: ask another version" : "Edit: write another version")) return start_edit(index);
  if (!user && tool("chat/regenerate", Icon::kRefresh, "Regenerate")) return ask(node.parent);
  if (user && tool("chat/answer-again", Icon::kRefresh, "Answer again")) return ask(index);
  if (tool("chat/branch", Icon::kBranch, "Branch: go on from here")) return chat_.set_leaf(index);
  if (tool("chat/picture", Icon::kImage, "Make a picture of this"))
    ws_.use_prompt(trimmed(node.rich->has_selection() ? node.rich->selected() : node.text).substr(0, 2000));
}

float ChatView::input_height(Ui& ui, float width) {
  const float lines = std::clamp(input_.height_of(ui, Face::kText, width - ui.px(20)) / ui.line_height(Face::kText), 2.0f, 8.0f);
  return lines * ui.line_height(Face::kText) + ui.px(16 + 56);
}

void ChatView::draw_input(Ui& ui, const Rect& rect) {
  Rect rest = rect;
  Rect foot = cut_bottom(rest, ui.px(52));
  foot.h = ui.px(36);
  const ModelEntry* entry = model();
  const EditorResponse e = input_.draw(
      ui, "chat/input", rest,
      {.label = "Message", .placeholder = entry ? "Write a message" : "Add a chat model to write messages", .enter_submits = true});
  foot.y += ui.px(6);
  const float send_width = ui.px(110);
  const Rect send_place = cut_right(foot, send_width);
  if (answering()) {
    if (button(ui, "chat/stop", send_place, "Stop", {.icon = Icon::kStop, .look = ButtonLook::kOutlined, .shortcut = "Esc"}).clicked)
      worker_->stop_answer();
  } else {
    const bool able = entry && !trimmed(input_.text()).empty();
    if (button(ui, "chat/send", send_place, "Send",
               {.icon = Icon::kSend,
                .look = ButtonLook::kPrimary,
                .enabled = able,
                .tip = entry ? "" : "Needs a chat model: add one in Models.",
                .shortcut = "Enter"})
            .clicked ||
        (e.submitted && able))
      send();
  }
  std::string note = editing_ >= 0 ? "Another version of the message; Esc leaves it" : entry ? entry->title : "";
  if (answering() && numbers_.first_token_seconds < 0 && chat_.nodes()[static_cast<size_t>(answer_)].text.empty())
    note = entry ? entry->title + " reads …" : "";
  if (!answering() && numbers_.tokens_per_second > 0 && editing_ < 0)
    note += " · " + number_text(numbers_.tokens_per_second, 1) + " tokens/s";
  ui.text_in({foot.x + ui.px(2), foot.y, foot.w - ui.px(8), foot.h}, note, Face::kSmall, ui.colors().quiet);
  ui.readable("chat/note", foot, "note", note);
  if (e.cancelled && editing_ >= 0) {
    editing_ = -1;
    input_.set_text("");
    ui.input().pressed(GLFW_KEY_ESCAPE);
  }
}

void ChatView::send() {
  const std::string text = trimmed(input_.text());
  input_.set_text("");
  const int old = std::exchange(editing_, -1);
  list_dirty_ = true;
  if (old >= 0) {
    const ChatConversation::Node& node = chat_.nodes()[static_cast<size_t>(old)];
    const std::string role = node.role;
    const int made = chat_.add(role, text, node.parent);
    if (role == "user") ask(made);
    return;
  }
  ask(chat_.add("user", text, chat_.leaf()));
}

void ChatView::start_edit(int index) {
  editing_ = index;
  input_.set_text(chat_.nodes()[static_cast<size_t>(index)].text);
  input_.take_focus();
}

// Takes back the last question; its text is in the input again, and the way back stays in the tree.
void ChatView::step_back() {
  const std::vector<int> path = chat_.path();
  for (size_t i = path.size(); i-- > 0;) {
    const ChatConversation::Node& node = chat_.nodes()[static_cast<size_t>(path[i])];
    if (node.role == "assistant") continue;
    input_.set_text(node.text);
    input_.take_focus();
    chat_.set_leaf(node.parent);
    return;
  }
}

void ChatView::ask(int parent) {
  const ModelEntry* entry = model();
  if (!entry || parent < 0) return;
  if (answering()) chat_.save(answer_);
  ChatRequest request{.model = entry->path, .title = entry->title, .turns = chat_.turns_to(parent)};
  request.sampling = sampling_of(chat_.settings(), std::random_device()());
  request.max_tokens = chat_.settings().max_tokens;
  const int node = chat_.add("assistant", "", parent);
  answer_ = node;
  follow_ = true;
  numbers_ = {};
  const uint64_t ticket = ++answer_ticket_;
  // The answer belongs to the chat that it was asked in, whatever is shown when it comes.
  const ChatConversation::ChatKey chat = chat_.chat_key();
  request.chat = chat;
  request.on_text = [this, node, ticket, chat](const std::string& piece) {
    if (ticket == answer_ticket_ && chat == chat_.chat_key()) chat_.append(node, piece);
  };
  request.on_done = [this, node, ticket, chat](const ChatOutcome& outcome) {
    if (!outcome.failure.empty()) ws_.toasts.error("The answer failed: " + outcome.failure, outcome.hint);
    if (ticket != answer_ticket_ || chat != chat_.chat_key()) return;
    finish_answer(node, outcome);
  };
  request.on_kept = [this, node, chat](const std::string& state) {
    if (chat == chat_.chat_key()) chat_.set_state(node, state);
  };
  worker_->ask(std::move(request), ws_.engine ? &ws_.engine->memory() : nullptr);
}

void ChatView::finish_answer(int node, const ChatOutcome& outcome) {
  numbers_ = outcome.numbers;
  ChatConversation::Node& done = chat_.nodes()[static_cast<size_t>(node)];
  if (!outcome.text.empty()) done.text = outcome.text;
  done.details = Json({{"tokens", numbers_.answer_tokens},
                       {"tokens_per_second", numbers_.tokens_per_second},
                       {"first_token_seconds", numbers_.first_token_seconds},
                       {"read", numbers_.prompt_tokens - numbers_.reused_tokens},
                       {"reused", numbers_.reused_tokens},
                       {"ids", outcome.tokens}})
                     .dump();
  chat_.save(node);
  answer_ = -1;
  list_dirty_ = true;
}

}  // namespace linea::studio
