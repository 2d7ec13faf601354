// The left side of the Chat view: all chats, newest first, with search.
#include "app/studio/chat_view.h"
#include "app/studio/clock.h"
#include "app/studio/widgets.h"

namespace linea::studio {

void ChatView::refresh_list() {
  if (!list_dirty_) return;
  list_dirty_ = false;
  ws_.background.with_library([this, search = search_.text()](Library& library) -> Background::Done {
    return [this, chats = library.chats(search)] { list_ = chats; };
  });
}

void ChatView::draw_list(Ui& ui, const Rect& rect) {
  ui.fill(rect, ui.colors().panel);
  Rect rest = rect.inset(ui.px(12));
  Rect row = cut_top(rest, ui.px(kControlHeight));
  if (button(ui, "chat/new", row, "New chat", {.icon = Icon::kPlus, .look = ButtonLook::kOutlined, .shortcut = "Ctrl+N"}).clicked) {
    start_new_chat();
    input_.take_focus();
  }
  cut_top(rest, ui.px(8));
  if (search_
          .draw(ui, "chat/search", cut_top(rest, ui.px(kControlHeight)),
                {.label = "Search chats", .placeholder = "Search chats", .icon = Icon::kSearch})
          .changed)
    list_dirty_ = true;
  cut_top(rest, ui.px(10));
  const ChildScope child("chats", {rest.x, rest.y, rest.w + ui.px(8), rest.h}, {0, 0});
  if (list_.empty()) line(ui, search_.text().empty() ? "No chats yet" : "No chat matches", Face::kSmall, ui.colors().quiet);
  for (const ChatRecord& chat : std::vector<ChatRecord>(list_)) {
    const Rect place = ui.place(ui.rest() - ui.px(8), ui.px(48));
    const IdScope scope(std::to_string(chat.id));
    const bool hovered = place.contains(ImGui::GetIO().MousePos);
    Rect inner = place;
    bool remove = false;
    if (hovered || chat.id == chat_.chat_id()) ui.fill(place, ui.colors().hover, 6);
    if (hovered) {
      const Rect r = cut_right(inner, ui.px(34));
      remove =
          icon_button(ui, "chat/delete", {r.x, r.center().y - ui.px(14), ui.px(28), ui.px(28)}, Icon::kTrash, "Delete the chat").clicked;
    }
    const Response r = ui.item("chat/open", inner, ItemKind::kRow, chat.title);
    if (r.focused) ui.focus_ring(place);
    ui.tip_where_cut(r, chat.title, Face::kText, inner.w - ui.px(16));
    ui.text_in({inner.x + ui.px(10), inner.y + ui.px(4), inner.w - ui.px(16), ui.px(22)}, chat.title, Face::kText, ui.colors().text);
    ui.text_in({inner.x + ui.px(10), inner.y + ui.px(25), inner.w - ui.px(16), ui.px(18)}, when_text(chat.updated), Face::kSmall,
               ui.colors().quiet);
    if (remove) {
      delete_chat(chat);
    } else if (r.clicked) {
      open_chat(chat);
    }
    ui.gap(2);
  }
}

// What is being written in the chat that is shown ends here; it is saved as far as it came.
void ChatView::leave_chat() {
  if (answering()) {
    worker_->stop_answer();
    chat_.save(answer_);
  }
  answer_ = editing_ = -1;
}

void ChatView::start_new_chat() {
  leave_chat();
  chat_.start_new();
  system_.set_text(chat_.settings().system);
  numbers_ = {};
}

void ChatView::open_chat(const ChatRecord& chat) {
  leave_chat();
  opened_at_ = now_seconds();
  ws_.background.with_library([this, id = chat.id](Library& library) -> Background::Done {
    const std::optional<ChatRecord> record = library.chat(id);
    if (!record) return {};
    return [this, record, messages = library.messages(id)] {
      leave_chat();
      chat_.open(*record, messages);
      system_.set_text(chat_.settings().system);
      follow_ = true;
      numbers_ = {};
      just_opened_ = true;
    };
  });
}

void ChatView::delete_chat(const ChatRecord& chat) {
  const auto change = [this, id = chat.id](bool gone) {
    ws_.background.with_library([this, id, gone](Library& library) -> Background::Done {
      if (gone) {
        library.delete_chat(id);
      } else {
        library.restore_chat(id);
      }
      return [this] { list_dirty_ = true; };
    });
  };
  change(true);
  if (chat.id == chat_.chat_id()) start_new_chat();
  ws_.toasts.show({.kind = ToastKind::kInfo, .text = "Chat deleted.", .action = "Undo", .on_action = [change] { change(false); }});
}

}  // namespace linea::studio
