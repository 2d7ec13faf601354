// app/engine/mailbox.h: a list of messages that many threads post to and one thread takes, without a lock on either side.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

namespace linea {

template <class T> class Mailbox {
 public:
  Mailbox() = default;
  ~Mailbox() { take_all(); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void post(T value) {
    Node* node = new Node{std::move(value), newest_.load(std::memory_order_relaxed)};
    while (!newest_.compare_exchange_weak(node->older, node, std::memory_order_release, std::memory_order_relaxed)) {
    }
    posted_.fetch_add(1, std::memory_order_release);
    posted_.notify_one();
  }

  // Oldest first; empty when nothing was posted.
  std::vector<T> take_all() {
    std::vector<T> values;
    for (Node* node = newest_.exchange(nullptr, std::memory_order_acquire); node;) {
      values.push_back(std::move(node->value));
      delete std::exchange(node, node->older);
    }
    std::reverse(values.begin(), values.end());
    return values;
  }

  // As take_all, but sleeps until there is something. One thread may call it.
  std::vector<T> wait() {
    for (;;) {
      const uint32_t seen = posted_.load(std::memory_order_acquire);
      std::vector<T> values = take_all();
      if (!values.empty()) return values;
      posted_.wait(seen, std::memory_order_acquire);
    }
  }

 private:
  struct Node {
    T value;
    Node* older;
  };
  std::atomic<Node*> newest_{nullptr};
  std::atomic<uint32_t> posted_{0};
};

}  // namespace linea
