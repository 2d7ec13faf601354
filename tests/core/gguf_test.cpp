#include "core/gguf.h"

#include <cstring>
#include <limits>

#include "core/quantized.h"
#include "core/safetensors.h"
#include "tests/core/fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::expect_error;
using test::random_tensor;

template <class T> std::string raw(T value) { return std::string(reinterpret_cast<const char*>(&value), sizeof(T)); }
std::string text(const std::string& value) { return raw<uint64_t>(value.size()) + value; }

// The entry of a tensor, and a whole file made of entries.
std::string entry(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
  std::string result = text(name) + raw(static_cast<uint32_t>(ne.size()));
  for (const uint64_t n : ne) result += raw(n);
  return result + raw(type) + raw(offset);
}
std::string gguf(const std::vector<std::string>& pairs, const std::vector<std::string>& entries, const std::string& data,
                 size_t alignment = 32) {
  std::string file = "GGUF" + raw<uint32_t>(3) + raw<uint64_t>(entries.size()) + raw<uint64_t>(pairs.size());
  for (const std::string& pair : pairs) file += pair;
  for (const std::string& e : entries) file += e;
  file.resize((file.size() + alignment - 1) / alignment * alignment);
  return file + data;
}

class Gguf : public testing::Test {
 protected:
  GgufFile open(const std::string& file) {
    test::write_bytes(folder_ / "m.gguf", file);
    return GgufFile(folder_ / "m.gguf");
  }
  void expect_refused(const std::string& file, const std::string& message) {
    expect_error(ErrorKind::kModel, message, [&] { open(file); });
    expect_error(ErrorKind::kModel, "m.gguf: ", [&] { open(file); });
  }
  void expect_entry_refused(const std::string& e, const std::string& message, const std::string& data = std::string(64, 'x')) {
    expect_refused(gguf({}, {e}, data), message);
  }

  test::TemporaryFolder folder_;
};

