"""Which parameter of a port is which of the reference: by name, by shape, by what agrees."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
SAME_NUMBERS = 0.1  # what equal numbers add to how alike two names are
ORDERS = 120  # of modules that fit as well as each other
PREFIXES = ("module", "_orig_mod", "params", "batch_stats")


UNMOVED = Layout((), (), ())
Fits = dict[tuple[str, str], list[Layout]]


@dataclass(frozen=True)
class ParamPair:
    """A tensor of the reference, its partner in the port, and how the one lies in the other."""

    name: str
    other: str
    layout: Layout
    sure: bool = True  # the names say so, or there is no other


@dataclass(frozen=True)
class ParamMap:
    """All of them. `missing` and `extra` have none; `resized` are likely pairs of two shapes."""

    params: tuple[ParamPair, ...]
    buffers: tuple[ParamPair, ...] = ()
    fixed: tuple[ParamPair, ...] = ()  # buffers of the reference that are parameters of the port
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    resized: tuple[ParamPair, ...] = ()
    notes: tuple[str, ...] = ()
    choices: tuple[tuple[ParamPair, ...], ...] = field(default=(), repr=False)  # other assignments

    @property
    def guessed(self) -> tuple[ParamPair, ...]:
        """Pairs that nothing but their order and shape tells."""
        return tuple(pair for pair in self.params if not pair.sure)

    def verified(self) -> "ParamMap":
        """The same where outputs agree: no pair is a guess."""
        return replace(self, params=tuple(replace(pair, sure=True) for pair in self.params))

    def to_port(self, weights: Weights, like: Weights) -> Weights:
        """The reference's weights as the port takes them; what has no partner stays as it is."""
        params, buffers = dict(like.params), dict(like.buffers)
        for partner in self.params:
            params[partner.other] = partner.layout.to_port(weights.params[partner.name])
        for partner in self.fixed:
            params[partner.other] = partner.layout.to_port(weights.buffers[partner.name])
        for partner in self.buffers:
            buffers[partner.other] = partner.layout.to_port(weights.buffers[partner.name])
        return Weights(params, buffers)

    def to_reference(self, tensors: Tensors, buffers: bool = False) -> Tensors:
        """The port's tensors under the reference's names, in its layout."""
        translated = {}
        for pair in self.buffers if buffers else (*self.params, *self.fixed):
            if pair.other in tensors:
                translated[pair.name] = pair.layout.to_reference(tensors[pair.other])
        return translated

    def ordered(self, module: str, array: np.ndarray) -> np.ndarray:
        """What goes into a module, in the reference's order, where its rows are reordered."""
        for partner in self.params:
            if partner.layout.rows and module_of(partner.name) == module:
                return partner.layout.ordered(array)
        return array

    def modules(self) -> dict[str, str]:
        """Modules that have all of their parameters in common: reference's name -> port's."""
        partners: dict[str, str] = {}
        divided = set()
        for pair in self.params:
            module, partner = module_of(pair.name), module_of(pair.other)
            if partners.setdefault(module, partner) != partner:
                divided.add(module)
        for module in divided:
            del partners[module]
        return partners

    def table(self) -> list[str]:
        """The assignment, a line each."""
        pairs = [*self.params, *self.resized]
        pairs += [ParamPair(name, "?", UNMOVED) for name in self.missing]
        pairs += [ParamPair("?", name, UNMOVED) for name in self.extra]
        return listed(pairs)


def listed(pairs: Sequence[ParamPair]) -> list[str]:
    """Pairs, a line each."""
    width = max((len(pair.name) for pair in pairs), default=0)
    return [f"{pair.name:{width}}  {pair.other}{_layout_text(pair.layout)}" for pair in pairs]


def _layout_text(layout: Layout) -> str:
    rows = f", rows reordered from {list(layout.rows)}" if layout.rows else ""
    changed = layout.moves or rows or math.prod(layout.kept) != math.prod(layout.shape)
    return (f"  {list(layout.kept)} as {list(layout.shape)}" if changed else "") + rows


def module_of(name: str) -> str:
    """What stands before a parameter's own name; "" for the model's own."""
    return re.split(r"[./](?=[^./]*$)", name)[0] if re.search(r"[./]", name) else ""


