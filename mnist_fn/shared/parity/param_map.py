"""Which parameter of a port is which of the reference: by name, by shape, by what agrees."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.layouts import Layout, layouts
from mnist_fn.shared.parity.program import Tensors, Weights

WORDS = {
    "kernel": "weight", "scale": "weight", "embedding": "weight", "w": "weight", "gamma": "weight",
    "b": "bias", "offset": "bias", "beta": "bias",
    "running_mean": "mean", "running_var": "var", "moving_mean": "mean", "moving_variance": "var",
}  # fmt: skip
KINDS = ("weight", "bias", "mean", "var")
ORDERS = 120  # of modules that fit as well as each other
PREFIXES = ("module", "_orig_mod", "params", "batch_stats")


@dataclass(frozen=True)
class ParamPair:
    """A tensor of the reference, its partner in the port, and how the one lies in the other."""

    name: str
    other: str
    layout: Layout
    sure: bool = True  # the names say so, or there is no other


@dataclass(frozen=True)
class ParamMap:
    """All of them; `missing` and `left` have none."""

    params: tuple[ParamPair, ...]
    buffers: tuple[ParamPair, ...] = ()
    missing: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    choices: tuple[tuple[ParamPair, ...], ...] = field(default=(), repr=False)  # other assignments

    def to_port(self, weights: Weights, like: Weights) -> Weights:
        """The reference's weights as the port takes them; what has no partner stays as it is."""
        params, buffers = dict(like.params), dict(like.buffers)
        for partner in self.params:
            params[partner.other] = partner.layout.to_port(weights.params[partner.name])
        for partner in self.buffers:
            buffers[partner.other] = partner.layout.to_port(weights.buffers[partner.name])
        return Weights(params, buffers)

    def to_reference(self, tensors: Tensors, buffers: bool = False) -> Tensors:
        """The port's tensors under the reference's names, in its layout."""
        chosen = self.buffers if buffers else self.params
        return {
            p.name: p.layout.to_reference(tensors[p.other]) for p in chosen if p.other in tensors
        }

    def ordered(self, module: str, array: np.ndarray) -> np.ndarray:
        """What goes into a module, in the reference's order, where its rows are reordered."""
        for partner in self.params:
            if partner.layout.rows and module_of(partner.name) == module:
                return partner.layout.ordered(array)
        return array

    def modules(self) -> dict[str, str]:
        """Modules that have all of their parameters in common: reference's name -> port's."""
        found: dict[str, set[str]] = {}
        for partner in self.params:
            found.setdefault(module_of(partner.name), set()).add(module_of(partner.other))
        return {one: others.pop() for one, others in found.items() if len(others) == 1}

    def table(self) -> str:
        """The assignment, a line each."""
        width = max((len(partner.name) for partner in self.params), default=0)
        lines = [f"{p.name:{width}}  {p.other}{_how(p.layout)}" for p in self.params]
        lines += [f"{name:{width}}  ?" for name in self.missing]
        return "\n".join(lines + [f"{'?':{width}}  {name}" for name in self.left])


def _how(layout: Layout) -> str:
    rows = f", rows reordered from {list(layout.rows)}" if layout.rows else ""
    return (f"  {list(layout.kept)} as {list(layout.shape)}" if layout.moves or rows else "") + rows


def module_of(name: str) -> str:
    """What stands before a parameter's own name; "" for the model's own."""
    return re.split(r"[./](?=[^./]*$)", name)[0] if re.search(r"[./]", name) else ""


def parts(name: str) -> tuple[tuple[str, ...], str]:
    """A name's path in words, and its kind: `blocks.0.fc1.weight` is (blocks 0 fc 1) weight."""
    *path, kind = re.split(r"[./]", name)
    bare = [part for part in path if part not in PREFIXES]
    return tuple(_words("/".join(bare))), WORDS.get(kind, kind)


def map_params(
    reference: Weights, port: Weights, usual: int, param_map: Mapping[str, Any] | None = None
) -> ParamMap:
    """ParamMap of every parameter and buffer.

    Args:
        reference: names and shapes of the one program.
        port: of the other.
        usual: 1 where kernels are [out, in] in the reference and [in, out] in the port, -1 for the
            other way about, 0 where both are alike.
        param_map: reference's name -> port's name, or (port's name, axes), or (port's name,
            "channels last", (channels, rows, columns)) for a dense layer behind a flattening.

    Raises:
        InputError: `param_map` names what isn't there, or shapes that don't fit.
    """
    told = _told(reference, port, usual, param_map or {})
    params, missing, left, choices = _match(reference.params, port.params, usual, told)
    buffers, _, _, _ = _match(reference.buffers, port.buffers, usual, told)
    return ParamMap(tuple(params), tuple(buffers), tuple(missing), tuple(left), (), tuple(choices))


