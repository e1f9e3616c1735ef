"""What PyTorch computes on here, and why on no GPU, if it does not."""

import torch


def devices() -> list[str]:
    """Its devices in words, with the reason where there is no GPU."""
    if torch.cuda.is_available():
        return [f"gpu: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.version.cuda is None:
        return ["cpu", "no GPU: torch is installed for the CPU alone"]
    return ["cpu", f"no GPU: torch has CUDA {torch.version.cuda}, but finds no driver or no device"]
