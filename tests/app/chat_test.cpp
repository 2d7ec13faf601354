// linea chat, complete and perplexity as their users meet them, with a small random model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/json.h"
#include "core/safetensors.h"
#include "tests/app/process.h"
#include "tests/support/compare.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// A random RWKV-7 with rows for every byte, which the World tokenizer needs, and for a few words.
class Chat : public testing::Test {
 protected:
  Chat() {
    fs::create_directory(work_ / "lm");
    write_model(work_ / "lm/model.safetensors");
    std::ofstream vocabulary(work_ / "lm/rwkv_vocab.txt");
    for (int byte = 0; byte < 256; ++byte) {
      char line[32];
      std::snprintf(line, sizeof line, "%d b'\\x%02x' 1\n", byte + 1, static_cast<unsigned>(byte));
      vocabulary << line;
    }
    vocabulary << "257 'User' 4\n258 'Assistant' 9\n259 '\\n\\n' 2\n260 ' the' 4\n261 '\\\":' 2\n262 '\\\",' 2\n";
  }

  // The golden RWKV-7 with embedding and head widened to 264 rows of reproducible noise.
  static void write_model(const fs::path& file) {
    constexpr int64_t kRows = 264;
    std::vector<std::pair<std::string, Tensor>> tensors;
    const SafetensorsFile golden(test::data_path("lm/rwkv7/model.safetensors"));
    for (const auto& [name, tensor] : golden.tensors()) {
      const bool widen = name == "emb.weight" || name == "head.weight";
      tensors.emplace_back(name, widen ? test::random_tensor({kRows, tensor.dim(1)}, name.size(), DType::kBF16, 0.3f) : tensor);
    }
    write_safetensors(file, tensors);
  }

  Outcome run(std::vector<std::string> arguments, const std::string& input = {}) {
    arguments.insert(arguments.begin() + 1, {"--model", work_ / "lm", "--dtype", "fp32", "--threads", "1"});
    return test::run(work_, arguments, input);
  }
  Outcome chat(std::vector<std::string> more, const std::string& input = {}) {
    more.insert(more.begin(), {"chat", "--seed", "3", "-n", "12"});
    return run(more, input);
  }
  // Started, with an answer that only a signal ends: the letter 'a' outweighs whatever would stop it. Returns when some of it is there.
  test::Process start_endless_chat(std::vector<std::string> more, const std::string& input = {}) {
    const std::string prefer_a = std::to_string('a' + 1) + ":1000000";
    more.insert(more.begin(),
                {"chat", "--model", work_ / "lm", "--dtype", "fp32", "--threads", "1", "-n", "100000000", "--bias", prefer_a});
    fs::remove(work_ / "stdout");
    test::Process process(work_, more, input);
    const auto answers = [&] { return test::read_file(work_ / "stdout").starts_with("aaaaaaaaaa"); };
    for (int i = 0; i < 12000 && !answers() && !process.ended(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(answers()) << test::read_file(work_ / "stderr");
    EXPECT_FALSE(process.ended());
    return process;
  }
  void expect_refused(const Outcome& outcome, int status, const std::string& part) {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(StartsWith("linea: "), HasSubstr(part)));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }

  test::Workspace work_;
};

TEST_F(Chat, OneMessageGetsOneAnswer) {
  const Outcome a = chat({"-p", "Hi"}), b = chat({}, "Hi\n"), json = chat({"-p", "Hi", "--json"});
  ASSERT_EQ(a.status, 0) << a.err;
  EXPECT_GT(a.out.size(), 1u);
  EXPECT_EQ(a.out, b.out);
  ASSERT_EQ(json.status, 0) << json.err;
  const Json answer = parse_json(json.out, "answer");
  EXPECT_EQ(answer.at("tokens"), 12);
  EXPECT_EQ(answer.at("end"), "length");
  EXPECT_EQ(answer.at("read_tokens"), 8);  // "User" ":" " " "H" "i" "\n\n" "Assistant" ":"
}

TEST_F(Chat, AnswersFollowASchema) {
  const std::string schema =
      R"({"type":"object","properties":{"n":{"type":"integer","minimum":3,"maximum":5},"s":{"type":"string","maxLength":4}},"required":["n","s"]})";
  const Outcome outcome = run({"chat", "--seed", "3", "-p", "Hi", "-n", "100", "--json-schema", schema});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json value = parse_json(outcome.out, "answer");
  EXPECT_GE(value.at("n").get<int>(), 3);
  const Outcome grammar = chat({"-p", "Hi", "--grammar", "root ::= \"yes\" | \"no\""});
  EXPECT_THAT(grammar.out, testing::AnyOf("yes\n", "no\n"));
}

TEST_F(Chat, ConversationsLiveInFiles) {
  const std::string state = work_ / "talk.linea";
  ASSERT_EQ(chat({"-p", "Hi", "--state", state, "--system", "Be kind."}).status, 0);
  const Outcome second = chat({"-p", "And you?", "--state", state, "--json"});
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_GT(parse_json(second.out, "answer").at("kept_tokens").get<int>(), 20);
  const Outcome list = chat({"-i", "--state", state}, "/list\n/undo\n/list\n/redo\n/list\n");
  ASSERT_EQ(list.status, 0) << list.err;
  EXPECT_THAT(list.out, StartsWith("1 system: Be kind.\n2 user: Hi\n3 assistant: "));
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 5 + 3 + 5);
}

