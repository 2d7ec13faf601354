#include "lm/session/chat_session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/text.h"
#include "lm/session/document.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

constexpr char kMark = '\x02';  // encloses the hash of a document in the text of a conversation
constexpr const char* kBlanks = " \t\r\n";

std::string mark_of(const Document& document) { return kMark + document.hash + kMark; }

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string::npos ? std::string() : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Counts what has been read of a text and its documents, in KiB.
class ReadProgress {
 public:
  ReadProgress(const ProgressCallback& callback, int64_t total) : callback_(callback), total_(total) {}
  void at(int64_t done) const {
    if (callback_) callback_({"read", static_cast<int>(done >> 10), static_cast<int>((total_ + 1023) >> 10), seconds_since(start_), -1});
  }

 private:
  const ProgressCallback& callback_;
  int64_t total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

// ---- What the model reads ----

std::string ChatSession::content_of(const MessageNode& node) const {
  const ChatTemplate& t = *parts_.chat_template;
  if (node.role == Role::kAssistant) return node.text;
  const std::string gap = t.joins_paragraphs() ? "\n" : "\n\n";
  std::string content;
  for (const Document& d : node.documents) content += mark_of(d) + gap + (d.twice ? mark_of(d) + gap : "");
  const std::string text = t.cleaned(node.text);
  return content + text + (node.twice ? "\n" + text : "");
}

std::vector<MessageNode> ChatSession::current_path() const {
  std::vector<MessageNode> nodes;
  for (const int node : conversation_.path()) nodes.push_back(conversation_.nodes()[static_cast<size_t>(node)]);
  return nodes;
}

std::string ChatSession::prompt_text() const { return script_of(current_path()).text; }

const Document& ChatSession::document_of(const std::string& hash) const {
  for (const MessageNode& node : conversation_.nodes()) {
    for (const Document& d : node.documents) {
      if (d.hash == hash) return d;
    }
  }
  for (const Document& d : waiting_) {
    if (d.hash == hash) return d;
  }
  throw Error(ErrorKind::kInternal, "the conversation names a document that it does not have");
}

// A generated answer in place of the template's writing of it, and then what the template puts behind it, as far as the answer has not
// begun that already. Nothing where the template writes another text.
void ChatSession::add_answer(const MessageNode& node, const std::string& prompt, const std::string& with_answer, Script& script) const {
  std::string drawn;
  for (const int32_t id : node.answer_ids) drawn += parts_.vocabulary->bytes(id);
  const size_t at = with_answer.find(node.text, prompt.size() - parts_.chat_template->opening().size());
  if (drawn.empty() || !with_answer.starts_with(prompt) || at == std::string::npos) return;
  const std::string closing = with_answer.substr(at + node.text.size());
  script.text += drawn;
  script.cuts.push_back({script.text.size(), node.answer_ids});
  size_t begun = std::min(closing.size(), drawn.size());
  while (!drawn.ends_with(closing.substr(0, begun))) --begun;
  script.text += closing.substr(begun);
}

// Messages end at cuts. Beginnings that the template refuses, or writes differently in the whole, give none.
ChatSession::Script ChatSession::script_of(const std::vector<MessageNode>& path) const {
  std::vector<ChatMessage> all, some;
  for (const MessageNode& node : path) all.push_back({node.role, content_of(node)});
  const std::string whole = parts_.chat_template->render(all, true);
  Script script;
  size_t done = 0;  // of `whole`
  std::string prompt;
  for (size_t i = 0; i < path.size(); ++i) {
    some.push_back(all[i]);
    const bool is_answer = path[i].role == Role::kAssistant;
    if (is_answer && prompt.empty()) continue;
    std::string beginning;
    try {
      beginning = parts_.chat_template->render(some, path[i].role == Role::kUser);
    } catch (const Error&) {
    }
    const bool fits = beginning.size() >= done && !beginning.empty() && whole.starts_with(beginning);
    if (fits && is_answer) {
      const size_t cuts = script.cuts.size();
      add_answer(path[i], prompt, beginning, script);
      if (script.cuts.size() > cuts) done = beginning.size();
    } else if (fits) {
      script.text += whole.substr(done, beginning.size() - done);
      done = beginning.size();
      script.cuts.push_back({script.text.size()});
    }
    prompt = fits && path[i].role == Role::kUser ? beginning : "";
  }
  script.text += whole.substr(done);
  script.cuts.push_back({script.text.size()});
  for (size_t at = 0; (at = script.text.find(kMark, at)) != std::string::npos;) {  // behind each document
    at = std::min(script.text.find(kMark, at + 1), script.text.size() - 1) + 1;
    script.cuts.push_back({at});
  }
  // Of two cuts at one place the one with tokens counts.
  std::sort(script.cuts.begin(), script.cuts.end(),
            [](const Cut& a, const Cut& b) { return std::pair(a.end, a.answer.empty()) < std::pair(b.end, b.answer.empty()); });
  return script;
}

void ChatSession::keep(const std::string& text, size_t end, PrefixCache::SnapshotPtr snapshot) {
  const PrefixKey key = key_of(std::string_view(text).substr(0, end));
  parts_.cache->insert(key, std::move(snapshot));
  std::erase(kept_, key);
  kept_.push_back(key);
}

ChatSession::Reading ChatSession::read(const Script& script, const Callbacks& callbacks) {
  const std::string& text = script.text;
  const PrefixCache::Found found = parts_.cache->longest_prefix(text);
  size_t at = found.snapshot ? found.key.length : 0;
  if (found.snapshot && at == text.size()) return {found.snapshot, 0, found.snapshot->tokens};

  Snapshot snapshot = found.snapshot ? *found.snapshot : parts_.runner->start();
  Reading result;
  result.reused = snapshot.tokens;
  int64_t total = 0, done = 0;
  const auto for_each_piece = [&](std::string_view segment, const auto& plain, const auto& document) {
    while (!segment.empty()) {
      const size_t mark = segment.find(kMark);
      if (mark != 0) plain(std::string(segment.substr(0, mark)));
      if (mark == std::string_view::npos) return;
      const size_t close = segment.find(kMark, mark + 1);
      document(document_of(std::string(segment.substr(mark + 1, close - mark - 1))));
      segment.remove_prefix(close + 1);
    }
  };
  for_each_piece(
      std::string_view(text).substr(at), [&](const std::string& piece) { total += static_cast<int64_t>(piece.size()); },
      [&](const Document& d) { total += d.bytes; });
  const ReadProgress progress(callbacks.progress, total);
  const auto feed = [&](const std::vector<int32_t>& ids, int64_t bytes) {
    const auto count = static_cast<int64_t>(ids.size());
    parts_.runner->read(
        ids, snapshot, [&](int64_t tokens) { progress.at(done + bytes * tokens / std::max<int64_t>(count, 1)); }, callbacks.cancel_reading);
    done += bytes;
    result.read += count;
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
  };
  const Tokenizer& tokenizer = parts_.vocabulary->tokenizer();
  const auto encode = [&](const std::string& piece) {
    std::vector<int32_t> ids = tokenizer.encode_without_template(piece);
    const std::vector<int32_t>& start = tokenizer.text_template().prefix;
    const bool has_start = ids.size() >= start.size() && std::equal(start.begin(), start.end(), ids.begin());
    if (snapshot.tokens == 0 && !has_start) ids.insert(ids.begin(), start.begin(), start.end());
    return ids;
  };
  for (const Cut& cut : script.cuts) {
    if (cut.end <= at) continue;
    const std::string_view segment = std::string_view(text).substr(at, cut.end - at);
    std::string answer;
    for (const int32_t id : cut.answer) answer += parts_.vocabulary->bytes(id);
    if (!answer.empty() && segment == answer) {
      feed(cut.answer, static_cast<int64_t>(segment.size()));
    } else {
      for_each_piece(
          segment, [&](const std::string& piece) { feed(encode(piece), static_cast<int64_t>(piece.size())); },
          [&](const Document& d) {
            int64_t before = 0;
            linea::read_document(d, parts_.chat_template->joins_paragraphs(), [&](const std::string& piece, int64_t bytes) {
              feed(encode(piece), bytes - before);
              result.ids.clear();  // a long document's tokens are not collected
              before = bytes;
            });
          });
    }
    at = cut.end;
    // The last one is handed out, not copied.
    result.snapshot = cut.end < script.cuts.back().end ? std::make_shared<const Snapshot>(snapshot)
                                                       : std::make_shared<const Snapshot>(std::exchange(snapshot, {}));
    keep(text, at, result.snapshot);
  }
  if (!result.snapshot) result.snapshot = std::make_shared<const Snapshot>(std::move(snapshot));  // of an empty text
  return result;
}

ChatSession::Reading ChatSession::read_path(const Callbacks& callbacks) {
  const std::vector<MessageNode> path = current_path();
  const Script script = script_of(path);
  int64_t expected = 0;
  for (const MessageNode& node : path) {
    for (const Document& d : node.documents) expected += d.twice ? 4 : 2;
  }
  if (std::count(script.text.begin(), script.text.end(), kMark) != expected) {
    throw Error(ErrorKind::kUsage, "the chat template of this model cannot hold documents");
  }
  return read(script, callbacks);
}

// ---- What the user does ----

void ChatSession::say(const std::string& text, bool twice) {
  std::string valid = valid_utf8(text);
  std::erase(valid, kMark);
  if (parts_.chat_template->cleaned(valid).find_first_not_of(kBlanks) == std::string::npos)
    throw Error(ErrorKind::kUsage, "the message is empty");
  conversation_.append({.role = Role::kUser, .text = std::move(valid), .twice = twice, .documents = waiting_});
  waiting_.clear();
}

void ChatSession::read_document(const Document& document, const Callbacks& callbacks) {
  waiting_.push_back(document);
  try {
    // The text up to the document's last mark begins the text with any question behind it.
    std::vector<MessageNode> path = current_path();
    path.push_back({.role = Role::kUser, .text = "?", .documents = waiting_});
    Script script = script_of(path);
    const size_t end = script.text.rfind(kMark);
    if (end == std::string::npos) throw Error(ErrorKind::kUsage, "the chat template of this model cannot hold documents");
    script.text.resize(end + 1);
    std::erase_if(script.cuts, [&](const Cut& cut) { return cut.end > script.text.size(); });
    read(script, callbacks);
  } catch (const Error&) {
    waiting_.pop_back();
    throw;
  }
}

ChatSession::Answer ChatSession::answer(const GenerationOptions& options, const Callbacks& callbacks) {
  const std::vector<int> path = conversation_.path();
  if (path.empty() || conversation_.nodes()[static_cast<size_t>(path.back())].role != Role::kUser) {
    throw Error(ErrorKind::kUsage, "there is nothing to answer");
  }
  const auto start = std::chrono::steady_clock::now();
  std::string text = prompt_text();
  const Reading reading = read_path(callbacks);
  Answer answer;
  answer.read_seconds = seconds_since(start);
  answer.read = reading.read;
  answer.reused = reading.reused;
  GenerationOptions with_stops = options;
  const std::vector<std::string>& stops = parts_.chat_template->stops();
  with_stops.stops.insert(with_stops.stops.end(), stops.begin(), stops.end());
  Snapshot snapshot = *reading.snapshot;
  const std::string opening = parts_.chat_template->opening();
  if (callbacks.text && !opening.empty()) callbacks.text(opening);
  answer.generation =
      generate(*parts_.runner, *parts_.vocabulary, snapshot, with_stops, callbacks.text, callbacks.cancel_answer, reading.ids);
  answer.text = trimmed(opening + answer.generation.text);
  conversation_.append({.role = Role::kAssistant, .text = answer.text, .answer_ids = answer.generation.tokens});
  for (const int32_t id : answer.generation.tokens) text += parts_.vocabulary->bytes(id);
  if (!answer.generation.tokens.empty()) keep(text, text.size(), std::make_shared<const Snapshot>(std::move(snapshot)));
  return answer;
}

ChatSession::Answer ChatSession::answer_again(const GenerationOptions& options, const Callbacks& callbacks) {
  const std::vector<int> path = conversation_.path();
  if (path.empty()) throw Error(ErrorKind::kUsage, "there is nothing to answer");
  const MessageNode& last = conversation_.nodes()[static_cast<size_t>(path.back())];
  if (last.role != Role::kAssistant) return answer(options, callbacks);
  const Conversation before = conversation_;
  conversation_.move_to(last.parent);
  try {
    return answer(options, callbacks);
  } catch (const Error&) {
    conversation_ = before;
    throw;
  }
}

bool ChatSession::undo() {
  const auto at_question = [&] {
    const int node = conversation_.current();
    return node != Conversation::kRoot && conversation_.nodes()[static_cast<size_t>(node)].role == Role::kUser;
  };
  if (!conversation_.undo()) return false;
  while (at_question() && conversation_.undo()) {
  }
  return true;
}

bool ChatSession::redo() {
  const auto at_question = [&] {
    const int node = conversation_.current();
    return node != Conversation::kRoot && conversation_.nodes()[static_cast<size_t>(node)].role == Role::kUser;
  };
  if (!conversation_.redo()) return false;
  while (at_question() && conversation_.redo()) {
  }
  return true;
}

}  // namespace linea
