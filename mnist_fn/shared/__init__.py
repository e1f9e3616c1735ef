"""What both backends share: NumPy and the standard library only, no jax, no torch.

The ground floor, lowest first: wording, errors, state; faults, config, evaluation, storage;
streams; backend. The rooms over it: data; runs on that; parity and study on runs; bench on backend.
A room's `OPEN` names the files that others may use.
"""