TEST_F(Chat, CommandsOfTheConversation) {
  std::ofstream(work_ / "book.txt") << "A long story.\n\nIt ends.\n";
  const std::string script = "Hi\\\nthere\n/regen\n/list\n/edit 1 Ho\n/branch 0\n/read " + (work_ / "book.txt").string() +
                             "\n\"\"\"\nWhat\nis it?\n\"\"\"\n/system Be brief.\n/list\n/stats\n/save " + (work_ / "saved").string() +
                             "\n/help\n";
  const Outcome outcome = chat({"-i"}, script);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("1 user: Hi there"), HasSubstr("(2 branches here)"), HasSubstr("1 system: Be brief."),
                                 HasSubstr("book.txt] What is it?"), HasSubstr("/regen")));
  EXPECT_THAT(outcome.err, HasSubstr("taken from kept states"));
  const Outcome loaded = chat({"-i"}, "/load " + (work_ / "saved").string() + "\n");
  EXPECT_THAT(loaded.out, StartsWith("1 system: Be brief."));
}

TEST_F(Chat, MistakesInCommandsDoNotEndTheConversation) {
  const Outcome outcome = chat({"-i"}, "/regne\n/edit 9 x\n/load nowhere\n/read nowhere\n/branch x\n/regen\n/undo\n/quit\nnever said\n");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("did you mean /regen?"), HasSubstr("message number"), HasSubstr("nowhere"),
                                 HasSubstr("nothing to answer"), HasSubstr("nothing to undo")));
}

TEST_F(Chat, MistakesGetOneLine) {
  expect_refused(chat({"-p", " "}), 2, "the message is empty");
  expect_refused(chat({"-p", "Hi", "--top-p", "2"}), 2, "--top-p");
  expect_refused(chat({"-p", "Hi", "--preset", "rwvk"}), 2, "did you mean 'rwkv'?");
  expect_refused(chat({"-p", "Hi", "--template", "chatlm"}), 2, "did you mean 'chatml'?");
  expect_refused(chat({"-p", "Hi", "--bias", "3"}), 2, "--bias");
  expect_refused(chat({"-p", "Hi", "--stop", ""}), 2, "--stop");
  expect_refused(chat({"-p", "Hi", "--bias", "99999999:ban"}), 2, "--bias: '99999999:ban': the model's tokens are 0 to ");
  expect_refused(chat({"-p", "caf\xe9"}), 2, "the message is not UTF-8");
  expect_refused(chat({"-p", "Hi", "--system", "\xff"}), 2, "--system is not UTF-8");
  expect_refused(chat({"-p", "Hi", "--grammar", "root ::= x"}), 2, "rule 'x' is not defined");
  expect_refused(chat({"-p", "Hi", "--json-schema", "{\"type\":\"text\"}"}), 2, "unknown type");
  expect_refused(chat({"-p", "Hi", "--grammar", "x ::= \"a\"", "--json-value"}), 2, "exclude each other");
  expect_refused(chat({"-p", "Hi", "--read", "nowhere.txt"}), 2, "nowhere.txt: no such file");
  expect_refused(chat({"-p", "Hi", "--state", work_ / "nowhere/talk"}), 2, "nowhere");
  std::ofstream(work_ / "broken") << "no state";
  expect_refused(chat({"-p", "Hi", "--state", work_ / "broken"}), 2, "broken");
  expect_refused(test::run(work_, {"chat", "-p", "Hi", "--model", "nowhere"}), 5, "nowhere");
  expect_refused(run({"complete", ""}), 2, "the text is empty");
  expect_refused(run({"complete", "\xff\xfe"}), 2, "the text is not UTF-8");
  expect_refused(run({"complete", "a", "--bias", "99999999:ban"}), 2, "--bias");
  expect_refused(test::run(work_, {"complete", "a", "--model", test::data_path("lm/rwkv7")}), 5, "no tokenizer");
}

TEST_F(Chat, CompleteGoesOn) {
  const Outcome a = run({"complete", "the the", "-n", "9", "--preset", "greedy", "--json"}),
                b = run({"complete", "-", "-n", "9", "--preset", "greedy"}, "the the");
  ASSERT_EQ(a.status, 0) << a.err;
  EXPECT_EQ(parse_json(a.out, "answer").at("text").get<std::string>() + "\n", b.out);
  EXPECT_THAT(run({"complete", "the the", "-n", "2", "--echo"}).out, StartsWith("the the"));
}

