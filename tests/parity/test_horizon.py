"""The horizon: frameworks beside their twins, and a claim that can fail."""

import numpy as np
import pytest

from mnist_fn import Config
from mnist_fn.shared import backend as backends
from mnist_fn.shared.parity import horizon
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.bounds import HORIZON_FACTOR
from mnist_fn.shared.parity.compare import divergence
from mnist_fn.shared.parity.horizon import Track, claims
from mnist_fn.shared.parity.twins import Lane, renumbered_twin, step_error, ulp_twin
from mnist_fn.shared.streams import batch_order

TINY = Config(dataset="digits", hidden=(16, 8), l2=3e-5, precision="float64", learning_rate=5e-3)


def pair(data, right=None, **changes):
    torch = backends.find("torch")
    return Pair(torch, right or torch, TINY.replace(**changes), data)


def test_every_step_of_the_first_epoch_then_now_and_then(digits):
    found = horizon.measure(pair(digits), length=3)
    assert found["steps"] == [*range(1, 9), 16, 24]  # 8 steps an epoch
    kinds = [track["kind"] for track in found["tracks"]]
    assert kinds == ["frameworks", *["ulp twin"] * 3, *["renumbered twin"] * 2]
    for track in found["tracks"]:
        assert len(track["divergence"]) == len(found["steps"])
        assert len(track["predictions"]) == 3
    frameworks, *twins = found["tracks"]
    assert max(frameworks["divergence"]) == 0  # a backend and itself
    assert all(0 < max(twin["divergence"]) < 1e-9 for twin in twins)
    assert all(claim["holds"] for claim in found["claims"])


def test_around_a_threshold_every_step_is_recorded(digits, monkeypatch):
    """One event may part all tracks at once: on a grid of 8 steps every factor would be 1. The
    threshold is one that twins pass after the first epoch, some in the second and some in the
    sixth, as the processor rounds; what is trained stays the same."""
    coarse = horizon.measure(pair(digits), length=6)
    furthest = [max(track["divergence"][:8]) for track in coarse["tracks"]]
    monkeypatch.setattr(horizon, "HORIZON_THRESHOLDS", (1.01 * max(furthest), 1e-2))
    fine = horizon.measure(pair(digits), length=6)
    assert set(fine["steps"]) >= {*range(1, 9), 16, 24, 32, 40, 48}
    passed = {track["first_step_above"][0] for track in fine["tracks"]} - {None}
    assert passed
    assert min(passed) > 8
    for step in passed:  # the step before is there too
        assert step - 1 in fine["steps"]
    for one, other in zip(coarse["tracks"], fine["tracks"], strict=True):
        assert one["divergence"][-1] == other["divergence"][-1]


def test_a_twin_with_the_frameworks_own_difference_is_judged_apart(digits):
    """β₂'s rounding, 6.4e-6 of a step of 5e-3, is known and named; the null control has it not."""
    found = horizon.measure(pair(digits, precision="float32", hidden=()), length=1)
    assert [claim["twins"] for claim in found["claims"]] == [
        "null twin", "twin", "ulp twin", "renumbered twin",
        "β₂-rounded twin",
    ]  # fmt: skip
    assert [claim["draws"] for claim in found["claims"]] == [5, 7, 3, 2, 2]
    first = {track["name"]: track["divergence"][0] for track in found["tracks"]}
    assert first["torch, renumbered, β₂ rounded"] > 1e-8 > first["torch, renumbered"]


def test_how_many_times_as_far_as_the_furthest_twin():
    """At the step where that is most, until the frameworks have parted."""
    tracks = [track("frameworks", [1e-12, 3e-9, 2e-2, 1.0], [0])]
    tracks += [track("ulp twin", [1e-12, 1e-9, 1e-2, 1e-9], [0])]
    tracks += [track("ulp twin", [2e-12, 0.0, 1e-3, 1e-9], [0])]
    found = claims(tracks, [1, 2, 3, 4])[0]["furthest"]
    assert found == {"times": pytest.approx(3), "step": 2, "until": 3}