def modules_of(pair: tuple[str, str]) -> tuple[str, str]:
    """The modules of two parameters."""
    return module_of(pair[0]), module_of(pair[1])


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
    declared = _declared_pairs(reference, port, usual, param_map or {})
    fits = _fits(reference.params, port.params, usual, declared)
    params = _match(reference.params, port.params, fits, declared)
    buffers_fit = _fits(reference.buffers, port.buffers, usual, declared)
    buffers = _match(reference.buffers, port.buffers, buffers_fit, declared)
    missing, extra = _unpaired(reference.params, port.params, params)
    tables, _ = _unpaired(reference.buffers, port.buffers, buffers)
    words, named = set(map(parts, tables)), {}
    for name, tensor in extra.items():
        if parts(name) in words:
            named[name] = tensor
    fixed = _match(tables, named, _fits(tables, named, usual, {}), {})
    _, extra = _unpaired({}, extra, fixed)
    resized = _match(missing, extra, _resized(missing, extra), {})
    missing, extra = _unpaired(missing, extra, resized)
    return ParamMap(
        tuple(params),
        tuple(buffers),
        tuple(fixed),
        tuple(missing),
        tuple(extra),
        tuple(resized),
        choices=tuple(_other_assignments(params, fits)),
    )


def _unpaired(ours: Tensors, theirs: Tensors, pairs: list[ParamPair]) -> tuple[Tensors, Tensors]:
    """Of both programs the tensors that are in none of the pairs."""
    ours, theirs = dict(ours), dict(theirs)
    for pair in pairs:
        ours.pop(pair.name, None)
        theirs.pop(pair.other, None)
    return ours, theirs


def _resized(ours: Tensors, theirs: Tensors) -> Fits:
    """Pairs of one kind and rank, whatever their shapes."""
    fits: Fits = {}
    for (a, x), (b, y) in itertools.product(ours.items(), theirs.items()):
        if parts(a)[1] == parts(b)[1] and x.ndim == y.ndim:
            fits[a, b] = [Layout(tuple(range(x.ndim)), y.shape, x.shape)]
    return fits


def _fits(ours: Tensors, theirs: Tensors, usual: int, declared: Mapping[str, ParamPair]) -> Fits:
    """Pairs of tensors, of which one may be the other, with the layouts for that."""
    ours, theirs = _unpaired(ours, theirs, list(declared.values()))
    fits: Fits = {}
    for (a, x), (b, y) in itertools.product(ours.items(), theirs.items()):
        kinds = {_kind(a), _kind(b)} - {""}
        options = layouts(x.shape, y.shape, usual if _is_kernel(a, b) else 0)
        if options and len(kinds) < 2:
            fits[a, b] = options
    return fits


def _match(
    ours: Tensors, theirs: Tensors, fits: Fits, declared: Mapping[str, ParamPair]
) -> list[ParamPair]:
    """Declared pairs that are in both, and of those that fit the likeliest by name and place."""
    numbers = {**_places_of_numbers(ours), **_places_of_numbers(theirs)}
    levels: dict[float, list[tuple[str, str]]] = {}
    for a, b in fits:
        levels.setdefault(_likeness(a, b, numbers[a] == numbers[b]), []).append((a, b))
    chosen, taken = dict(declared), set()
    partners = {modules_of((pair.name, pair.other)) for pair in declared.values()}
    whole = _whole_modules(ours, theirs, fits)
    is_free = lambda pair: pair[0] not in chosen and pair[1] not in taken  # noqa: E731
    for _, pairs in sorted(levels.items(), reverse=True):
        alike = remaining = list(filter(is_free, pairs))
        while remaining:
            # the rest of a module belongs to its partner, then modules that fit in all of their
            # tensors are partners, then the first is the first
            a, b = min(
                remaining,
                key=lambda pair: (modules_of(pair) not in partners, modules_of(pair) not in whole),
            )
            rivals = [pair for pair in alike if (pair[0] == a) != (pair[1] == b)]
            chosen[a] = ParamPair(a, b, fits[a, b][0], sure=not rivals)
            taken.add(b)
            partners.add(modules_of((a, b)))
            remaining = list(filter(is_free, remaining))
    return [chosen[name] for name in ours if name in chosen]


def _whole_modules(ours: Tensors, theirs: Tensors, fits: Fits) -> set[tuple[str, str]]:
    """Pairs of modules with as many tensors, each of which may be one of the other module's."""
    sizes, other_sizes = Counter(map(module_of, ours)), Counter(map(module_of, theirs))
    fitting: dict[tuple[str, str], set[str]] = {}
    for pair in fits:
        fitting.setdefault(modules_of(pair), set()).add(pair[0])
    whole = set()
    for (module, other), names in fitting.items():
        if len(names) == sizes[module] == other_sizes[other]:
            whole.add((module, other))
    return whole