// The logits of the reference, through the program.
TEST_F(Chat, PerplexityOfTokensAndItsTrace) {
  const test::Golden golden("lm/rwkv7/golden.safetensors");
  const Tensor ids = golden["ids"], logits = golden["logits"];
  Json list = Json::array();
  for (int64_t i = 0; i < ids.elements(); ++i) list.push_back(ids.data<int32_t>()[i]);
  std::ofstream(work_ / "ids.json") << list;
  const Outcome outcome = test::run(work_, {"perplexity", work_ / "ids.json", "--tokens", "--json", "--dtype", "fp32", "--trace",
                                            work_ / "trace", "--model", test::data_path("lm/rwkv7")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const SafetensorsFile trace(work_ / "trace/trace.safetensors");
  EXPECT_LE(test::relative_l2(trace.tensors().at("logits"), logits), 1e-4);
  double loss = 0;
  const int64_t V = logits.dim(1), T = logits.dim(0);
  for (int64_t t = 0; t + 1 < T; ++t) {
    double sum = 0;
    for (int64_t v = 0; v < V; ++v) sum += std::exp(static_cast<double>(logits.data<float>()[t * V + v]));
    loss += std::log(sum) - static_cast<double>(logits.data<float>()[t * V + ids.data<int32_t>()[t + 1]]);
  }
  const Json result = parse_json(outcome.out, "result");
  EXPECT_EQ(result.at("scored_tokens"), T - 1);
  EXPECT_NEAR(result.at("loss").get<double>(), loss / static_cast<double>(T - 1), 1e-5);
  std::ofstream(work_ / "bad.json") << "[1, 61]";
  expect_refused(test::run(work_, {"perplexity", work_ / "bad.json", "--tokens", "--model", test::data_path("lm/rwkv7")}), 2,
                 "entry 1 is no token id");
}

TEST_F(Chat, PerplexityOfText) {
  std::ofstream(work_ / "text.txt") << "the the the end";
  const Outcome outcome = run({"perplexity", work_ / "text.txt", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json result = parse_json(outcome.out, "result");
  EXPECT_EQ(result.at("words"), 4);
  EXPECT_GT(result.at("perplexity").get<double>(), 1);
}

// Ctrl-C stops the answer; what was said so far is kept, and a conversation goes on.
TEST_F(Chat, InterruptStopsTheAnswer) {
  const std::string state = work_ / "talk.linea";
  test::Process process = start_endless_chat({"--state", state, "-i"}, "Hi\n/list\n");
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("a\n1 user: Hi\n2 assistant: a"));
  EXPECT_TRUE(fs::exists(state));
}

// The line break that closes the answer shows that the program ended by itself, and not by the signal.
TEST_F(Chat, OneShotSignalsHaveTheirStatus) {
  for (const auto& [number, status] : {std::pair(SIGINT, 130), std::pair(SIGTERM, 143)}) {
    test::Process process = start_endless_chat({"-p", "Hi"});
    process.signal(number);
    const Outcome outcome = process.wait();
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_THAT(outcome.out, testing::EndsWith("a\n"));
  }
}

// On a terminal Ctrl-C drops what is being written, and ends the chat only where it is typed twice on an empty line.
TEST_F(Chat, ControlCAtThePromptDropsTheLine) {
  const std::string folder = work_ / "lm", data = work_ / "data";
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (pid == 0) {
    setenv("XDG_DATA_HOME", data.c_str(), 1);
    execl(LINEA_PROGRAM, LINEA_PROGRAM, "chat", "--model", folder.c_str(), "--dtype", "fp32", "--threads", "1", "-n", "3", nullptr);
    _exit(127);
  }
  if (pid < 0) GTEST_SKIP() << "no pseudo-terminal: " << std::strerror(errno);
  std::string seen;
  // Reads until `text` stands in what came since the last call.
  const auto wait_for = [&](const std::string& text) {
    for (int i = 0; i < 600; ++i) {
      if (const size_t at = seen.find(text); at != std::string::npos) return seen.erase(0, at + text.size()), true;
      pollfd ready{terminal, POLLIN, 0};
      std::array<char, 4096> bytes{};
      if (poll(&ready, 1, 50) <= 0) continue;
      const ssize_t count = read(terminal, bytes.data(), bytes.size());
      if (count <= 0) return false;
      seen.append(bytes.data(), static_cast<size_t>(count));
    }
    return false;
  };
  const auto type = [&](const std::string& text) { ASSERT_EQ(write(terminal, text.data(), text.size()), std::ssize(text)); };
  EXPECT_TRUE(wait_for("> "));
  type("a draft");
  EXPECT_TRUE(wait_for("a draft"));
  type("\x03");
  EXPECT_TRUE(wait_for("^C\r\n> ")) << seen;
  type("/system gr\u00fc\u00df\r");
  EXPECT_TRUE(wait_for("> "));
  type("/list\r");
  EXPECT_TRUE(wait_for("1 system: gr\u00fc\u00df")) << seen;  // the draft is gone, and UTF-8 arrives
  EXPECT_TRUE(wait_for("> "));
  type("\x03");
  EXPECT_TRUE(wait_for("again")) << seen;
  EXPECT_TRUE(wait_for("> "));
  type("\x03");
  int status = -1;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  close(terminal);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace linea
