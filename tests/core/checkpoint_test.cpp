#include "core/checkpoint.h"

#include "core/json.h"
#include "tests/core/fixtures.h"
#include "tests/support/compare.h"

namespace linea {
namespace {

using test::expect_error;
using test::random_tensor;
using test::TemporaryFolder;
using test::write_bytes;

class CheckpointTest : public testing::Test {
 protected:
  void write(const std::string& file, const std::vector<std::pair<std::string, Tensor>>& tensors) {
    write_safetensors(folder_ / file, tensors);
  }
  // Two shards with one tensor each, and an index over them.
  void write_sharded(const Json& weight_map, const std::string& index = "model.safetensors.index.json") {
    write("model-00001-of-00002.safetensors", {{"a", a_}});
    write("model-00002-of-00002.safetensors", {{"b", b_}});
    write_bytes(folder_ / index, Json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump());
  }
  Checkpoint open(const std::string& variant = {}) { return Checkpoint::open_folder(folder_.path(), "model", variant); }
  void expect_refused(const std::string& message) {
    expect_error(ErrorKind::kModel, message, [&] { open(); });
  }

  TemporaryFolder folder_;
  Tensor a_ = random_tensor({2, 3}, 1), b_ = random_tensor({4}, 2, DType::kBF16);
  Json map_ = {{"a", "model-00001-of-00002.safetensors"}, {"b", "model-00002-of-00002.safetensors"}};
};

TEST_F(CheckpointTest, LoadsByNameAndShape) {
  write("model.safetensors", {{"a", a_}, {"b", b_}});
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.source(), folder_ / "model.safetensors");
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(checkpoint.total_bytes(), 2 * 3 * 4 + 4 * 2);
  EXPECT_EQ(checkpoint.shape_of("a"), (Shape{2, 3}));
  EXPECT_TRUE(checkpoint.contains("b"));
  EXPECT_FALSE(checkpoint.contains("c"));
  EXPECT_TRUE(test::same_bits(checkpoint.load("a", {2, 3}, DType::kF32), a_));
  EXPECT_TRUE(test::same_bits(checkpoint.load("b", {4}, DType::kF32), b_.to(DType::kF32)));
  EXPECT_TRUE(test::same_bits(checkpoint.load("a", {2, 3}, DType::kBF16), a_.to(DType::kBF16)));
}

TEST_F(CheckpointTest, ViewsTheFileWhenTheTypeFits) {
  write("model.safetensors", {{"a", a_}});
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.load("a", {2, 3}, DType::kF32).raw(), checkpoint.load("a", {2, 3}, DType::kF32).raw());
}

TEST_F(CheckpointTest, ConvertsLargeTensorsLikeSmallOnes) {
  const Tensor large = random_tensor({1000, 333}, 5);
  write("model.safetensors", {{"a", large}});
  EXPECT_TRUE(test::same_bits(open().load("a", {1000, 333}, DType::kF16), large.to(DType::kF16)));
}

TEST_F(CheckpointTest, ErrorsNameFileTensorAndShapes) {
  write("model.safetensors", {{"a", a_}, {"ids", Tensor({2}, DType::kI32)}});
  const Checkpoint checkpoint = open();
  expect_error(ErrorKind::kModel, "model.safetensors: tensor a: expected shape [3, 2], found [2, 3]", [&] {
    checkpoint.load("a", {3, 2}, DType::kF32);
  });
  expect_error(ErrorKind::kModel, "tensor missing.weight is missing", [&] { checkpoint.load("missing.weight", {1}, DType::kF32); });
  expect_error(ErrorKind::kModel, "tensor x is missing", [&] { checkpoint.shape_of("x"); });
  expect_error(ErrorKind::kModel, "tensor ids: is i32, which cannot become f32", [&] { checkpoint.load("ids", {2}, DType::kF32); });
  EXPECT_EQ(checkpoint.load("ids", {2}, DType::kI32).dtype(), DType::kI32);
}

TEST_F(CheckpointTest, ReportsUnusedTensors) {
  const std::vector<std::string> names{"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"};
  std::vector<std::pair<std::string, Tensor>> tensors;
  tensors.reserve(names.size());
  for (const std::string& name : names) tensors.emplace_back(name, a_);
  write("model.safetensors", tensors);
  const Checkpoint checkpoint = open();
  expect_error(ErrorKind::kModel, "holds 8 tensors that its config does not account for: t0, t1, t2, t3, t4, …",
               [&] { checkpoint.check_all_used(); });
  for (size_t i = 0; i + 1 < names.size(); ++i) checkpoint.load(names[i], {2, 3}, DType::kF32);
  expect_error(ErrorKind::kModel, "holds 1 tensor that its config does not account for: t7", [&] { checkpoint.check_all_used(); });
  EXPECT_NO_THROW(checkpoint.check_all_used({"t7"}));
}

