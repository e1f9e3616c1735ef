"""Try the faults that versions of JAX are known to have: docs/versions.md.

python docs/make/known_faults.py        # a JSON document on stdout
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

CALLS = 20
# Which products XLA gives to XNNPACK depends on the processor; so, on any processor.
XNNPACK: dict[str, Any] = {
    "xla_cpu_experimental_xnn_graph_fusion_mode": "XNN_GRAPH_FUSION_MODE_BYPASS_COST_MODEL"
}


def stale_products() -> int:
    """How many of CALLS products on the CPU differ from NumPy's, with XNNPACK where XLA has it.

    Each takes other weights (784, 512), float32, that lie at the same address: jaxlib 0.8.0 and
    0.8.1 keep what XNNPACK has packed of the ones before.
    """
    rng = np.random.default_rng(0)
    cpu = jax.devices("cpu")[0]
    x = rng.random((200, 784), np.float32)
    weights = _aligned((784, 512))
    lowered = jax.jit(jnp.matmul).lower(*jax.device_put((x, weights.copy()), cpu))
    try:
        product = lowered.compile(compiler_options=XNNPACK)
    except jax.errors.JaxRuntimeError:  # an XLA that doesn't know the option
        product = lowered.compile()
    wrong = 0
    for _ in range(CALLS):
        weights[...] = rng.random(weights.shape, np.float32)
        on_cpu = jax.device_put(weights, cpu)  # not copied: it is aligned as XLA wants it
        result = np.asarray(product(jax.device_put(x, cpu), on_cpu))
        del on_cpu  # before the next write
        wrong += not np.allclose(result, x @ weights, rtol=1e-4)  # sums of 784 products of one sign
    return wrong


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An array that XLA on the CPU reads where it lies: at a multiple of 64 bytes."""
    size = int(np.prod(shape)) * 4
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(np.float32).reshape(shape)


def wrong_rows() -> int:
    """Wrong rows of a vmapped small product followed by a sum; jaxlib 0.10.2 has one in either
    precision (jax-ml/jax issue 39103).
    """
    wrong = 0
    for dtype, n in (("float32", 32_769), ("float64", 16_385)):
        rows = np.zeros((n, 3), dtype)
        rows[:, 0] = np.arange(n)
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            eye = jnp.eye(3, dtype=dtype)
            sums = jax.jit(jax.vmap(lambda row, eye=eye: ((eye @ row) ** 2).sum()))(rows)
        true = rows[:, 0].astype(np.float64) ** 2
        gap = np.abs(np.asarray(sums, np.float64) - true)
        wrong += int((gap > 1e-5 * np.maximum(true, 1)).sum())
    return wrong


def checks() -> list[dict[str, Any]]:
    """Each known fault as `mnist-fn doctor --full --json` gives its checks."""
    stale, rows = stale_products(), wrong_rows()
    results = {
        "products with other weights at one address": (
            stale,
            f"{stale} of {CALLS} differ from NumPy's",
        ),
        "a vmapped product and its sum": (rows, f"{rows} rows of 49,154 are wrong"),
    }
    return [
        {"backend": "jax", "check": name, "passed": not count, "found": text}
        for name, (count, text) in results.items()
    ]


if __name__ == "__main__":
    print(json.dumps({"checks": checks()}))