def _other_assignments(pairs: list[ParamPair], fits: Fits) -> Iterator[tuple[ParamPair, ...]]:
    """Other assignments where there is a choice: a tensor's axes, then modules that fit as well."""
    for i, partner in enumerate(pairs):
        for layout in fits.get((partner.name, partner.other), [])[1:6]:
            yield (*pairs[:i], replace(partner, layout=layout), *pairs[i + 1 :])
    modules: dict[str, list[ParamPair]] = {}
    for partner in pairs:
        modules.setdefault(module_of(partner.name), []).append(partner)
    kinds: dict[Any, list[list[ParamPair]]] = {}
    for members in modules.values():
        if not all(partner.sure for partner in members):
            kinds.setdefault(tuple(partner.layout for partner in members), []).append(members)
    for alike in kinds.values():
        for order in itertools.islice(itertools.permutations(alike), 1, ORDERS):
            moved, exchanged = {pair.name: pair for pair in pairs}, set()
            for first, second in zip(itertools.chain(*alike), itertools.chain(*order), strict=True):
                moved[first.name] = replace(first, other=second.other, sure=False)
                exchanged.add((first.name, second.other))
            if exchanged <= fits.keys():
                yield tuple(moved.values())


def _is_kernel(a: str, b: str) -> bool:
    """Flax's `embedding`, `scale` and `bias` lie as PyTorch's; so does what is called a weight on
    both.
    """
    last = {re.split(r"[./]", a)[-1], re.split(r"[./]", b)[-1]}
    return last != {"weight"} and not last & {"bias", "embedding", "scale"}


def _kind(name: str) -> str:
    """Which of KINDS a name says; "" if none."""
    for word in _words(parts(name)[1]):
        if word in KINDS:
            return word
    return ""


def _likeness(a: str, b: str, same_numbers: bool) -> float:
    """How alike two names are: 3 for the same words in the same order, with numbers between the
    same ones; else the share of words in common, up to 1, and a half if the last are the same.

    Numbers count where the words before them are partly the same, and by their places: `conv1` and
    `Conv_0` are the first of each, and the number of `fc1` says nothing of `Dense_1`.
    """
    (words_a, kind_a), (words_b, kind_b) = parts(a), parts(b)
    # BLOOM's h_to_4h and 4h_to_h have the same words, and a number each
    if _numbered(words_a) == _numbered(words_b) and kind_a == kind_b and same_numbers:
        return 3.0
    path_a = set(itertools.filterfalse(str.isdigit, words_a))
    path_b = set(itertools.filterfalse(str.isdigit, words_b))
    ours, theirs = path_a, path_b
    if kind_a != kind_b:
        ours, theirs = ours | {*_words(kind_a)}, theirs | {*_words(kind_b)}
    share = len(ours & theirs) / max(1, len(ours | theirs))
    same_place = same_numbers and not path_a.isdisjoint(path_b)
    return share + 0.5 * (kind_a == kind_b) + SAME_NUMBERS * same_place


def _numbered(words: Sequence[str]) -> list[str]:
    """The words, with 0 in place of any number."""
    return ["0" if word.isdigit() else word for word in words]


def numbers_in(name: str) -> list[tuple[tuple[str, ...], int]]:
    """The numbers in a name, each behind the words before it."""
    words, numbers = parts(name)[0], []
    for i, word in enumerate(words):
        if word.isdigit():
            numbers.append((words[:i], int(word)))
    return numbers


def _places_of_numbers(names: Iterable[str]) -> dict[str, list[int]]:
    """The numbers in each name, each as its place among those behind the same words, from 0."""
    behind: dict[tuple[str, ...], set[int]] = {}
    for name in names:
        for words, number in numbers_in(name):
            behind.setdefault(words, set()).add(number)
    places = {}
    for name in names:
        places[name] = [sorted(behind[words]).index(n) for words, n in numbers_in(name)]
    return places


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower())


def _declared_pairs(
    reference: Weights, port: Weights, usual: int, param_map: Mapping[str, Any]
) -> dict[str, ParamPair]:
    pairs = {}
    ours = {**reference.params, **reference.buffers}
    theirs = {**port.params, **port.buffers}
    for name, value in param_map.items():
        partner, *options = (value,) if isinstance(value, str) else value
        for program, key, tensors in (("reference", name, ours), ("port", partner, theirs)):
            if key not in tensors:
                names = ", ".join(list(tensors)[:8]) + (", …" if len(tensors) > 8 else "")
                raise InputError(
                    f"param_map: the {program} has no {str(key)[:60]!r}; it has {names}"
                )
        source, shape = ours[name].shape, theirs[partner].shape
        fits = layouts(source, shape, usual if _is_kernel(name, partner) else 0)
        rows: tuple[int, ...] = ()
        if options and options[0] == "channels last":
            rows = tuple(options[1])
            if int(np.prod(rows)) != source[-1]:
                raise InputError(
                    f"param_map: {name} has {source[-1]} inputs, not {' × '.join(map(str, rows))}"
                )
        elif options:
            fits = [layout for layout in fits if layout.axes == tuple(options[0])]
        if not fits:
            raise InputError(
                f"param_map: {name} {list(source)} does not fit {partner} {list(shape)}"
            )
        pairs[name] = ParamPair(name, partner, replace(fits[0], rows=rows))
    return pairs