TEST_F(CheckpointTest, PrefersThePlainFileThenBf16ThenFp16) {
  write("model.fp16.safetensors", {{"fp16", a_}});
  EXPECT_TRUE(open().contains("fp16"));
  write("model.bf16.safetensors", {{"bf16", a_}});
  EXPECT_TRUE(open().contains("bf16"));
  write("model.safetensors", {{"plain", a_}});
  EXPECT_TRUE(open().contains("plain"));
  EXPECT_TRUE(open("fp16").contains("fp16"));
  expect_error(ErrorKind::kModel, "no weights found, expected model.int8.safetensors or model.safetensors.index.int8.json",
               [&] { open("int8"); });
  expect_error(ErrorKind::kUsage, "not a plain word", [&] { open("../x"); });
}

TEST_F(CheckpointTest, ReadsShards) {
  write_sharded(map_);
  const Checkpoint checkpoint = open();
  EXPECT_TRUE(test::same_bits(checkpoint.load("a", {2, 3}, DType::kF32), a_));
  EXPECT_TRUE(test::same_bits(checkpoint.load("b", {4}, DType::kBF16), b_));
  EXPECT_EQ(checkpoint.source(), folder_ / "model.safetensors.index.json");
}

TEST_F(CheckpointTest, ReadsShardsOfAVariant) {
  write_sharded(map_, "model.safetensors.index.fp16.json");
  EXPECT_EQ(open("fp16").names().size(), 2u);
  EXPECT_EQ(open().names().size(), 2u);
}

TEST_F(CheckpointTest, FollowsLinkedShards) {
  write_sharded(map_);
  const TemporaryFolder cache;
  std::filesystem::rename(folder_ / "model-00001-of-00002.safetensors", cache / "blob");
  std::filesystem::create_symlink(cache / "blob", folder_ / "model-00001-of-00002.safetensors");
  EXPECT_EQ(open().names().size(), 2u);
}

TEST_F(CheckpointTest, RefusesPathsInTheIndex) {
  for (const std::string name : {"../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", "", "a\\b"}) {
    map_["a"] = name;
    write_sharded(map_);
    expect_refused("model.safetensors.index.json: weight_map: a: its shard \"");
  }
  map_["a"] = 1;
  write_sharded(map_);
  expect_refused("weight_map: a: its shard is not a string");
}

TEST_F(CheckpointTest, RefusesBrokenIndexes) {
  write_bytes(folder_ / "model.safetensors.index.json", "{\"weight_map\": ");
  expect_refused("model.safetensors.index.json: line 1");
  write_bytes(folder_ / "model.safetensors.index.json", "{}");
  expect_refused("weight_map: is missing");
  write_bytes(folder_ / "model.safetensors.index.json", "{\"weight_map\": {}}");
  expect_refused("weight_map: expected an object");
  write_sharded(map_);
  std::filesystem::remove(folder_ / "model-00002-of-00002.safetensors");
  expect_refused("its shard model-00002-of-00002.safetensors is missing");
}

TEST_F(CheckpointTest, RefusesTensorsInTheWrongShard) {
  map_["c"] = "model-00001-of-00002.safetensors";
  write_sharded(map_);
  expect_refused("tensor c is not in its shard model-00001-of-00002.safetensors");
  map_.erase("c");
  map_["b"] = "model-00001-of-00002.safetensors";
  write_sharded(map_);
  expect_refused("tensor b is not in its shard");
  map_["b"] = "model-00002-of-00002.safetensors";
  write_sharded(map_);
  write("model-00002-of-00002.safetensors", {{"a", a_}, {"b", b_}});
  expect_refused("model-00002-of-00002.safetensors: tensor a is also in model-00001-of-00002.safetensors");
}

TEST_F(CheckpointTest, RefusesFoldersWithoutWeights) {
  expect_refused("no weights found, expected model.safetensors or model.safetensors.index.json");
  expect_error(ErrorKind::kModel, "no such folder", [&] { Checkpoint::open_folder(folder_ / "absent", "model"); });
  write_bytes(folder_ / "model.safetensors", "junk");
  expect_refused("is not a safetensors file");
  expect_error(ErrorKind::kModel, "cannot open", [&] { Checkpoint::open_file(folder_ / "absent"); });
}

}  // namespace
}  // namespace linea
