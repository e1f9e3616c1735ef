"""The devices that JAX sees here, and why no GPU, if there is none."""

import os
from importlib.util import find_spec
from pathlib import Path

import jax


def devices() -> list[str]:
    """What JAX computes on, and why on no GPU, if it does not."""
    try:
        available = jax.devices()
    except RuntimeError as error:  # of a JAX_PLATFORMS that is not here
        return [f"none: {str(error).splitlines()[0][:160]}"]
    lines = [f"{device.platform}: {device.device_kind}" for device in available]
    if any(device.platform == "gpu" for device in available):
        return lines
    return [*lines, f"no GPU: {_why_no_gpu()}"]


def _why_no_gpu() -> str:
    platforms = jax.config.values["jax_platforms"] or os.environ.get("JAX_PLATFORMS")
    if platforms:
        return f"JAX_PLATFORMS is {platforms}"
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "this machine shows no NVIDIA device; if it has one, install its driver"
    if not any(find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        return "jax is installed for the CPU alone; pip install 'mnist-fn[cuda]'"
    return "a device and the CUDA plugin are there; JAX_PLATFORMS=cuda says what fails"
