"""The first rung: which parameter is which, in which layout the port takes its inputs."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import layouts
from mnist_fn.shared.parity.batches import moved
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.ladder_state import LadderState, Pairing
from mnist_fn.shared.parity.modules import outputs, walk
from mnist_fn.shared.parity.packing import NotRecordedError
from mnist_fn.shared.parity.param_map import ParamMap, map_params, numbers_in
from mnist_fn.shared.parity.program import Batch, Program, Weights
from mnist_fn.shared.parity.result import Check, failures

MOST = 1e3  # a difference of outputs counts no more than that
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
    tried: list[tuple[float, Pairing, Weights]] = []
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
        tried.append((_gap(pairing, shared, batch, dtype, errors), pairing, shared))
        if tried[-1][0] == 0:
            break
    if not tried:
        raise InputError(f"{port.name}: can't be called with batches[0] ({errors[0]})")
    gap, pairing, start = min(tried, key=lambda choice: choice[0])
    if not np.isfinite(gap):
        raise InputError(errors[0])
    if gap == 0:
        pairing = replace(pairing, param_map=pairing.param_map.verified())
    elif gap <= MOST:
        pairing = _other_choice(pairing, start, batch, dtype)
    start = start.cast(dtype)
    port_start, moved_batch = pairing.param_map.to_port(start, pairing.like), pairing.move(batch)
    called(port, lambda: port.check_deterministic(port_start, moved_batch))
    return pairing, start


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
    partners, like = pairing.param_map, pairing.like
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
    """How far the outputs are apart; 0 if within bounds. A missing partner counts much more."""
    partners = pairing.param_map
    unpaired = len(partners.missing) + len(partners.extra) + len(partners.resized)
    if unpaired:
        return 1e3 * MOST * unpaired
    try:
        state = LadderState("", pairing, start.cast(dtype), batch)
        compared, _ = outputs(state)
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
        if not (numbers_in(partner.name) and numbers_in(partner.other)):
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