TEST_F(Gguf, ReadsTheReferencesFile) {
  const GgufFile file(test::data_path("checkpoints/mixed.gguf"));
  EXPECT_EQ(file.text("general.architecture"), "test");
  EXPECT_EQ(file.text("test.string"), "é\n");
  EXPECT_EQ(file.integer("test.int64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(file.integer("test.int16"), -30000);
  EXPECT_EQ(file.integer("test.uint8"), 255);
  EXPECT_EQ(std::get<uint64_t>(file.metadata().at("test.uint64")), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file.number("test.float32"), 1.5);
  EXPECT_EQ(file.number("test.float64"), 1e-300);
  EXPECT_TRUE(file.boolean("test.bool"));
  EXPECT_EQ(file.texts("test.array.string"), (std::vector<std::string>{"a", "", "日本"}));
  EXPECT_EQ(std::get<std::vector<int32_t>>(file.metadata().at("test.array.int")), (std::vector<int32_t>{1, -2, 3}));
  EXPECT_EQ(std::get<std::vector<float>>(file.metadata().at("test.array.float")), (std::vector<float>{0.5f, -2.0f}));
  expect_error(ErrorKind::kModel, "mixed.gguf: key absent is missing", [&] { file.integer("absent"); });
  expect_error(ErrorKind::kModel, "key test.uint64 is not an integer of 64 bits", [&] { file.integer("test.uint64"); });
  expect_error(ErrorKind::kModel, "key test.string is not a number", [&] { file.number("test.string"); });
  expect_error(ErrorKind::kModel, "key test.bool is not an integer", [&] { file.integer("test.bool"); });
  expect_error(ErrorKind::kModel, "key test.bool is not a text", [&] { file.text("test.bool"); });

  const SafetensorsFile expected(test::data_path("checkpoints/gguf.safetensors"));
  ASSERT_EQ(file.tensors().size(), expected.tensors().size());
  for (const auto& [name, tensor] : expected.tensors()) {
    const Tensor& found = file.tensors().at(name);
    EXPECT_TRUE(test::same_bits(is_quantized(found.dtype()) ? dequantized(found, DType::kF32) : found.to(DType::kF32), tensor)) << name;
  }
}

TEST_F(Gguf, WritesTheReferencesBytes) {
  const std::string path = test::data_path("checkpoints/mixed.gguf");
  const GgufFile file(path);
  write_gguf(folder_ / "w.gguf", {file.metadata().begin(), file.metadata().end()}, {file.tensors().begin(), file.tensors().end()});
  EXPECT_EQ(test::read_bytes(folder_ / "w.gguf"), test::read_bytes(path));
  EXPECT_EQ(folder_.entries(), 1);
}

TEST_F(Gguf, RoundTripsEveryType) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const DType type :
       {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64, DType::kI32, DType::kI16, DType::kI8, DType::kQ4_0, DType::kQ4_1,
        DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    Tensor t({2, 3, 256}, type);
    for (int64_t i = 0; i < t.bytes(); ++i) static_cast<char*>(t.raw())[i] = static_cast<char>(i * 7);
    tensors.emplace_back(name_of(type), t);
  }
  tensors.emplace_back("scalar", random_tensor({}, 1));
  tensors.emplace_back("odd", random_tensor({3}, 2));
  tensors.emplace_back("empty", Tensor({0, 4}, DType::kF32));
  tensors.emplace_back("four", random_tensor({1, 2, 3, 4}, 3));
  const std::vector<std::pair<std::string, GgufValue>> metadata{{"a", uint8_t{1}},
                                                                {"b", int8_t{-1}},
                                                                {"c", uint16_t{2}},
                                                                {"d", int16_t{-2}},
                                                                {"e", uint32_t{3}},
                                                                {"f", int32_t{-3}},
                                                                {"g", 0.5f},
                                                                {"h", true},
                                                                {"i", std::string("x")},
                                                                {"j", uint64_t{4}},
                                                                {"k", int64_t{-4}},
                                                                {"l", 0.25},
                                                                {"m", std::vector<uint8_t>{1, 2}},
                                                                {"n", std::vector<int8_t>{-1}},
                                                                {"o", std::vector<uint16_t>{5}},
                                                                {"p", std::vector<int16_t>{}},
                                                                {"q", std::vector<uint32_t>{6, 7}},
                                                                {"r", std::vector<int32_t>{-6}},
                                                                {"s", std::vector<float>{1.5f}},
                                                                {"t", std::vector<bool>{true, false}},
                                                                {"u", std::vector<std::string>{"", "y"}},
                                                                {"v", std::vector<uint64_t>{8}},
                                                                {"w", std::vector<int64_t>{-8}},
                                                                {"x", std::vector<double>{2.5}}};
  write_gguf(folder_ / "1", metadata, tensors);
  write_gguf(folder_ / "2", metadata, tensors);
  EXPECT_EQ(test::read_bytes(folder_ / "1"), test::read_bytes(folder_ / "2"));
  const GgufFile file(folder_ / "1");
  EXPECT_EQ(file.metadata(), (std::map<std::string, GgufValue>(metadata.begin(), metadata.end())));
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(test::same_bits(file.tensors().at(name), tensor)) << name;
}

TEST_F(Gguf, ReadsVersion2AndOtherAlignments) {
  std::string file =
      gguf({text("general.alignment") + raw<uint32_t>(4) + raw<uint32_t>(64)}, {entry("t", {2, 3}, 0, 64)}, std::string(88, 'x'), 64);
  file[4] = 2;
  EXPECT_EQ(open(file).tensors().at("t").shape(), (Shape{3, 2}));
  EXPECT_TRUE(open(gguf({}, {}, "")).tensors().empty());
  EXPECT_EQ(
      open(gguf({text("general.alignment") + raw<uint32_t>(4) + raw<uint32_t>(1)}, {entry("t", {1}, 0, 1)}, "x1234", 1)).tensors().size(),
      1u);
}

TEST_F(Gguf, RefusesOtherFiles) {
  const auto version = [](uint32_t v) { return "GGUF" + raw(v) + std::string(16, '\0'); };
  expect_refused("", "is empty");
  expect_refused("junk", "is not a GGUF file");
  expect_refused("PK\x03\x04 and more", "is not a GGUF file");
  expect_refused(version(1), "GGUF version 1, which is not supported");
  expect_refused(version(0x03000000), "big-endian");
  expect_refused(version(4), "GGUF version 4, 2 and 3 are supported");
  expect_refused(version(3).substr(0, 15), "is cut short");
}

TEST_F(Gguf, RefusesDamagedMetadata) {
  const auto pair = [](uint32_t type, const std::string& value) { return text("k") + raw(type) + value; };
  const auto refused = [&](const std::string& p, const std::string& message) { expect_refused(gguf({p}, {}, ""), message); };
  refused(pair(13, "x"), "key k has the unknown type 13");
  refused(pair(7, "\x02"), "key k holds a truth value of 2");
  refused(pair(8, raw<uint64_t>(1 << 20)), "cut short");
  refused(pair(8, raw<uint64_t>(~0ull)), "a string of 18446744073709551615 bytes");
  refused(pair(9, raw<uint32_t>(9) + raw<uint64_t>(1)), "an array of arrays");
  refused(pair(9, raw<uint32_t>(99) + raw<uint64_t>(1)), "an array of the unknown type 99");
  refused(pair(9, raw<uint32_t>(0) + raw<uint64_t>(~0ull)), "an array of 18446744073709551615 elements");
  refused(pair(9, raw<uint32_t>(12) + raw<uint64_t>(1 << 24)), "more than fit into it");
  refused(pair(9, raw<uint32_t>(8) + raw<uint64_t>(1 << 24)), "more than fit into it");
  refused(text("general.alignment") + raw<uint32_t>(4) + raw<uint32_t>(0), "not a power of two");
  refused(text("general.alignment") + raw<uint32_t>(4) + raw<uint32_t>(48), "not a power of two");
  refused(text("general.alignment") + raw<uint32_t>(10) + raw<uint64_t>(32), "not a power of two");
  expect_refused(gguf({pair(0, "x"), pair(0, "x")}, {}, ""), "key k occurs twice");
  expect_refused("GGUF" + raw<uint32_t>(3) + raw<uint64_t>(1ull << 60) + raw<uint64_t>(0),
                 "holds 1152921504606846976 tensors, more than fit");
  expect_refused("GGUF" + raw<uint32_t>(3) + raw<uint64_t>(0) + raw<uint64_t>(1ull << 60), "holds 1152921504606846976 keys, more than fit");
}

TEST_F(Gguf, RefusesDamagedTensors) {
  EXPECT_EQ(open(gguf({}, {entry("t", {16}, 0, 0)}, std::string(64, 'x'))).tensors().size(), 1u);
  expect_entry_refused(entry("t", {17}, 0, 0), "tensor t: [17] f32 at offset 0 reaches beyond the file, which has 64 bytes");
  expect_entry_refused(entry("t", {16}, 0, 32), "reaches beyond the file");
  expect_entry_refused(entry("t", {1}, 0, ~0ull - 31), "reaches beyond the file");
  expect_entry_refused(entry("t", {1}, 0, 4), "its offset 4 is not a multiple of 32");
  expect_entry_refused(entry("", {1}, 0, 0), "a tensor has no name");
  expect_entry_refused(entry(std::string(300, 'n'), {1}, 0, 0), "a tensor's name of 300 bytes");
  expect_entry_refused(entry("t", {1, 1, 1, 1, 1}, 0, 0), "has 5 dimensions");
  expect_entry_refused(entry("t", {1}, 4, 0), "tensor t: type number 4 is not supported");
  expect_entry_refused(entry("t", {256}, 23, 0), "tensor t: type IQ4_XS is not supported");
  expect_entry_refused(entry("t", {1}, ~0u, 0), "is not supported");
  expect_entry_refused(entry("t", {33}, 8, 0), "its rows of 33 are not blocks of 32, as q8_0 needs");
  expect_entry_refused(entry("t", {}, 8, 0), "its rows of 1 are not blocks");
  expect_entry_refused(entry("t", {1ull << 40, 1ull << 40}, 0, 0), "its shape overflows 63 bits");
  expect_entry_refused(entry("t", {1ull << 62}, 28, 0), "its shape overflows 63 bits");
  expect_entry_refused(entry("t", {~0ull}, 0, 0), "its shape overflows 63 bits");
  expect_entry_refused(entry("t", {0, 1ull << 40, 1ull << 40}, 0, 0), "its shape overflows 63 bits");
  expect_refused(gguf({}, {entry("a", {16}, 0, 0), entry("b", {8}, 0, 32)}, std::string(64, 'x')),
                 "tensor b: overlaps tensor a at offset 32");
  expect_refused(gguf({}, {entry("a", {1}, 0, 0), entry("a", {1}, 0, 32)}, std::string(64, 'x')), "tensor a occurs twice");
}

TEST_F(Gguf, RefusesToWriteWhatTheFormatCannotHold) {
  const auto refused = [&](const std::vector<std::pair<std::string, GgufValue>>& metadata,
                           const std::vector<std::pair<std::string, Tensor>>& tensors, const std::string& message) {
    expect_error(ErrorKind::kModel, message, [&] { write_gguf(folder_ / "w", metadata, tensors); });
    EXPECT_EQ(folder_.entries(), 0);
  };
  refused({}, {{"t", Tensor({2}, DType::kBool)}}, "w: cannot write tensor t: GGUF has no type bool");
  refused({}, {{"t", random_tensor({1, 1, 1, 1, 1}, 1)}}, "it has 5 dimensions");
  refused({}, {{"t", random_tensor({1}, 1)}, {"t", random_tensor({1}, 1)}}, "tensor t twice");
  refused({}, {{std::string(300, 'n'), random_tensor({1}, 1)}}, "its name has 300 bytes");
  refused({{"k", 1.0f}, {"k", 1.0f}}, {}, "key k twice");
  refused({{"", 1.0f}}, {}, "a key of 0 bytes");
  refused({{"general.alignment", uint32_t{64}}}, {}, "general.alignment");
}

}  // namespace
}  // namespace linea
