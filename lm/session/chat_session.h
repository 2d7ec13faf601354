// lm/session/chat_session.h: a conversation with a model.
//
// What the model reads is the chat template's text of the current path. The longest beginning of it that was read before (by this session
// or another one on the same cache) is taken from the cache, the rest is read, and snapshots are kept at the ends of messages: so an
// answer, a branch, an edit or an undo costs what is new, wherever it happens. Texts are tokenised from boundary to boundary, and answers
// are read again as the tokens that were drawn, so that reading again gives the same state as having gone on.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/progress.h"
#include "lm/session/conversation.h"
#include "lm/session/generation.h"
#include "lm/session/prefix_cache.h"

namespace linea {

class ChatSession {
 public:
  // All of them outlive the session. `model_hash` identifies the weights.
  struct Parts {
    Runner* runner;
    const Vocabulary* vocabulary;
    const ChatTemplate* chat_template;
    PrefixCache* cache;
    std::string model_hash;
  };
  explicit ChatSession(Parts parts) : parts_(std::move(parts)) {}

  Conversation& conversation() { return conversation_; }
  const Conversation& conversation() const { return conversation_; }

  // Adds what the user says; the documents of read_document come before it. Throws kUsage when it is empty.
  void say(const std::string& text, bool twice = false);

  struct Callbacks {
    std::function<void(const std::string& text)> text{};
    ProgressCallback progress{};  // "read", in tokens
    CancelToken cancel_reading{}, cancel_answer{};
  };
  struct Answer {
    Generation generation;
    std::string text;              // the message: trimmed
    int64_t read = 0, reused = 0;  // tokens of the conversation before the answer
    double read_seconds = 0;
  };
  // Answers the current path, which must not end in an answer, and moves to the new message. A cancelled answer is kept as far as it
  // came. Throws kCancelled when reading was cancelled; nothing has changed then.
  Answer answer(const GenerationOptions& options, const Callbacks& callbacks);
  // Another answer to the same message: a branch. Throws kUsage when there is none yet.
  Answer answer_again(const GenerationOptions& options, const Callbacks& callbacks);

  // Back before the last question and its answer, or another change, and forward again. False when there is nothing.
  bool undo();
  bool redo();

  // Reads a file as the beginning of the user's next message.
  void read_document(const Document& document, const Callbacks& callbacks);
  const std::vector<Document>& documents_waiting() const { return waiting_; }
  void drop_documents() { waiting_.clear(); }

  // Reads the current path, without answering. Returns the snapshot and how many tokens were read for it.
  struct Reading {
    std::shared_ptr<const Snapshot> snapshot;
    int64_t read = 0, reused = 0;
    std::vector<int32_t> ids{};  // those that were read, but for documents
  };
  Reading read_path(const Callbacks& callbacks);

  // The whole conversation with the snapshots that are still kept, newest first, up to `most_bytes` of them.
  void save(const std::filesystem::path& file, int64_t most_bytes) const;
  // Replaces the conversation. Throws kBadFile (also for a file of another model, or states that do not fit); nothing has changed then.
  void load(const std::filesystem::path& file);

  std::string prompt_text() const;  // what read_path reads, documents as marks

 private:
  struct Cut {
    size_t end;                     // in the text
    std::vector<int32_t> answer{};  // the tokens of an answer that ends here
  };
  // What the model reads for a path: the template's text, in which generated answers stand as they were drawn.
  struct Script {
    std::string text;
    std::vector<Cut> cuts;  // in order, the last at the end
  };
  std::string content_of(const MessageNode& node) const;
  Script script_of(const std::vector<MessageNode>& path) const;
  void add_answer(const MessageNode& node, const std::string& prompt, const std::string& with_answer, Script& script) const;
  std::vector<MessageNode> current_path() const;
  Reading read(const Script& script, const Callbacks& callbacks);
  void keep(const std::string& text, size_t end, PrefixCache::SnapshotPtr snapshot);
  const Document& document_of(const std::string& hash) const;

  Parts parts_;
  Conversation conversation_;
  std::vector<Document> waiting_;
  std::vector<PrefixKey> kept_;  // of this conversation's snapshots, the newest last
};

}  // namespace linea
