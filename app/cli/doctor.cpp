// linea doctor: which devices, libraries and kernels are in use, and why.
#include <cstdio>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/engine/model_folders.h"
#include "cmake/version.h"
#include "kernels/devices.h"
#include "kernels/diagnosis.h"

namespace linea::cli {
namespace {

std::vector<Finding> diagnose() {
  std::vector<Finding> findings = {{"linea", std::string(kVersion) + (*kCommit ? std::string(" (") + kCommit + ")" : ""), ""}};
  const std::vector<Finding> kernels = diagnose_kernels();
  findings.insert(findings.end(), kernels.begin(), kernels.end());
  findings.push_back({"default device", best_device().name(),
                      cuda_available() ? "the first GPU; --device cpu for the processor" : "no usable GPU; see CUDA above"});
  try {
    findings.push_back({"picture model", find_picture_model("").string(), "built in"});
  } catch (const Error& error) {
    findings.push_back({"picture model", "none", std::string(error.what()) + "; " + error.hint()});
  }
  return findings;
}

int doctor(bool as_json) {
  const std::vector<Finding> findings = diagnose();
  if (as_json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const Finding& f : findings) json.push_back({{"subject", f.subject}, {"fact", f.fact}, {"reason", f.reason}});
    std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
  }
  for (const Finding& f : findings) {
    std::printf("%-15s %s\n", f.subject.c_str(), f.fact.c_str());
    if (!f.reason.empty()) std::printf("%-15s   %s\n", "", f.reason.c_str());
  }
  return 0;
}

}  // namespace

Action add_doctor(CLI::App& app) {
  CLI::App* command = app.add_subcommand("doctor", "Say which devices, libraries and kernels are in use, and why");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "as JSON");
  return [json] { return doctor(*json); };
}

}  // namespace linea::cli
