#include "core/safetensors.h"

#include <cstring>
#include <limits>

#include "tests/core/fixtures.h"
#include "tests/support/compare.h"

namespace linea {
namespace {

using test::expect_error;
using test::TemporaryFolder;
using test::write_bytes;

// A file from its header text and data, with a true length unless another is given.
std::string container(const std::string& header, const std::string& data, std::optional<uint64_t> length = {}) {
  const uint64_t bytes = length.value_or(header.size());
  std::string file(8, '\0');
  std::memcpy(file.data(), &bytes, 8);
  return file + header + data;
}

class Safetensors : public testing::Test {
 protected:
  void expect_refused(const std::string& file, const std::string& message) {
    write_bytes(folder_ / "m.safetensors", file);
    expect_error(ErrorKind::kModel, message, [&] { SafetensorsFile(folder_ / "m.safetensors"); });
    expect_error(ErrorKind::kModel, "m.safetensors", [&] { SafetensorsFile(folder_ / "m.safetensors"); });
  }
  // One tensor "t" with the given entry over four bytes of data.
  void expect_entry_refused(const std::string& entry, const std::string& message) {
    expect_refused(container("{\"t\":" + entry + "}", "abcd"), message);
    expect_refused(container("{\"t\":" + entry + "}", "abcd"), "m.safetensors: tensor t: ");
  }
  SafetensorsFile open(const std::string& file) {
    write_bytes(folder_ / "m.safetensors", file);
    return SafetensorsFile(folder_ / "m.safetensors");
  }

  TemporaryFolder folder_;
};

TEST_F(Safetensors, RoundTripsEveryType) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const DType type : {DType::kBool, DType::kU8, DType::kI8, DType::kF8E4M3, DType::kF8E5M2, DType::kI16, DType::kF16, DType::kBF16,
                           DType::kI32, DType::kF32, DType::kI64, DType::kF64}) {
    Tensor t({3, 5}, type);
    for (int64_t i = 0; i < t.bytes(); ++i) static_cast<char*>(t.raw())[i] = static_cast<char>(i * 7);
    tensors.emplace_back(std::string(name_of(type)), t);
  }
  tensors.emplace_back("scalar", test::random_tensor({}, 1));
  tensors.emplace_back("empty", Tensor({0, 4}, DType::kF32));
  tensors.emplace_back("six", test::random_tensor({1, 2, 1, 2, 1, 2}, 2));
  write_safetensors(folder_ / "m.safetensors", tensors, {{"format", "pt"}, {"note", "é\n"}});
  EXPECT_EQ(folder_.entries(), 1);

  const SafetensorsFile file(folder_ / "m.safetensors");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "é\n"}}));
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(test::same_bits(file.tensors().at(name), tensor)) << name;
    EXPECT_TRUE(file.tensors().at(name).defined());
  }
}

TEST_F(Safetensors, TensorsOutliveTheFile) {
  const Tensor value = test::random_tensor({100}, 3);
  write_safetensors(folder_ / "m.safetensors", {{"a", value}});
  const Tensor kept = SafetensorsFile(folder_ / "m.safetensors").tensors().at("a");
  EXPECT_TRUE(test::same_bits(kept, value));
}

TEST_F(Safetensors, WritesTheSameBytesAgain) {
  const std::vector<std::pair<std::string, Tensor>> tensors{{"b", test::random_tensor({7}, 1)},
                                                            {"a", test::random_tensor({3}, 2, DType::kBF16)}};
  write_safetensors(folder_ / "1", tensors);
  write_safetensors(folder_ / "2", tensors);
  EXPECT_EQ(test::read_bytes(folder_ / "1"), test::read_bytes(folder_ / "2"));
}

TEST_F(Safetensors, UnalignedDataIsCopied) {
  float value = 1.5f;
  std::string data = "x" + std::string(reinterpret_cast<const char*>(&value), 4);
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  for (int padding = 0; padding < 8; ++padding) {
    const SafetensorsFile file = open(container(header + std::string(static_cast<size_t>(padding), ' '), data));
    const Tensor& t = file.tensors().at("t");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 4, 0u);
    EXPECT_EQ(*t.data<float>(), 1.5f);
  }
}

