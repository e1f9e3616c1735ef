"""The first rung: which parameter is which, in which layout the port takes its inputs."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import layouts
from mnist_fn.shared.parity.batches import moved
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.division import divided
from mnist_fn.shared.parity.ladder_state import LadderState, Pairing
from mnist_fn.shared.parity.modules import outputs, walk
from mnist_fn.shared.parity.packing import NotRecordedError
from mnist_fn.shared.parity.param_map import ParamMap, ParamPair, map_params, numbers_in
from mnist_fn.shared.parity.program import Batch, Program, Weights
from mnist_fn.shared.parity.result import Check, failures
from mnist_fn.shared.streams import raw

MOST = 1e3  # a difference of outputs counts no more than that
SPREAD = 0.5  # of constants that are moved apart, to tell one tensor from another
SWAPS = 256  # other assignments that are tried where names and shapes leave a choice


def pair(
    reference: Program, port: Program, batch: Batch, dtype: str, param_map: Mapping[str, Any] | None
) -> tuple[Pairing, Weights]:
    """The two programs as one, and the weights that both start with, in the reference's terms.

    Raises:
        InputError: a program can't be called with the batch, or the names leave open which is which
            and no choice makes the outputs agree.
    """
    start = called(reference, lambda: reference.start(batch))
    wide = start.cast(dtype)
    called(reference, lambda: reference.check_deterministic(wide, batch))
    tried: list[_Choice] = []
    errors: list[str] = []
    for move in _moves(reference, port, batch):
        try:
            like = port.spec(move(batch))
            pairing = Pairing(reference, port, ParamMap(()), like, move)
            # where channels are first kernels are [out, in], where they are last [in, out]
            partners = map_params(start, like, pairing.across, param_map)
            pairing = replace(pairing, param_map=partners)
        except InputError:
            raise
        except Exception as error:
            errors.append(_error_text(error))
            continue
        shared = _shared(pairing, start, batch)
        choice = _choice(pairing, shared, batch, dtype, errors)
        if choice.gap > 0:
            pairing, by_calls = _by_calls(pairing, shared, batch, dtype, param_map)
            choice = replace(choice, pairing=pairing)
            tried.append(_choice(by_calls, shared, batch, dtype, errors))
        tried.append(choice)
        if min(choice.gap, tried[0].gap) == 0:
            break
    if not tried:
        raise InputError(f"{port.name}: can't be called with batches[0] ({errors[0]})")
    best = min(tried, key=lambda choice: choice.rank)
    pairing, start = best.pairing, best.start
    if not np.isfinite(best.gap):
        raise InputError(errors[0])
    if best.gap == 0:
        pairing = replace(pairing, param_map=pairing.param_map.verified())
    elif best.gap <= MOST:
        pairing = _other_choice(pairing, start, batch, dtype)
    start = start.cast(dtype)
    port_start, moved_batch = pairing.param_map.to_port(start, pairing.like), pairing.move(batch)
    called(port, lambda: port.check_deterministic(port_start, moved_batch))
    return pairing, start


@dataclass(frozen=True)
class _Choice:
    """One way in which the port may be the reference's, and how well they agree so."""

    pairing: Pairing
    start: Weights
    gap: float  # between the outputs
    agreeing: int  # inputs and outputs of modules, to the first that differs

    @property
    def rank(self) -> tuple[float, int, float]:
        """The best is the least: outputs that agree, then the modules furthest."""
        return (self.gap if self.gap > MOST else float(self.gap > 0)), -self.agreeing, self.gap


def _choice(
    pairing: Pairing, start: Weights, batch: Batch, dtype: str, errors: list[str]
) -> _Choice:
    gap, agreeing = _gap(pairing, start, batch, dtype, errors), 0
    if 0 < gap <= MOST:
        walked, _ = walk(LadderState("", pairing, start.cast(dtype), batch))
        agreeing = len(walked) - len(failures(walked))
    return _Choice(pairing, start, gap, agreeing)


