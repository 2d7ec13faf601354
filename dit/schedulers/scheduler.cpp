#include "dit/schedulers/scheduler.h"

#include <cmath>

#include "dit/schedulers/dpm_solver.h"
#include "dit/schedulers/flow_euler.h"

namespace linea {
namespace {

constexpr int kMaxSteps = 1000;

void refuse(const Config& config, const char* key, bool when) {
  if (when) config.fail(key, "this setting is not supported with flow sigmas");
}

DpmSolverConfig read_dpm_solver(const Config& config) {
  DpmSolverConfig c;
  const std::string algorithm = config.text("algorithm_type", "dpmsolver++");
  if (algorithm != "dpmsolver++") config.fail("algorithm_type", "'" + algorithm + "' is not supported; expected dpmsolver++");
  const std::string prediction = config.text("prediction_type", "epsilon");
  if (prediction != "flow_prediction") config.fail("prediction_type", "'" + prediction + "' is not supported; expected flow_prediction");
  if (!config.boolean("use_flow_sigmas", false)) config.fail("use_flow_sigmas", "must be true");
  const std::string solver = config.text("solver_type", "midpoint");
  if (solver != "midpoint" && solver != "heun") config.fail("solver_type", "'" + solver + "' is not supported; expected midpoint or heun");
  const std::string final_sigmas = config.text("final_sigmas_type", "zero");
  if (final_sigmas != "zero" && final_sigmas != "sigma_min") config.fail("final_sigmas_type", "'" + final_sigmas + "' is not supported");
  for (const char* key :
       {"thresholding", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_dynamic_shifting"}) {
    refuse(config, key, config.boolean(key, false));
  }
  c.flow_shift = config.number("flow_shift", 1.0);
  c.solver_order = static_cast<int>(config.integer("solver_order", 1, 3, 2));
  c.heun = solver == "heun";
  c.lower_order_final = config.boolean("lower_order_final", true);
  c.euler_at_final = config.boolean("euler_at_final", false);
  c.num_train_timesteps = static_cast<int>(config.integer("num_train_timesteps", 1, 1000000, 1000));
  if (final_sigmas == "sigma_min") {  // of the variance-preserving training schedule, whatever the flow's own sigmas are
    const std::string schedule = config.text("beta_schedule", "linear");  // these two begin at beta_start
    if (schedule != "linear" && schedule != "scaled_linear") config.fail("beta_schedule", "'" + schedule + "' is not supported");
    refuse(config, "trained_betas", config.has("trained_betas"));
    refuse(config, "rescale_betas_zero_snr", config.boolean("rescale_betas_zero_snr", false));
    const double beta = config.number("beta_start", 1e-4);
    if (!(beta > 0 && beta < 1)) config.fail("beta_start", "must be in (0, 1)");
    c.final_sigma = std::sqrt(beta / (1.0 - beta));
  }
  return c;
}

void check_euler(const Config& config) {
  for (const char* key :
       {"use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "stochastic_sampling"}) {
    refuse(config, key, config.boolean(key, false));
  }
  refuse(config, "shift_terminal", config.has("shift_terminal"));
}

}  // namespace

std::unique_ptr<Scheduler> make_scheduler(const Config& config, const SchedulerOptions& options) {
  if (options.steps < 1 || options.steps > kMaxSteps) {
    throw Error(ErrorKind::kUsage, "--steps: " + std::to_string(options.steps) + " is not between 1 and " + std::to_string(kMaxSteps));
  }
  if (options.flow_shift && !(*options.flow_shift > 0 && *options.flow_shift <= 100)) {
    throw Error(ErrorKind::kUsage, "--shift: must be in (0, 100]");
  }
  const std::string in_file = config.text("_class_name", "DPMSolverMultistepScheduler");
  const bool file_is_dpm = in_file == "DPMSolverMultistepScheduler", file_is_euler = in_file == "FlowMatchEulerDiscreteScheduler";
  if (!file_is_dpm && !file_is_euler) config.fail("_class_name", "scheduler '" + in_file + "' is not supported");

  const std::string name = !options.name.empty() ? options.name : file_is_dpm ? "dpm++" : "euler";
  const double shift = options.flow_shift ? *options.flow_shift
                       : file_is_dpm      ? config.number("flow_shift", 1.0)
                                          : config.number("shift", 1.0);
  if (!(shift > 0 && shift <= 100)) config.fail(file_is_dpm ? "flow_shift" : "shift", "must be in (0, 100]");
  if (name == "euler") {
    check_euler(config);
    return std::make_unique<FlowEuler>(shift, static_cast<int>(config.integer("num_train_timesteps", 1, 1000000, 1000)), options.steps);
  }
  if (name != "dpm++") throw Error(ErrorKind::kUsage, "--scheduler: unknown scheduler '" + name + "'", "use dpm++ or euler");
  DpmSolverConfig c = file_is_dpm ? read_dpm_solver(config) : DpmSolverConfig{};
  c.flow_shift = shift;
  return std::make_unique<DpmSolver>(c, options.steps);
}

}  // namespace linea