def _match(
    ours: Tensors, theirs: Tensors, usual: int, told: Mapping[str, ParamPair]
) -> tuple[list[ParamPair], list[str], list[str], list[tuple[ParamPair, ...]]]:
    taken = {p.other for p in told.values()}
    fits = {
        (a, b): found
        for a, x in ours.items() if a not in told
        for b, y in theirs.items() if b not in taken
        and _kinds_fit(a, b)
        and (found := layouts(x.shape, y.shape, usual if _is_kernel(a, b) else 0))
    }  # fmt: skip
    scores = {pair: _likeness(*pair) for pair in fits}
    level = np.inf, dict(scores)
    order = {name: i for i, name in enumerate(ours)}
    places = {name: i for i, name in enumerate(theirs)}
    chosen = dict(told)
    while scores:
        best = max(scores.values())
        if best < level[0]:  # who is left when it comes to names as alike as these
            level = best, dict(scores)
        # of equal names the first of the one is the first of the other
        a, b = min((pair for pair, score in scores.items() if score == best),
                   key=lambda pair: (order[pair[0]], places[pair[1]]))  # fmt: skip
        rivals = [pair for pair, score in level[1].items()
                  if score == best and (pair[0] == a) != (pair[1] == b)]  # fmt: skip
        chosen[a] = ParamPair(a, b, fits[a, b][0], sure=not rivals)
        scores = {pair: s for pair, s in scores.items() if pair[0] != a and pair[1] != b}
    found = [chosen[name] for name in ours if name in chosen]
    used = {partner.other for partner in found}
    missing = [name for name in ours if name not in chosen]
    left = [name for name in theirs if name not in used]
    return found, missing, left, list(_others(found, fits))


def _others(
    found: list[ParamPair], fits: dict[tuple[str, str], list[Layout]]
) -> Iterator[tuple[ParamPair, ...]]:
    """Other assignments where there is a choice: a tensor's axes, then modules that fit as well."""
    for i, partner in enumerate(found):
        for layout in fits.get((partner.name, partner.other), [])[1:6]:
            yield (*found[:i], replace(partner, layout=layout), *found[i + 1 :])
    modules: dict[str, list[ParamPair]] = {}
    for partner in found:
        modules.setdefault(module_of(partner.name), []).append(partner)
    kinds: dict[Any, list[str]] = {}
    for name, own in modules.items():
        if not all(partner.sure for partner in own):
            kinds.setdefault(tuple(partner.layout for partner in own), []).append(name)
    for names in kinds.values():
        for order in itertools.islice(itertools.permutations(names), 1, ORDERS):
            moved = {
                one.name: ParamPair(one.name, two.other, one.layout, False)
                for a, b in zip(names, order, strict=True)
                for one, two in zip(modules[a], modules[b], strict=True)
            }
            if all((p.name, p.other) in fits for p in moved.values()):
                yield tuple(moved.get(partner.name, partner) for partner in found)


def _is_kernel(a: str, b: str) -> bool:
    """Flax's `embedding` and `scale` lie as PyTorch's; so does what is called a weight on both."""
    last = {re.split(r"[./]", name)[-1] for name in (a, b)}
    return last != {"weight"} and not last & {"embedding", "scale"}


def _kinds_fit(a: str, b: str) -> bool:
    one, two = (next((w for w in _words(parts(n)[1]) if w in KINDS), "") for n in (a, b))
    return one == two or not (one and two)


def _likeness(a: str, b: str) -> float:
    """How alike two names are: 3 for the same words in the same order, else the share of words
    in common, up to 1, and a half if the last are the same.
    """
    (one, kind), (two, other) = parts(a), parts(b)
    if one == two and kind == other:
        return 3.0
    ours, theirs = {*one, *_words(kind)}, {*two, *_words(other)}
    return len(ours & theirs) / max(1, len(ours | theirs)) + 0.5 * (kind == other)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower())


def _told(
    reference: Weights, port: Weights, usual: int, param_map: Mapping[str, Any]
) -> dict[str, ParamPair]:
    told = {}
    ours = {**reference.params, **reference.buffers}
    theirs = {**port.params, **port.buffers}
    for name, value in param_map.items():
        other, *how = (value,) if isinstance(value, str) else value
        for program, key, there in (("reference", name, ours), ("port", other, theirs)):
            if key not in there:
                raise InputError(
                    f"param_map: the {program} has no {str(key)[:60]!r}; it has {_some(there)}"
                )
        kept, shape = ours[name].shape, theirs[other].shape
        fits = layouts(kept, shape, usual if _is_kernel(name, other) else 0)
        rows: tuple[int, ...] = ()
        if how and how[0] == "channels last":
            rows = tuple(how[1])
            if int(np.prod(rows)) != kept[-1]:
                raise InputError(
                    f"param_map: {name} has {kept[-1]} inputs, not {' × '.join(map(str, rows))}"
                )
        elif how:
            fits = [layout for layout in fits if layout.axes == tuple(how[0])]
        if not fits:
            raise InputError(f"param_map: {name} {list(kept)} does not fit {other} {list(shape)}")
        told[name] = ParamPair(name, other, replace(fits[0], rows=rows))
    return told


def _some(names: Mapping[str, Any]) -> str:
    listed = list(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")
