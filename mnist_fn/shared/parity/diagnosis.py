"""The cause of a failed rung, looked for where it parts first."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.bounds import (
    AGREEING,
    CONSTANT,
    FACTORLESS,
    REORDERED,
    SUM_FACTOR,
    sum_bound,
)
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation
from mnist_fn.shared.parity.causes.gradients import explain_gradients
from mnist_fn.shared.parity.causes.rules import Rule
from mnist_fn.shared.parity.causes.update import explain_update, follows
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.layouts import aligned
from mnist_fn.shared.parity.modules import Fault, matched
from mnist_fn.shared.parity.param_map import module_of
from mnist_fn.shared.parity.program import Call, Program, Step, Tensors, Trace, Weights
from mnist_fn.shared.parity.rounding import largest_gap
from mnist_fn.shared.parity.shown_causes import (
    explain_between,
    explain_classes,
    explain_module,
    explain_order,
    explain_precision,
)
from mnist_fn.shared.parity.variant_search import Place

STEPS = 6  # of an update that is to be told from others


def explain_fault(state: LadderState, fault: Fault) -> Explanation:
    """Which variant of the reference's program gives what the port shows at a place."""
    narrow = explain_precision(state, fault)
    if narrow is not None:
        return replace(narrow, rounding=_rounded(state, fault))
    reference = state.pairing.reference
    variants = []
    for variant in reference.variants(state.left, fault.first, fault.last):
        if not any(a < variant.tick < b for a, b in fault.inside):
            variants.append(variant)
    pattern = _pattern(fault.read(state.left), fault.port_value)
    if fault.call is not None:
        pattern = f"{fault.call.kind} differs though its inputs agree: {pattern}"
        pattern += _settings(fault.call, fault.other)

    def read(trace: Trace) -> Tensors | None:
        array = fault.read(trace)
        return None if array is None else {"": array}

    place = Place(state, fault.where, read, {"": fault.port_value}, fault.terms)
    explained = place.explain(variants, pattern)
    for explain in (explain_order, explain_between, explain_module):
        explained = _or_plainly(explained, lambda e=explain: e(state, fault))
    return explained if explained.found else replace(explained, rounding=_rounded(state, fault))


def _rounded(state: LadderState, fault: Fault) -> str:
    """That a fault is as small as what float32 changes there, where a program holds numbers in
    float32 though it is run in float64; "" where that isn't so.
    """
    programs = state.pairing.reference, state.pairing.port
    places = []
    for program, texts in zip(
        programs, state.pairing.in_float32(state.weights, state.batch), strict=True
    ):
        places += [f"{program.name}: {text}" for text in texts.values()]
    change = state.spread(state.in_float32, fault.read)
    gap = largest_gap(fault.read(state.left), fault.port_value)  # 0 of what can't be compared
    if not places or not 0 < gap <= SUM_FACTOR * change:
        return ""
    listed = "; ".join(places[:4]) + (f"; and {len(places) - 4} more" if len(places) > 4 else "")
    return f"float32's rounding, which changes as much there ({change:.0e}): {listed}"


def _or_plainly(
    explained: Explanation, explain_by_tables: Callable[[], Explanation | None]
) -> Explanation:
    """What was found, else what the plain tables find; the pattern is the first's."""
    if explained.found or explained.holds:
        return explained
    plain = explain_by_tables()
    return explained if plain is None or not plain.found else plain


def explain_loss(state: LadderState) -> Explanation:
    """Which variant of the loss gives the port's value and its gradient of the outputs."""
    ends = state.left.ticks
    variants = state.pairing.reference.variants(state.left, *ends)
    port_values = _value_and_slope(state.right, state.left)
    place = Place(
        state,
        "loss and its gradient of the outputs",
        lambda s: _value_and_slope(s, s),
        port_values,
        state.lengths.loss,
    )
    explained = place.explain(variants, _ratio(state.left.loss, state.right.loss))
    return _or_plainly(explained, lambda: explain_classes(state))


def explain_slope(state: LadderState) -> Explanation:
    """Which variant of the program gives the port's gradients, where all values agree."""
    padding = _explain_padding(state)
    if padding is not None:
        return padding
    ends = state.left.ticks
    names = list(state.left.gradients)

    def read(trace: Trace) -> Tensors:
        values = {}
        for name in names:
            if name in trace.gradients:
                values[name] = trace.gradients[name]
        values["the loss"] = np.atleast_1d(trace.loss or 0.0)
        return values

    variants = state.pairing.reference.variants(state.left, 0, ends[1])
    algebra = explain_gradients(
        state.left.gradients,
        state.right.gradients,
        state.weights.params,
        state.batch.examples,
        state.dtype,
        f"{state.name or 'start'}: gradients",
    )
    place = Place(state, "gradients", read, read(state.right), state.lengths.all)
    tried = place.explain(variants, algebra.pattern)
    return tried if tried.found or not algebra.found else algebra


