"""The first line of a worker: who it is, what is installed, and whether the device really computes."""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings

from samprompt.contract.version import VERSION
from samprompt.contract.worker import PROTOCOL_VERSION, Hello
from samprompt.worker import packages


def hello() -> Hello:
    """Look at everything; never fails, says what is wrong instead."""
    versions, missing, problem = packages.look()
    device, name, milliseconds = "cpu", "", -1.0
    if "torch" in versions:
        try:
            device, name, milliseconds, problem = _device()
        except Exception as error:  # a driver raises what it likes
            problem = f"No device computes: {(str(error).strip().splitlines() or [type(error).__name__])[0]}"
    return Hello(
        PROTOCOL_VERSION,
        VERSION,
        os.getpid(),
        ".".join(str(n) for n in sys.version_info[:3]),
        device,
        name,
        milliseconds,
        versions,
        missing,
        problem,
    )


def _device() -> tuple[str, str, float, str]:
    """What "auto" takes, what a person calls it, milliseconds of a small computation on it, and what is wrong."""
    import torch

    from samprompt.models.device import choose_device, launch_kernel

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        device = choose_device("auto")
    problem = next((str(w.message) for w in caught if "CUDA" in str(w.message)), "")
    wrong = launch_kernel(device)  # the first one on a device also loads its libraries
    began = time.perf_counter()
    wrong = wrong or launch_kernel(device)
    milliseconds = -1.0 if wrong else 1000.0 * (time.perf_counter() - began)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] / (1 << 30)
        return str(device), f"{torch.cuda.get_device_name(device)}, {free:.0f} GiB free", milliseconds, wrong or problem
    return str(device), platform.processor() or platform.machine(), milliseconds, wrong or problem