def _by_calls(
    pairing: Pairing, start: Weights, batch: Batch, dtype: str, param_map: Mapping[str, Any] | None
) -> tuple[Pairing, Pairing]:
    """The pairing by names, and that by the order in which modules are called; what they have in
    two ways is not sure. The same twice where the order isn't known.
    """
    if "modules" in pairing.reference.unsupported or "modules" in pairing.port.unsupported:
        return pairing, pairing
    wide = start.cast(dtype)
    try:
        left = pairing.reference.run(wide, batch)
        right = pairing.translated.run(wide, batch)
    except Exception:  # such as a recording that was not asked
        return pairing, pairing
    calls = [call.module for call in left.calls], [call.module for call in right.calls]
    by_names = pairing.param_map
    by_calls = map_params(start, pairing.like, pairing.across, param_map, calls)
    sure = {(pair.name, pair.other): pair.sure for pair in by_names.params}
    called = {(pair.name, pair.other) for pair in by_calls.params}
    marked: list[Pairing] = []
    for partners in (by_names, by_calls):
        params: list[ParamPair] = []
        for pair in partners.params:
            key = pair.name, pair.other
            both = key in sure and key in called
            params.append(replace(pair, sure=both and sure[key], by_calls=both))
        marked.append(replace(pairing, param_map=replace(partners, params=tuple(params))))
    return marked[0], marked[1]


def called(program: Program, call: Callable[[], Any]) -> Any:
    """Call a program with the first batch; whatever it raises is said as one line."""
    try:
        return call()
    except InputError:
        raise
    except Exception as error:
        text = f"{program.name}: can't be called with batches[0] ({_error_text(error)})"
        raise InputError(text) from error


def checks(pairing: Pairing, start: Weights) -> list[Check]:
    """A check for each parameter: that it has a partner of its shape, trained like it."""
    partners = pairing.param_map
    start = divided(start, partners.joined[0])
    like = divided(pairing.like, partners.joined[1])
    results = []
    for partner in partners.params:
        results.append(Check.stated(f"{partner.name} is {partner.other}", True, "one of each"))
        still, still_in_port = partner.name in start.frozen, partner.other in like.frozen
        if like.frozen and still != still_in_port:
            text = f"{partner.name} is not trained in the {'reference' if still else 'port'} alone"
            results.append(Check.stated(text, False, "the same parameters are trained"))
    for partner in partners.fixed:
        text = f"{partner.name}, a buffer, is {partner.other}, a parameter"
        results.append(Check.stated(text, True, "one of each"))
    for partner in partners.resized:
        kept, shape = list(partner.layout.kept), list(partner.layout.shape)
        text = f"{partner.name} is {kept}, the port's {partner.other} is {shape}"
        results.append(Check.stated(text, False, "one shape"))
    for name in partners.missing:
        text = f"{name} {list(start.params[name].shape)} has no partner in the port"
        results.append(Check.stated(text, False, "one of each"))
    for name in partners.extra:
        text = f"{name} {list(like.params[name].shape)} of the port has no partner"
        results.append(Check.stated(text, False, "one of each"))
    for partner in partners.buffers:
        ours = start.buffers[partner.name]
        theirs = partner.layout.to_reference(like.buffers[partner.other])
        if ours.shape != theirs.shape:
            gap = compare(partner.name, ours, theirs)
            results.append(Check(partner.name, gap, 0.0, "absolute", "buffers of one shape"))
    return results


