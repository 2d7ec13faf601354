#include "core/torch_checkpoint.h"

#include <cstring>

#include "core/safetensors.h"
#include "tests/core/fixtures.h"
#include "tests/core/torch_fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::expect_error;
using test::pickle_of;
using test::pickled;
using test::pickled_dict;
using test::TensorPickle;
using test::torch_file;
using test::zip_of;

TorchCheckpoint golden(const std::string& name) { return TorchCheckpoint(test::data_path("checkpoints/" + name)); }

class Torch : public testing::Test {
 protected:
  TorchCheckpoint open(const std::string& file) {
    test::write_bytes(folder_ / "m.pth", file);
    return TorchCheckpoint(folder_ / "m.pth");
  }
  void expect_refused(const std::string& file, const std::string& message) {
    expect_error(ErrorKind::kModel, message, [&] { open(file); });
    expect_error(ErrorKind::kModel, "m.pth: ", [&] { open(file); });
  }
  void expect_pickle_refused(const std::string& body, const std::string& message) { expect_refused(torch_file(pickle_of(body)), message); }
  void expect_tensor_refused(const TensorPickle& tensor, const std::string& message) {
    expect_pickle_refused(pickled_dict("t", pickled(tensor)), message);
    expect_pickle_refused(pickled_dict("t", pickled(tensor)), "m.pth: tensor t: ");
  }

  test::TemporaryFolder folder_;
};

TEST_F(Torch, ReadsEveryTypeAndStride) {
  const TorchCheckpoint file = golden("plain.pth");
  const SafetensorsFile expected(test::data_path("checkpoints/torch.safetensors"));
  EXPECT_EQ(file.tensors().size(), expected.tensors().size());
  EXPECT_TRUE(file.groups().empty());
  for (const auto& [name, tensor] : expected.tensors()) {
    ASSERT_TRUE(file.tensors().contains(name)) << name;
    EXPECT_TRUE(test::same_bits(file.tensors().at(name), tensor)) << name;
    EXPECT_TRUE(file.tensors().at(name).defined()) << name;
  }
}

TEST_F(Torch, ViewsTheFileWhereItCan) {
  const TorchCheckpoint file = golden("plain.pth");
  const auto distance = [&](const char* a, const char* b) {
    return static_cast<const char*>(file.tensors().at(a).raw()) - static_cast<const char*>(file.tensors().at(b).raw());
  };
  EXPECT_EQ(distance("rows", "f32"), 2 * 8 * 4);
  EXPECT_EQ(distance("odd", "f32"), 4);
}

TEST_F(Torch, TensorsOutliveTheFile) {
  const Tensor kept = golden("plain.pth").tensors().at("f32");
  EXPECT_TRUE(test::same_bits(kept, test::Golden("checkpoints/torch.safetensors")["f32"]));
}

TEST_F(Torch, ReadsAModulesStateDictionary) {
  const TorchCheckpoint file = golden("module.pth");
  EXPECT_EQ(file.tensors().at("0.weight").shape(), (Shape{2, 3}));
  EXPECT_EQ(file.tensors().at("1.num_batches_tracked").dtype(), DType::kI64);
  EXPECT_EQ(file.weights().size(), 7u);
}

TEST_F(Torch, ExposesGroups) {
  const TorchCheckpoint file = golden("nested.pth");
  EXPECT_EQ(file.groups(), (std::vector<std::string>{"optimizer", "state_dict"}));
  EXPECT_EQ(file.group("state_dict").size(), 2u);
  EXPECT_TRUE(file.group("optimizer").contains("state.0.step"));
  EXPECT_TRUE(file.weights().contains("a"));
  EXPECT_FALSE(file.weights().contains("state.0.step"));
  EXPECT_EQ(file.tensors().size(), 3u);
  EXPECT_TRUE(file.group("epoch").empty());
}

TEST_F(Torch, RefusesOtherFiles) {
  expect_error(ErrorKind::kModel, "old torch format (before 1.6)", [] { golden("legacy.pth"); });
  expect_error(ErrorKind::kModel, "member plain/data.pkl is compressed", [] { golden("compressed.pth"); });
  expect_refused(zip_of({{"a/data.pkl", "x"}, {"a/constants.pkl", "x"}}), "is a TorchScript program");
  expect_error(ErrorKind::kModel, "does not hold a dictionary", [] { golden("list.pth"); });
  expect_error(ErrorKind::kModel, "does not hold a dictionary", [] { golden("tensor.pth"); });
  expect_refused("", "is empty");
  expect_refused("\x80\x02}.", "is a bare pickle");
  expect_refused("junk", "is not a torch file");
  expect_refused("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer");
  expect_refused(zip_of({{"a/b", "c"}}), "is a zip file without data.pkl");
  expect_refused(zip_of({{"a/data.pkl", "x"}, {"b/data.pkl", "x"}}), "holds two pickles");
  expect_refused(zip_of({{"a/data.pkl", pickle_of("}")}, {"a/byteorder", "big"}}), "big-endian");
  expect_pickle_refused("}", "holds no tensors");
}