def _explain_padding(state: LadderState) -> Explanation | None:
    """A padding row that stands still in the reference and is trained in the port, where no other
    entry of any gradient parts.
    """
    rows = {call.module: call.settings.get("padding_idx") for call in state.left.calls}
    rounding = sum_bound(state.lengths.all, state.dtype) * max(state.sizes.values(), default=0.0)
    trained: dict[str, int] = {}  # the row of each tensor
    for name, ours in state.left.gradients.items():
        theirs = state.right.gradients.get(name)
        if theirs is None or theirs.shape != ours.shape:
            return None
        parted = abs(theirs - ours) > rounding
        row = rows.get(module_of(name))
        if row is not None and parted[row].any() and not ours[row].any():
            trained[name] = row
            parted[row] = False
        if parted.any():
            return None
    if not trained:
        return None
    cause = Candidate("padding_idx", np.nan, 0.0, declared=trained)
    return Explanation("gradients", False, (cause,), None, "")


def explain_steps(
    reference: Program, start: Weights, steps: list[tuple[Step, Step]], notes: list[str]
) -> Explanation | None:
    """Which variant of the declared rule leads from the port's gradients to its weights.

    `steps` are the reference's and the port's, from the first on. A rule that was given by hand and
    doesn't make the reference's own steps explains nothing, which a note in `notes` says.
    """
    if not steps:
        return None
    still = _explain_standing_still(start, *steps[0])
    if still is not None or reference.rule is None:
        return still
    rule = Rule(**reference.rule)
    ours, theirs = zip(*steps, strict=True)
    trained = {name: p for name, p in start.params.items() if name in theirs[0].gradients}
    dtype = str(next(iter(trained.values())).dtype)
    if reference.rule_is_given and not follows(
        rule, [step.gradients for step in ours], trained, [step.params for step in ours], dtype
    ):
        text = "its steps are not what the rule= that was given makes; no cause is named"
        notes.append(f"{reference.name}: {text}")
        return None
    return explain_update(
        rule,
        [step.gradients for step in theirs],
        trained,
        [step.params for step in theirs],
        dtype=dtype,
        subject=f"the port's weights after {len(steps)} steps",
    )


def _explain_standing_still(start: Weights, ours: Step, theirs: Step) -> Explanation | None:
    """Parameters that the port moves in a step and the reference doesn't."""
    begun = {**start.params, **start.buffers}  # a buffer may be a parameter of the port
    still, moves = [], False
    for name, value in begun.items():
        if name in theirs.params:
            moved = not np.array_equal(ours.params.get(name, value), value)
            moves = moves or moved
            if not moved and not np.array_equal(theirs.params[name], value):
                still.append(name)
    if not still or not moves:  # a step that moves nothing is a schedule's
        return None
    cause = Candidate("frozen", np.nan, 0.0, declared=still)
    return Explanation("weights after a step", False, (cause,), None, "")


def _value_and_slope(trace: Trace, like: Trace) -> Tensors:
    slopes = {}
    for i, place in enumerate(matched(like, trace)):
        if place is not None and place < len(trace.output_gradients):
            slopes[f"slope {i}"] = aligned(trace.output_gradients[place], like.output_gradients[i])
    return {"loss": np.atleast_1d(np.float64(trace.loss or 0.0)), **slopes}


def _settings(ours: Call, theirs: Call | None) -> str:
    """What two modules of one framework are set to otherwise; names of two don't mean the same."""
    if theirs is None or ours.kind != theirs.kind:
        return ""
    differing = []
    for name, value in ours.settings.items():
        if name in theirs.settings and theirs.settings[name] != value:
            differing.append(f"{name}={theirs.settings[name]}, not {value}")
    return f"; the port's has {' and '.join(differing)}" if differing else ""


def _ratio(ours: float | None, theirs: float | None) -> str:
    if not ours or theirs is None:
        return "the loss differs"
    share = theirs / ours
    text = f"{share:.9g}" if f"{share:.9g}" != "1" else f"1 {share - 1:+.1e}"
    return f"the port's is {text} times the reference's"


def _pattern(ours: np.ndarray | None, theirs: np.ndarray) -> str:
    """What can be said of two arrays without a cause."""
    if ours is None or ours.shape != theirs.shape:
        return f"shapes {None if ours is None else list(ours.shape)} and {list(theirs.shape)}"
    gap = np.abs(ours.astype(np.float64) - theirs)
    share = float((gap > AGREEING * max(float(np.abs(ours).max()), 1e-300)).mean())
    text = f"{share:.0%} of the entries differ"
    nonzero = np.abs(ours) > FACTORLESS * float(np.abs(ours).max() or 1)
    if nonzero.any():
        ratio = (theirs[nonzero] / ours[nonzero]).astype(np.float64)
        if float(np.ptp(ratio)) < CONSTANT * abs(float(ratio.mean())):
            return f"the port's is {float(ratio.mean()):.9g} times the reference's"
    if np.allclose(
        np.sort(ours, None), np.sort(theirs, None), rtol=REORDERED, atol=REORDERED / 100
    ):
        text = "the same numbers in another order"
    elif float(np.abs(theirs).max()) == 0:
        text = "the port's is 0"
    return text