TEST_F(Safetensors, AcceptsUnknownFieldsAndAnEmptyFile) {
  EXPECT_EQ(open(container(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"more":1}})", "abcd")).tensors().size(), 1u);
  EXPECT_TRUE(open(container("{}", "")).tensors().empty());
  EXPECT_EQ(open(container(R"({"t":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "abcd")).tensors().at("t").rank(), 0);
}

TEST_F(Safetensors, RefusesOtherFiles) {
  expect_refused("", "is empty, expected a safetensors file");
  expect_refused("abc", "is not a safetensors file: it has only 3 bytes");
  expect_refused("\x89PNG\r\n\x1a\n0123456789", "is not a safetensors file");
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer");
  expect_refused(container("[1]", ""), "is not a safetensors file");
  expect_refused(container("{}", "", uint64_t{1} << 63), "is not a safetensors file");
  expect_refused(container("{}", "", std::numeric_limits<uint64_t>::max()), "is not a safetensors file");
  expect_refused(container("{}", "", 100'000'001), "is not a safetensors file");
  expect_refused(container("{}", "", 0), "is not a safetensors file");
  expect_refused(container("{}", "", 3), "is cut short: its header needs 3 bytes");
  expect_error(ErrorKind::kModel, "is a folder", [&] { SafetensorsFile(folder_.path()); });
  expect_error(ErrorKind::kModel, "cannot open", [&] { SafetensorsFile(folder_ / "absent"); });
}

TEST_F(Safetensors, RefusesBadHeaders) {
  expect_refused(container("{\"t\":}", ""), "safetensors header: line 1, column 6");
  expect_refused(container("{\"t\":1}", ""), "tensor t: its header entry is not an object");
  expect_refused(container(R"({"__metadata__":{"a":1}})", ""), "__metadata__: a is not a string");
  expect_refused(container(R"({"__metadata__":[]})", ""), "__metadata__ is not an object");
  const std::string entry = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  expect_refused(container("{\"t\":" + entry + ",\"t\":" + entry + "}", "abcd"), "key \"t\" appears twice");
  expect_refused(container("{}" + std::string(1, '\0'), ""), "safetensors header: byte 2 is NUL");
  expect_refused(container("{\"t\":" + std::string(500, '['), ""), "nested deeper");
}

TEST_F(Safetensors, RefusesBadEntries) {
  expect_entry_refused(R"({"shape":[4],"data_offsets":[0,4]})", "dtype is missing");
  expect_entry_refused(R"({"dtype":"U8","data_offsets":[0,4]})", "shape is missing");
  expect_entry_refused(R"({"dtype":"U8","shape":[4]})", "data_offsets is missing");
  expect_entry_refused(R"({"dtype":"F4","shape":[4],"data_offsets":[0,4]})", "unsupported dtype \"F4\"");
  expect_entry_refused(R"({"dtype":7,"shape":[4],"data_offsets":[0,4]})", "dtype is not a string");
  expect_entry_refused(R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})", "shape is not a list");
  expect_entry_refused(R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", "non-negative integers");
  expect_entry_refused(R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})", "non-negative integers");
  expect_entry_refused(R"({"dtype":"U8","shape":[1,1,1,1,1,1,4],"data_offsets":[0,4]})", "has 7 dimensions, at most 6");
  expect_entry_refused(R"({"dtype":"U8","shape":[4],"data_offsets":[0]})", "data_offsets are not two");
  expect_entry_refused(R"({"dtype":"U8","shape":[4],"data_offsets":[-1,3]})", "data_offsets are not two");
  expect_entry_refused(R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})", "end before they begin");
  expect_entry_refused(R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})", "reach beyond the file, which has 4 bytes of data");
  expect_entry_refused(R"({"dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,18446744073709551615]})", "reach beyond");
  expect_entry_refused(R"({"dtype":"U8","shape":[3],"data_offsets":[0,4]})", "[3] u8 needs 3 bytes, data_offsets [0, 4) give 4");
  expect_entry_refused(R"({"dtype":"F64","shape":[1],"data_offsets":[0,4]})", "needs 8 bytes");
}

TEST_F(Safetensors, RefusesOverflowingShapes) {
  expect_entry_refused(R"({"dtype":"U8","shape":[4294967296,4294967296,1],"data_offsets":[0,4]})", "overflows 63 bits");
  expect_entry_refused(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})", "overflows 63 bits");
  expect_entry_refused(R"({"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4]})", "overflows 63 bits");
  expect_entry_refused(R"({"dtype":"U8","shape":[0,9223372036854775807,2],"data_offsets":[0,0]})", "overflows 63 bits");
}

TEST_F(Safetensors, RefusesOverlapsHolesAndLeftovers) {
  const auto two = [](const std::string& first, const std::string& second) {
    const auto entry = [](const std::string& range) { return R"({"dtype":"U8","shape":[2],"data_offsets":)" + range + "}"; };
    return container("{\"a\":" + entry(first) + ",\"b\":" + entry(second) + "}", "abcdef");
  };
  expect_refused(two("[0,2]", "[1,3]"), "tensor b: overlaps the tensor before it");
  expect_refused(two("[0,2]", "[0,2]"), "overlaps");
  expect_refused(two("[0,2]", "[4,6]"), "tensor b: leaves a hole of 2 bytes before data offset 4");
  expect_refused(two("[2,4]", "[4,6]"), "tensor a: leaves a hole of 2 bytes before data offset 2");
  expect_refused(two("[0,2]", "[2,4]"), "has 6 bytes of data, its tensors use 4");
}

TEST_F(Safetensors, EveryTruncationIsRefused) {
  write_safetensors(folder_ / "whole", {{"a", test::random_tensor({5}, 1)}, {"b", test::random_tensor({3}, 2, DType::kF16)}});
  const std::string whole = test::read_bytes(folder_ / "whole");
  for (size_t size = 0; size < whole.size(); ++size) {
    write_bytes(folder_ / "cut", whole.substr(0, size));
    EXPECT_THROW(SafetensorsFile(folder_ / "cut"), Error) << size;
  }
}

TEST_F(Safetensors, HostileNamesStayOnOneLine) {
  expect_refused(container("{\"a\\nb" + std::string(5000, 'x') + "\":1}", ""), "tensor a\\x0abxxx");
  write_bytes(folder_ / "m.safetensors", container("{\"" + std::string(5000, 'x') + "\":1}", ""));
  const auto error = test::error_of([&] { SafetensorsFile(folder_ / "m.safetensors"); });
  ASSERT_TRUE(error);
  EXPECT_LT(std::strlen(error->what()), 400u);
}

}  // namespace
}  // namespace linea
