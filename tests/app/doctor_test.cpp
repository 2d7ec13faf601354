// linea doctor names every device and says why it is used or not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "core/json.h"
#include "kernels/devices.h"
#include "tests/app/process.h"

namespace linea {
namespace {

using testing::HasSubstr;

class Doctor : public testing::Test {
 protected:
  std::map<std::string, std::pair<std::string, std::string>> findings() {
    const test::Outcome outcome = test::run(work_, {"doctor", "--json"}, "");
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    std::map<std::string, std::pair<std::string, std::string>> result;
    for (const Json& finding : parse_json(outcome.out, "doctor")) {
      result[finding.at("subject")] = {finding.at("fact"), finding.at("reason")};
    }
    return result;
  }
  test::Workspace work_;
};

TEST_F(Doctor, NamesTheProcessorItsKernelsAndEveryDevice) {
  const auto found = findings();
  for (const char* subject : {"linea", "processor", "cpu kernels", "oneDNN", "cpu precision", "CUDA", "default device", "picture model"}) {
    EXPECT_TRUE(found.contains(subject)) << subject;
    EXPECT_NE(found.at(subject).first, "") << subject;
  }
  for (const DeviceInfo& device : available_devices()) {
    const std::string name = device.device == kCpuDevice ? "processor" : device.device.name();
    EXPECT_TRUE(found.contains(name)) << name;
  }
  EXPECT_EQ(found.at("default device").first, best_device().name());
}

TEST_F(Doctor, SaysWhyAnInstructionSetIsUsed) {
  const std::string fastest = findings().at("cpu kernels").first;
  EXPECT_THAT(findings().at("cpu kernels").second, HasSubstr(fastest));
  setenv("LINEA_ISA", fastest.c_str(), 1);
  EXPECT_THAT(findings().at("cpu kernels").second, HasSubstr("LINEA_ISA"));
  setenv("LINEA_ISA", "nonsense", 1);
  const auto found = findings();
  unsetenv("LINEA_ISA");
  EXPECT_EQ(found.at("cpu kernels").first, "unusable");
  EXPECT_THAT(found.at("cpu kernels").second, HasSubstr("nonsense"));
}

}  // namespace
}  // namespace linea