def _error_text(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


def _moves(reference: Program, port: Program, batch: Batch) -> list[Callable[[Batch], Batch]]:
    """Ways in which the port may take its inputs: as they are, or with their channels moved."""
    turned = (
        layouts.channels_last if port.data_format == "channels_last" else layouts.channels_first
    )
    as_it_is: Callable[[Batch], Batch] = lambda batch: batch  # noqa: E731
    across: Callable[[Batch], Batch] = lambda batch: moved(batch, turned)  # noqa: E731
    rank = max(part.ndim for part in batch.arrays)
    if reference.data_format == port.data_format or rank < 3:
        return [as_it_is]
    return [across, as_it_is] if rank > 3 else [as_it_is, across]


def _gap(pairing: Pairing, start: Weights, batch: Batch, dtype: str, errors: list[str]) -> float:
    """How far the outputs are apart; 0 if within bounds, with constants moved apart as well. A
    missing partner counts much more.
    """
    partners = pairing.param_map
    unpaired = len(partners.missing) + len(partners.extra) + len(partners.resized)
    if unpaired:
        return 1e3 * MOST * unpaired
    try:
        state = LadderState("", pairing, start.cast(dtype), batch)
        compared, _ = outputs(state)
        if not failures(compared):
            compared += _outputs_of_drawn(state)
    except NotRecordedError as error:
        errors.append(str(error))
        return np.inf
    except InputError:
        raise
    except Exception as error:
        errors.append(
            f"{pairing.port.name}: can't be called with batches[0] ({_error_text(error)})"
        )
        return np.inf
    gap = 0.0
    for check in failures(compared):
        gap = max(gap, min(check.difference.absolute, MOST))
    return gap


def _outputs_of_drawn(state: LadderState) -> list[Check]:
    """Outputs with constants moved apart: of biases that are all 0, and scales that are all 1, none
    could be told from another. Nothing of a recording, which was not asked for that.
    """
    if state.pairing.reference.recorded or state.pairing.port.recorded:
        return []
    params = dict(state.weights.params)
    for i, (name, tensor) in enumerate(params.items()):
        if tensor.size and not np.ptp(tensor):
            words = raw(0, "twin", i, tensor.size).astype(np.float64).reshape(tensor.shape)
            noise = words / 2.0**64 - 0.5
            moved = np.where(tensor == 0, SPREAD * noise, tensor * (1 + SPREAD * noise))
            params[name] = moved.astype(tensor.dtype)
    drawn = replace(state, weights=replace(state.weights, params=params))
    compared, _ = outputs(drawn)
    finite = all(bool(np.isfinite(array).all()) for array in drawn.left.outputs)
    return compared if finite else []


def _shared(pairing: Pairing, start: Weights, batch: Batch) -> Weights:
    """The start: the reference's weights, or those of a port that is a recording."""
    if pairing.port.recorded and not pairing.reference.recorded:
        recorded = pairing.port.start(pairing.move(batch))
        back = pairing.param_map.to_reference
        return replace(
            start,
            params={**start.params, **back(recorded.params)},
            buffers={**start.buffers, **back(recorded.buffers, True)},
        )
    return start


def _other_choice(pairing: Pairing, start: Weights, batch: Batch, dtype: str) -> Pairing:
    """Where outputs part and there is a choice, the one with which they agree."""
    first = pairing.param_map
    for chosen in itertools.islice(first.choices, SWAPS):
        partners = replace(first, params=chosen)
        candidate = replace(pairing, param_map=partners)
        if _gap(candidate, start, batch, dtype, []) == 0:
            notes = []
            for old, new in zip(first.params, chosen, strict=True):
                if old != new:
                    axes = (
                        f"{new.name} {list(new.layout.kept)} is {new.other}, axes {new.layout.axes}"
                    )
                    notes.append(f"{axes}: only so the outputs agree")
            partners = replace(partners.verified(), notes=tuple(notes))
            return replace(candidate, param_map=partners)
    names = []
    for partner in first.guessed:
        # where names count up on both sides, as fc1, fc2 and Dense_0, Dense_1, their order tells
        numbered = numbers_in(partner.name) and numbers_in(partner.other)
        if not numbered and not partner.by_calls:
            names.append(partner.name)
    if names and _undecided(LadderState("", pairing, start.cast(dtype), batch), names):
        raise InputError(
            f"which parameter is which can't be told: {', '.join(names[:6])} fit several of the "
            f"port's and no choice makes the outputs agree; say it by param_map={{name: name}}; "
            f"so far: {'; '.join(first.table())}"
        )
    return pairing


def _undecided(state: LadderState, names: list[str]) -> bool:
    """Whether what parts first may be a wrong partner: not if it is another module, or between."""
    if "modules" in state.pairing.port.unsupported:
        return True
    _, fault = walk(state)
    return fault is None or (
        fault.call is not None and any(name.startswith(fault.call.module) for name in names)
    )
