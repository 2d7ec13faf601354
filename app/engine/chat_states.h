// app/engine/chat_states.h: the states of chats on the disk, so that a chat that is opened again goes on without reading.
//
// Each file holds a conversation up to one of its answers with the states there (ChatSession::save), and is named "CHAT-NUMBER.state" with
// numbers that grow. Old ones are thinned out: of a chat the newest stay and ever fewer of the older ones, so that a branch from anywhere
// has little to read. Everything here can be made again by reading: whatever is missing, damaged or of another model is only slower.
//
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lm/session/chat_session.h"

namespace linea {

class ChatStates {
 public:
  struct Limits {
    size_t files_a_chat = 24;
    int64_t bytes = int64_t{4} << 30;  // of all files; those unused for longest go first
  };
  explicit ChatStates(std::filesystem::path folder) : ChatStates(std::move(folder), Limits{}) {}
  ChatStates(std::filesystem::path folder, Limits limits) : folder_(std::move(folder)), limits_(limits) {}

  // Writes the session with its newest states, up to `most_bytes` of them, and returns the file's name. Throws kIo.
  std::string keep(int64_t chat, const ChatSession& session, int64_t most_bytes);
  // Puts the states of such a file into the session's cache (and its conversation into the session). False when it cannot be used.
  bool recall(const std::string& name, ChatSession& session) const;

 private:
  void thin_out(int64_t chat) const;
  void keep_within_limit() const;

  std::filesystem::path folder_;
  Limits limits_;
};

}  // namespace linea
