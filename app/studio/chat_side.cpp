// The right side of the Chat view: system prompt, sampling, the model's state, and the tree of branches.
#include <cmath>

#include "app/engine/output_names.h"
#include "app/studio/chat_view.h"
#include "app/studio/markdown.h"
#include "app/studio/widgets.h"
#include "core/atomic_file.h"

namespace linea::studio {
namespace {

void fact(Ui& ui, std::string_view name, const std::string& value) {
  const Rect row = ui.place(0, ui.px(21));
  ui.text_in(row, name, Face::kSmall, ui.colors().quiet);
  ui.text_in(row, value, Face::kMonoSmall, ui.colors().text, 1);
  ui.readable("chat/state/" + std::string(name), row, name, value);
}

}  // namespace

void ChatView::draw_side(Ui& ui, const Rect& rect) {
  ui.fill(rect, ui.colors().panel);
  const ChildScope child("side", rect, {ui.px(16), ui.px(12)});
  ChatSettings settings = chat_.settings();
  ui.gap(32);
  caption(ui, "System prompt");
  const float lines = std::clamp(system_.height_of(ui, Face::kText, ui.rest() - ui.px(20)) / ui.line_height(Face::kText), 4.0f, 12.0f);
  if (system_
          .draw(ui, "chat/system", ui.place(0, lines * ui.line_height(Face::kText) + ui.px(16)),
                {.label = "System prompt",
                 .placeholder = "How the model should answer",
                 .tip = "Stands before the chat. A change holds from the next answer on."})
          .changed) {
    settings.system = system_.text();
    chat_.set_settings(settings);
  }
  ui.gap(12);
  draw_sampling(ui);
  ui.gap(14);
  draw_state(ui);
  ui.gap(14);
  draw_tree(ui);
  ui.gap(14);
  const Rect row = ui.place(0, ui.px(kControlHeight));
  const float half = (row.w - ui.px(8)) / 2;
  const bool any = !chat_.path().empty();
  if (button(ui, "chat/export-markdown", {row.x, row.y, half, row.h}, "Markdown",
             {.icon = Icon::kDownload,
              .look = ButtonLook::kOutlined,
              .enabled = any,
              .tip = "Writes what is shown as Markdown into the folder for new pictures."})
          .clicked)
    export_chat(true);
  if (button(ui, "chat/export-json", {row.x + half + ui.px(8), row.y, half, row.h}, "JSON",
             {.icon = Icon::kDownload, .look = ButtonLook::kOutlined, .enabled = any, .tip = "Writes the whole tree as JSON."})
          .clicked)
    export_chat(false);
  ui.gap(20);
}

void ChatView::draw_sampling(Ui& ui) {
  ChatSettings s = chat_.settings();
  caption(ui, "Sampling");
  const auto place = [&] {
    const Rect r = ui.place(0, ui.px(kControlHeight));
    ui.gap(6);
    return r;
  };
  temperature_.draw(ui, "chat/temperature", place(), "Temperature", s.temperature,
                    {.low = 0, .high = 5, .step = 0.05, .slider_low = 0, .slider_high = 2, .fallback = 1, .decimals = 2},
                    "How daring: 0 takes the most probable word each time.");
  top_p_.draw(ui, "chat/top-p", place(), "Top p", s.top_p,
              {.low = 0.01, .high = 1, .step = 0.01, .slider_low = 0, .slider_high = 1, .fallback = 0.5, .decimals = 2},
              "Only the most probable words that together have this share.");
  double top_k = static_cast<double>(s.top_k), most = static_cast<double>(s.max_tokens);
  if (top_k_.draw(ui, "chat/top-k", place(), "Top k", top_k,
                  {.low = 0, .high = 100000, .step = 1, .slider_low = 0, .slider_high = 200, .fallback = 0},
                  "At most so many words to choose from; 0 = all."))
    s.top_k = static_cast<int64_t>(top_k);
  presence_.draw(ui, "chat/presence", place(), "Presence", s.presence,
                 {.low = -2, .high = 2, .step = 0.05, .slider_low = 0, .slider_high = 2, .fallback = 0.4, .decimals = 2},
                 "Against words that were used before.");
  frequency_.draw(ui, "chat/frequency", place(), "Frequency", s.frequency,
                  {.low = -2, .high = 2, .step = 0.05, .slider_low = 0, .slider_high = 2, .fallback = 0.4, .decimals = 2},
                  "Against words by how often they were used.");
  if (most_tokens_.draw(ui, "chat/max-tokens", place(), "Longest answer", most,
                        {.low = 1, .high = 1000000, .step = 64, .slider_low = 64, .slider_high = 4096, .fallback = 1024},
                        "In tokens, each about three quarters of a word; the answer ends there."))
    s.max_tokens = static_cast<int64_t>(most);
  chat_.set_settings(s);
}

void ChatView::draw_state(Ui& ui) {
  caption(ui, "State");
  fact(ui, "Size", numbers_.state_bytes > 0 ? bytes_text(numbers_.state_bytes) : "–");
  fact(ui, "Tokens read", numbers_.tokens_read > 0 ? std::to_string(numbers_.tokens_read) : "–");
  fact(ui, "Kept from before", numbers_.prompt_tokens > 0 ? std::to_string(numbers_.reused_tokens) : "–");
  fact(ui, "First token after", numbers_.first_token_seconds >= 0 ? time_text(numbers_.first_token_seconds) : "–");
  fact(ui, "Tokens a second", numbers_.tokens_per_second > 0 ? number_text(numbers_.tokens_per_second, 1) : "–");
}

// Every message a line; a message with several answers indents the later ones.
void ChatView::draw_tree(Ui& ui) {
  caption(ui, "Branches");
  std::deque<ChatConversation::Node>& nodes = chat_.nodes();
  if (nodes.empty()) {
    line(ui, "–", Face::kSmall, ui.colors().quiet);
    return;
  }
  std::vector<char> on_path(nodes.size(), 0);
  for (const int node : chat_.path()) on_path[static_cast<size_t>(node)] = 1;
  std::vector<std::pair<int, int>> stack;  // node, depth
  for (int i = static_cast<int>(nodes.size()); i-- > 0;) {
    if (nodes[static_cast<size_t>(i)].parent < 0) stack.emplace_back(i, 0);
  }
  int chosen = -1;
  while (!stack.empty()) {
    const auto [at, depth] = stack.back();
    stack.pop_back();
    const ChatConversation::Node& node = nodes[static_cast<size_t>(at)];
    const Rect row = ui.place(0, ui.px(23));
    for (size_t i = node.children.size(); i-- > 0;) stack.emplace_back(node.children[i], std::min(8, depth + (i > 0 ? 1 : 0)));
    if (!ImGui::IsRectVisible(row.min(), row.max())) continue;
    const std::string text = node.role == "assistant" ? first_line(node.text) : node.text;
    const Response r =
        ui.item("chat/tree/" + std::to_string(at), row, ItemKind::kRow, text, {.value = on_path[static_cast<size_t>(at)] ? "on" : "off"});
    if (r.hovered) ui.fill(row, ui.colors().hover, 4);
    if (r.focused) ui.focus_ring(row, 4);
    const float indent = ui.px(14) * static_cast<float>(depth);
    const bool live = on_path[static_cast<size_t>(at)] != 0;
    const ImVec2 dot{row.x + indent + ui.px(6), row.center().y};
    ui.list().AddCircleFilled(dot, ui.px(node.role == "assistant" ? 3 : 4), ui.color(live ? ui.colors().accent : ui.colors().quiet));
    const Rect label{dot.x + ui.px(10), row.y, row.right() - dot.x - ui.px(12), row.h};
    ui.text_in(label, text.empty() ? "…" : text, Face::kSmall, live ? ui.colors().text : ui.colors().quiet);
    ui.tip_where_cut(r, text, Face::kSmall, label.w);
    if (r.clicked) chosen = at;
  }
  if (chosen < 0) return;
  while (!nodes[static_cast<size_t>(chosen)].children.empty()) chosen = nodes[static_cast<size_t>(chosen)].children.back();
  chat_.set_leaf(chosen);
}

void ChatView::export_chat(bool markdown) {
  const std::filesystem::path file = ws_.output_folder() / (slug_of(chat_.title()) + (markdown ? ".md" : ".json"));
  ws_.background.run(Background::kFiles, [this, file, text = markdown ? chat_.to_markdown() : chat_.to_json_text()]() -> Background::Done {
    std::error_code ignored;
    std::filesystem::create_directories(file.parent_path(), ignored);
    write_file(file, std::string_view(text));
    return [this, file] {
      ws_.toasts.show({.kind = ToastKind::kGood, .text = "The chat is in " + file.filename().string() + ".", .details = file.string()});
    };
  });
}

}  // namespace linea::studio