def test_the_claim_fails_for_another_experiment(digits):
    """A learning rate 0.01 % off is no rounding: past the threshold while no twin is."""

    def off(config, dataset, device):
        return backends.find("torch")(config.replace(learning_rate=5.0005e-3), dataset, device)

    found = horizon.measure(pair(digits, off), length=1)
    assert found["tracks"][0]["first_step_above"] == [1, None]
    assert [claim["holds"] for claim in found["claims"]] == [False, False, False]


def track(kind, divergence, predictions):
    return Track("", kind, None, None, divergence, predictions)


@pytest.mark.parametrize(
    ("frameworks", "twins", "holds"),
    [(200, [100, 400], True), (50, [100, 400], True), (49, [100, 400], False),
     (None, [100, None], True), (None, [None, None], True), (7, [None, None], False)],
)  # fmt: skip
def test_sooner_than_the_soonest_twin_by_a_factor(frameworks, twins, holds):
    """HORIZON_FACTOR is 2: half the soonest twin's time passes, less doesn't."""
    steps = list(range(1, 500))

    def passing(step):
        return [0.0 if step is None or s < step else 1e-8 for s in steps]

    tracks = [track("frameworks", passing(frameworks), [0, 0])]
    tracks += [track("ulp twin", passing(step), [0, 0]) for step in twins]
    claim, same = claims(tracks, steps)
    assert claim["weights"] == same["weights"]  # all twins are of one kind here
    assert HORIZON_FACTOR == 2
    assert claim["holds"] == claim["weights"][0]["holds"] == holds


def test_an_ulp_twin_differs_in_one_weight_by_one_ulp(small):
    backend = backends.find("torch")(TINY, small, "cpu")
    start = pair(small).start
    twin = ulp_twin("", backend, start, draw=1, seed=0).params()
    apart = start.params["layer1"]["kernel"] != twin["layer1"]["kernel"]
    assert apart.sum() == 1
    old, new = start.params["layer1"]["kernel"][apart], twin["layer1"]["kernel"][apart]
    assert new == np.nextafter(old, np.inf)


def test_a_renumbered_twin_is_the_same_experiment(digits):
    """In float64 it stays within rounding of the original, weights in their own places."""
    make, start = backends.find("torch"), pair(digits).start
    plain = Lane("", (own := make(TINY, digits, "cpu")), own.load(start))
    twin = renumbered_twin("", pair(digits), side=0)
    assert divergence(plain.params(), twin.params()) == 0
    order = batch_order(0, 1, len(digits.train))
    for lane in (plain, twin):
        lane.advance(order, 0)
    assert 0 < divergence(plain.params(), twin.params()) < 1e-13
    assert np.array_equal(plain.predictions(digits), twin.predictions(digits))


def test_the_step_error_is_that_of_a_rounded_beta2():
    assert step_error("float64") == 0
    assert step_error("float32") == pytest.approx((1.2875e-8 / 1e-3) / 2, rel=1e-3)


def test_a_rounded_beta2_is_why_float32_frameworks_part(digits):
    """JAX with steps larger by the step error stays far nearer to PyTorch than JAX as it is: 240
    steps that are 6.4e-6 of 5e-4 off make 8e-7, rounding alone made 6e-8."""
    config = TINY.replace(hidden=(), precision="float32", learning_rate=5e-4)
    order = [batch_order(0, epoch, len(digits.train)) for epoch in range(1, 31)]

    def trained(name, rate):
        backend = backends.find(name)(config.replace(learning_rate=rate), digits, "cpu")
        lane = Lane("", backend, backend.load(pair(digits, precision="float32", hidden=()).start))
        for epoch in order:
            lane.advance(epoch, 0)
        return lane.params()

    torch, jax = trained("torch", 5e-4), trained("jax", 5e-4)
    corrected = trained("jax", 5e-4 * (1 + step_error("float32")))
    assert divergence(torch, corrected) < divergence(torch, jax) / 8
