"""Weights from elsewhere and to elsewhere: one file for each way in or out.

In by `from_safetensors` (and `torch_ref.exchange` for PyTorch's files), made a run by `importing`,
which finds the layers (`layers`) and folds the pixels' scaling in (`scaling`). Out by `to_onnx` and
`to_tensorboard`, whose packages are extras. Training knows nothing of it.
"""

OPEN = ("from_safetensors", "importing", "layers", "scaling", "to_onnx", "to_tensorboard")