TEST_F(Torch, RefusesCodeByName) {
  expect_error(ErrorKind::kModel, "contains posix.system, which is not a tensor type; refused", [] { golden("hostile.pth"); });
  expect_error(ErrorKind::kModel, "contains torch.nn.modules.container.Sequential", [] { golden("whole_model.pth"); });
  expect_pickle_refused("cos\nsystem\n" + test::text("true") + "\x85R", "contains os.system, which is not a tensor type");
  expect_pickle_refused("c__builtin__\neval\n", "contains __builtin__.eval");
  expect_pickle_refused("ctorch\nload\n", "contains torch.load");
  expect_pickle_refused("c\n\n", "contains ., which");
  expect_pickle_refused("ctorch\nFloatStorage\n)R", "its pickle calls torch.FloatStorage; refused");
  expect_pickle_refused("ctorch\nfloat32\n)\x81", "its pickle calls torch.float32; refused");
  expect_pickle_refused("ccollections\nOrderedDict\n](\x85R", "damaged pickle");
  expect_pickle_refused("ccollections\nOrderedDict\n]\x85R", "OrderedDict with arguments");
  expect_pickle_refused("})R", "a call of something that is not a name");
  expect_pickle_refused("N}b", "attributes of something that has none");
}

TEST_F(Torch, RefusesOpcodesByName) {
  expect_pickle_refused(std::string("\x8c\x02os\x8c\x06system\x93", 13), "uses the opcode STACK_GLOBAL (0x93) at byte 14");
  expect_pickle_refused("(ios\nsystem\n", "opcode INST (0x69) at byte 3");
  expect_pickle_refused("(o", "opcode OBJ (0x6f)");
  expect_pickle_refused("\x82\x01", "opcode EXT1 (0x82)");
  expect_pickle_refused("\xff", "opcode unknown (0xff)");
  expect_refused(torch_file("\x80\x05}."), "pickle protocol 5 is not supported");
}

TEST_F(Torch, RefusesDamagedPickles) {
  expect_refused(torch_file(""), "damaged pickle: it ends before byte 0");
  for (const std::string body :
       {"q\x01", "h\x01", "t", "s", "}s", "u", "(s", "Q", "R", "b", "a", "e", "\x85", "\x86", "\x87", "NQ", "(.", "}(h"}) {
    expect_pickle_refused(body, "damaged pickle");
  }
  expect_pickle_refused("}r" + test::little<uint32_t>(0xffffffff), "a memo index out of range");
  expect_pickle_refused("X" + test::little<uint32_t>(0xffffffff), "a text of 4294967295 bytes");
  expect_pickle_refused("\x8a\xff", "an integer of 255 bytes");
  expect_pickle_refused("}(" + test::text("a") + "u", "the wrong thing on the stack");
}

