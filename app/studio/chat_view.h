// app/studio/chat_view.h: chats with the local language model: list, messages, and what is known of the model's memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/studio/chat_conversation.h"
#include "app/studio/chat_worker.h"
#include "app/studio/number_field.h"
#include "app/studio/text_editor.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class ChatView {
 public:
  explicit ChatView(Workspace& ws);

  void draw(Ui& ui, const Rect& rect);
  void update();          // once a frame, also while another view is shown
  void models_changed();  // what the chat model can do for the other views
  void stop();            // the answer, and saves it
  double open_seconds() const { return open_seconds_; }

 private:
  // chat_list.cpp
  void draw_list(Ui& ui, const Rect& rect);
  void refresh_list();
  void open_chat(const ChatRecord& chat);
  void leave_chat();
  void start_new_chat();
  void delete_chat(const ChatRecord& chat);
  // chat_side.cpp
  void draw_side(Ui& ui, const Rect& rect);
  void draw_sampling(Ui& ui);
  void draw_state(Ui& ui);
  void draw_tree(Ui& ui);
  void export_chat(bool markdown);
  // chat_view.cpp
  void draw_messages(Ui& ui, const Rect& rect);
  float draw_message(Ui& ui, int node, float x, float y, float width);
  void draw_tools(Ui& ui, int node, Rect row);
  void draw_input(Ui& ui, const Rect& rect);
  void draw_welcome(Ui& ui, const Rect& rect);
  float input_height(Ui& ui, float width);
  void send();
  void ask(int parent);
  void finish_answer(int node, const ChatOutcome& outcome);
  void start_edit(int node);
  void step_back();
  bool answering() const { return answer_ >= 0; }
  const ModelEntry* model() const;

  Workspace& ws_;
  std::unique_ptr<ChatWorker> worker_;
  ChatConversation chat_;
  TextEditor input_, system_, search_{false, 400};
  NumberField temperature_, top_p_, top_k_, presence_, frequency_, most_tokens_;

  std::vector<ChatRecord> list_;
  bool list_dirty_ = true, side_open_ = false;
  int answer_ = -1;  // the node that is being written
  uint64_t answer_ticket_ = 0;
  int editing_ = -1;    // the message whose other version is being written
  bool follow_ = true;  // the end stays in view until somebody scrolls up
  int hovered_ = -1;
  ChatNumbers numbers_;
  double opened_at_ = -1, open_seconds_ = -1;  // when a chat was asked for; how long it took until it was drawn
  bool just_opened_ = false;
};

}  // namespace linea::studio
