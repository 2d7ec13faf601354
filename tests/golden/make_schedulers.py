"""Timesteps, sigmas and trajectories of the flow schedulers (diffusers) on a toy velocity field v(x, i) = tanh(x) / 2 + 0.3 + 0.01 i."""
import json

import torch
from common import DATA, save
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

STEPS = [*range(1, 51)]
DPM = dict(prediction_type="flow_prediction", use_flow_sigmas=True, algorithm_type="dpmsolver++")
VARIANTS = {
    "dpm_3": (DPMSolverMultistepScheduler, dict(flow_shift=3.0, **DPM)),
    "dpm_6": (DPMSolverMultistepScheduler, dict(flow_shift=6.0, **DPM)),
    "dpm_1": (DPMSolverMultistepScheduler, dict(flow_shift=1.0, **DPM)),
    "dpm_2_5_heun": (DPMSolverMultistepScheduler, dict(flow_shift=2.5, solver_type="heun", **DPM)),
    "dpm_3_order1": (DPMSolverMultistepScheduler, dict(flow_shift=3.0, solver_order=1, **DPM)),
    "dpm_3_order3": (DPMSolverMultistepScheduler, dict(flow_shift=3.0, solver_order=3, **DPM)),
    "dpm_3_sigma_min": (DPMSolverMultistepScheduler, dict(flow_shift=3.0, final_sigmas_type="sigma_min", lower_order_final=False, **DPM)),
    "euler_3": (FlowMatchEulerDiscreteScheduler, dict(shift=3.0)),
    "euler_6": (FlowMatchEulerDiscreteScheduler, dict(shift=6.0)),
    "euler_1": (FlowMatchEulerDiscreteScheduler, dict(shift=1.0)),
}


def trajectory(scheduler, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    scheduler.set_timesteps(n)
    x = torch.linspace(-2, 2, 8)
    states = [x]
    for i, t in enumerate(scheduler.timesteps):
        velocity = torch.tanh(x) / 2 + 0.3 + 0.01 * i
        x = scheduler.step(velocity, t, x).prev_sample
        states.append(x)
    return scheduler.timesteps.float(), scheduler.sigmas, torch.stack(states)


if __name__ == "__main__":
    tensors, configs = {}, {}
    for name, (kind, settings) in VARIANTS.items():
        scheduler = kind(**settings)
        configs[name] = {"_class_name": kind.__name__, **json.loads(json.dumps(dict(scheduler.config), default=str))}
        for n in STEPS:
            timesteps, sigmas, states = trajectory(kind(**settings), n)
            tensors[f"{name}.{n}.timesteps"] = timesteps
            tensors[f"{name}.{n}.sigmas"] = sigmas
            tensors[f"{name}.{n}.states"] = states
    save(DATA / "schedulers.safetensors", tensors, {"configs": configs})