TEST_F(Torch, BoundsDepthAndSize) {
  std::string deep, marks(100'000, '(');
  for (int i = 0; i < 10'000; ++i) deep += '}' + test::text("k");
  expect_pickle_refused(deep + pickled({}) + std::string(10'000, 's'), "nested more than 32 deep");
  expect_pickle_refused(marks, "nested more than 1000 deep");
  expect_pickle_refused(std::string(5'000'000, '}'), "holds more than 4000000 values");
  // Lists of lists of lists: each has ten references to the one before.
  std::string laughs = "]q" + std::string(1, '\0');
  for (char i = 0; i < 100; ++i) {
    laughs += "](";
    for (int n = 0; n < 10; ++n) laughs += std::string("h") + i;
    laughs += std::string("eq") + static_cast<char>(i + 1);
  }
  expect_pickle_refused(laughs, "does not hold a dictionary");
  // The same with dictionaries, which would be walked, and one that holds itself.
  std::string dicts = pickled_dict("t", pickled({})) + "q" + std::string(1, '\0');
  for (char i = 0; i < 20; ++i) {
    dicts += "}(";
    for (int n = 0; n < 10; ++n) dicts += test::text(std::to_string(n)) + "h" + i;
    dicts += std::string("uq") + static_cast<char>(i + 1);
  }
  expect_pickle_refused(dicts, "holds more than 1000000 tensors and dictionaries");
  expect_pickle_refused("}q\x01" + test::text("self") + "h\x01s", "nested more than 32 deep");
  expect_pickle_refused(std::string("]q\x01h\x01") + "a", "does not hold a dictionary");
}

TEST_F(Torch, ChecksTensors) {
  EXPECT_EQ(std::memcmp(open(torch_file(pickle_of(pickled_dict("t", pickled({}))))).tensors().at("t").raw(), "0123456789abcdef", 16), 0);
  constexpr int64_t kLarge = int64_t{1} << 62;
  expect_tensor_refused({.size = {5}}, "[5] f32 reaches element 4 of a storage with 4");
  expect_tensor_refused({.offset = 1}, "reaches element 4");
  expect_tensor_refused({.offset = -1}, "overflow");
  expect_tensor_refused({.offset = kLarge}, "reaches element");
  expect_tensor_refused({.size = {2}, .stride = {4}}, "reaches element 4");
  expect_tensor_refused({.size = {2}, .stride = {-1}}, "negative size or stride");
  expect_tensor_refused({.size = {-4}}, "negative size or stride");
  expect_tensor_refused({.size = {kLarge, 4}, .stride = {0, 1}}, "overflow 63 bits");
  expect_tensor_refused({.size = {0, kLarge, 8}, .stride = {1, 1, 1}}, "overflow 63 bits");
  expect_tensor_refused({.size = {3}, .stride = {kLarge}}, "overflow 63 bits");
  expect_tensor_refused({.size = {int64_t{1} << 40}, .stride = {0}}, "would multiply the file's data");
  expect_tensor_refused({.size = {1, 1, 1, 1, 1, 1, 1}, .stride = {1, 1, 1, 1, 1, 1, 1}}, "has 7 dimensions");
  expect_tensor_refused({.elements = 5}, "its storage of 5 elements has only 16 bytes");
  expect_tensor_refused({.elements = -1}, "its storage of -1 elements");
  expect_tensor_refused({.elements = kLarge}, "its storage of");
  expect_tensor_refused({.storage = "DoubleStorage"}, "its storage of 4 elements has only 16 bytes");
  expect_tensor_refused({.key = "1"}, "its data archive/data/1 is not in the file");
  expect_tensor_refused({.key = "../data.pkl"}, "is not in the file");
  expect_pickle_refused(pickled_dict("t", pickled({.size = {4}, .stride = {}})), "a tensor that is not described as one");
  expect_pickle_refused(pickled_dict("t", pickled({.storage = "Size"})), "a storage of no storage type");
  expect_pickle_refused(pickled_dict("t", pickled({.storage = "UntypedStorage"})), "a tensor whose storage is of another kind");
  const std::string tensor = pickled_dict("t", pickled({}));
  expect_pickle_refused(tensor + test::text("t") + pickled({}) + "s", "tensor t occurs twice");
  expect_pickle_refused("}N" + pickled({}) + "s", "neither a text nor an integer");
}

TEST_F(Torch, ChecksArchives) {
  const std::string pickle = pickle_of(pickled_dict("t", pickled({})));
  const std::vector<std::pair<std::string, std::string>> members{{"a/data.pkl", pickle}, {"a/data/0", std::string(16, 'x')}};
  EXPECT_EQ(open(zip_of(members)).tensors().size(), 1u);
  EXPECT_EQ(open(zip_of(members, {.directory64 = true})).tensors().size(), 1u);
  expect_refused(zip_of(members, {.method = 8}), "member a/data.pkl is compressed");
  expect_refused(zip_of(members, {.method = 93}), "is compressed");
  expect_refused(zip_of(members, {.flags = 1}), "member a/data.pkl is encrypted");
  expect_refused(zip_of({members[0], members[1], members[1]}), "member a/data/0 occurs twice");
  const std::string good = zip_of(members);
  for (size_t size = 4; size < good.size(); size += 3) EXPECT_TRUE(test::error_of([&] { open(good.substr(0, size)); })) << size;
  // Two directory entries over the same bytes: how zip bombs multiply.
  std::string overlapping = zip_of({{"a/data/0", "0123"}, {"a/data/1", "0123"}, members[0]});
  const size_t second = overlapping.find("PK\x01\x02", overlapping.find("PK\x01\x02") + 1);
  overlapping.replace(second + 42, 4, std::string(4, '\0'));
  expect_refused(overlapping, "has another name in its header");
}

TEST_F(Torch, ReadsManyMembers) {
  constexpr int kCount = 66'000;  // more than the 16 bits of a plain directory can count
  std::vector<std::pair<std::string, std::string>> members;
  std::string body = "}(";
  for (int i = 0; i < kCount; ++i) {
    const std::string key = std::to_string(i);
    members.emplace_back("a/data/" + key, test::little(static_cast<float>(i)));
    body += test::text("t" + key) + pickled({.key = key, .elements = 1, .size = {}, .stride = {}});
  }
  members.emplace_back("a/data.pkl", pickle_of(body + "u"));
  const TorchCheckpoint file = open(zip_of(members, {.directory64 = true}));
  EXPECT_EQ(file.tensors().size(), static_cast<size_t>(kCount));
  EXPECT_EQ(*file.tensors().at("t65999").data<float>(), 65999.0f);
}

}  // namespace
}  // namespace linea
