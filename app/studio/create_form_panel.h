// app/studio/create_form_panel.h: the left side of the Create view: everything that a picture is asked for with.
#pragma once

#include <memory>
#include <string>

#include "app/studio/number_field.h"
#include "app/studio/text_editor.h"
#include "app/studio/undo_history.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class CreateFormPanel {
 public:
  explicit CreateFormPanel(Workspace& ws);

  void draw(Ui& ui, const Rect& rect);
  void set_form(const PictureForm& form);
  void set_prompt(const std::string& prompt);
  const PictureForm& form() const { return form_; }
  void generate(QueuePlace place);
  void take_plan(const std::shared_ptr<const PlanAnswer>& plan);
  void focus_prompt() { prompt_.take_focus(); }
  bool undo();
  bool redo();
  JobId last_job() const { return last_job_; }

 private:
  void draw_prompt(Ui& ui);
  void draw_prompt_tools(Ui& ui);
  void draw_model(Ui& ui);
  void draw_size(Ui& ui);
  void draw_sampling(Ui& ui);
  void draw_seed(Ui& ui);
  void draw_advanced(Ui& ui);
  void draw_plan(Ui& ui, Rect rect);
  void draw_generate(Ui& ui, const Rect& rect);
  void browse_history(int step);
  void count_tokens();
  void ask_plan(double now);
  void set_side(int& side, int& other, double value);

  Workspace& ws_;
  PictureForm form_;
  TextEditor prompt_, negative_, seed_{false, 24};
  NumberField width_, height_, steps_, guidance_, count_, shift_;
  UndoHistory<PictureForm> history_;
  bool negative_open_ = false, advanced_open_ = false;

  size_t history_at_ = 0;       // in the settings' prompt history; its size = the prompt being written
  std::string written_prompt_;  // before browsing

  std::string counted_prompt_, counted_model_;
  int tokens_ = -1, tokens_cut_ = 0;  // negative: not known yet
  std::shared_ptr<std::shared_ptr<const class TokenCounter>> counter_;

  PictureForm planned_;
  uint64_t plan_tag_ = 0;
  double plan_due_ = 0;
  bool plan_asked_ = false;
  std::shared_ptr<const PlanAnswer> plan_;
  JobId last_job_ = 0;
};

}  // namespace linea::studio
