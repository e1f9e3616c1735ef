"""Which parameter of a port is which of the reference: by name, by shape, by what agrees."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.division import (
    Division,
    divided,
    divided_tensors,
    find_divisions,
    joined_tensors,
)
from mnist_fn.shared.parity.layouts import Layout, layouts
from mnist_fn.shared.parity.program import Tensors, Weights

WORDS = {
    "kernel": "weight", "scale": "weight", "embedding": "weight", "w": "weight", "gamma": "weight",
    "b": "bias", "offset": "bias", "beta": "bias",
    "running_mean": "mean", "running_var": "var", "moving_mean": "mean", "moving_variance": "var",
}  # fmt: skip
KINDS = ("weight", "bias", "mean", "var")
SAME_NAMES = 3.0  # how alike two names of the same words are
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
    by_calls: bool = False  # names or places and the order of calls say the same


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
    # parameters that are several of the other program's: of the reference, of the port
    joined: tuple[tuple[Division, ...], tuple[Division, ...]] = ((), ())

    @property
    def guessed(self) -> tuple[ParamPair, ...]:
        """Pairs that nothing but their order and shape tells."""
        return tuple(pair for pair in self.params if not pair.sure)

    def verified(self) -> "ParamMap":
        """The same where outputs agree: no pair is a guess."""
        return replace(self, params=tuple(replace(pair, sure=True) for pair in self.params))

    def to_port(self, weights: Weights, like: Weights) -> Weights:
        """The reference's weights as the port takes them; what has no partner stays as it is."""
        params, buffers = dict(divided(like, self.joined[1]).params), dict(like.buffers)
        weights = divided(weights, self.joined[0])
        for partner in self.params:
            params[partner.other] = partner.layout.to_port(weights.params[partner.name])
        for partner in self.fixed:
            params[partner.other] = partner.layout.to_port(weights.buffers[partner.name])
        for partner in self.buffers:
            buffers[partner.other] = partner.layout.to_port(weights.buffers[partner.name])
        return Weights(joined_tensors(params, self.joined[1]), buffers)

    def to_reference(self, tensors: Tensors, buffers: bool = False) -> Tensors:
        """The port's tensors under the reference's names, in its layout."""
        tensors, translated = divided_tensors(tensors, self.joined[1]), {}
        for pair in self.buffers if buffers else (*self.params, *self.fixed):
            if pair.other in tensors:
                translated[pair.name] = pair.layout.to_reference(tensors[pair.other])
        return joined_tensors(translated, self.joined[0])

    def ordered(self, module: str, array: np.ndarray) -> np.ndarray:
        """What goes into a module, in the reference's order, where its rows are reordered."""
        for partner in self.params:
            if partner.layout.rows and module_of(partner.name) == module:
                return partner.layout.ordered(array)
        return array

    def modules(self) -> dict[str, str]:
        """Modules that have all of their parameters in common: reference's name -> port's."""
        pairs = {modules_of((pair.name, pair.other)) for pair in self.params}
        counts = Counter(module for module, _ in pairs)
        other_counts = Counter(other for _, other in pairs)
        partners = {}
        for pair in self.params:
            module, other = modules_of((pair.name, pair.other))
            if counts[module] == other_counts[other] == 1:
                partners[module] = other
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
    reference: Weights,
    port: Weights,
    usual: int,
    param_map: Mapping[str, Any] | None = None,
    calls: tuple[Sequence[str], Sequence[str]] | None = None,
) -> ParamMap:
    """ParamMap of every parameter and buffer.

    Args:
        reference: names and shapes of the one program.
        port: of the other.
        usual: 1 where kernels are [out, in] in the reference and [in, out] in the port, -1 for the
            other way about, 0 where both are alike.
        param_map: reference's name -> port's name, or (port's name, axes), or (port's name,
            "channels last", (channels, rows, columns)) for a dense layer behind a flattening.
        calls: modules of both in the order in which their calls end; partners of other names are
            then those at the same place. None: names and the order of parameters tell.

    Raises:
        InputError: `param_map` names what isn't there, or shapes that don't fit.
    """
    named = _named_tensors(param_map or {})
    joined = (
        find_divisions(reference.params, port.params, usual >= 0, _kind, named),
        find_divisions(port.params, reference.params, usual <= 0, _kind, named),
    )
    reference, port = divided(reference, joined[0]), divided(port, joined[1])
    declared = _declared_pairs(reference, port, usual, param_map or {})
    fits = _fits(reference.params, port.params, usual, declared)
    called = ()
    if calls is not None:
        calls = _parts_called(calls[0], joined[0]), _parts_called(calls[1], joined[1])
        called = _called_alike(reference.params, port.params, fits, calls)
    params = _match(reference.params, port.params, fits, declared, called)
    partners = {modules_of((pair.name, pair.other)) for pair in params}
    buffers_fit = _fits(reference.buffers, port.buffers, usual, declared)
    buffers = _match(reference.buffers, port.buffers, buffers_fit, declared, partners)
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
        joined=joined,
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
    ours: Tensors,
    theirs: Tensors,
    fits: Fits,
    declared: Mapping[str, ParamPair],
    modules: Iterable[tuple[str, str]] = (),
) -> list[ParamPair]:
    """Declared pairs that are in both, and of those that fit the likeliest by name and place. The
    rest of a module belongs to its partner, and so does all of it where `modules` are partners.
    """
    levels = _levels(ours, theirs, fits)
    chosen, taken = dict(declared), {pair.other for pair in declared.values()}
    partners = {*modules, *(modules_of((pair.name, pair.other)) for pair in declared.values())}
    whole = _whole_modules(ours, theirs, fits)
    is_free = lambda pair: pair[0] not in chosen and pair[1] not in taken  # noqa: E731

    def take(pairs: Iterable[tuple[str, str]], sure: bool) -> None:
        for a, b in filter(is_free, pairs):
            chosen[a] = ParamPair(a, b, fits[a, b][0], sure)
            taken.add(b)

    for pair in partners & whole.keys():
        take(whole[pair], True)
    for level in levels.values():
        alike = remaining = list(filter(is_free, level))
        while remaining:
            # modules that fit in all of their tensors are partners, then the first is the first
            first = min(
                remaining,
                key=lambda pair: (modules_of(pair) not in partners, modules_of(pair) not in whole),
            )
            rivals = [pair for pair in alike if (pair[0] == first[0]) != (pair[1] == first[1])]
            take([first, *whole.get(modules_of(first), ())], not rivals)
            partners.add(modules_of(first))
            remaining = list(filter(is_free, remaining))
    return [chosen[name] for name in ours if name in chosen]


def _levels(ours: Tensors, theirs: Tensors, fits: Fits) -> dict[float, list[tuple[str, str]]]:
    """Pairs that fit, by how alike their names are, the most alike first."""
    numbers = {**_places_of_numbers(ours), **_places_of_numbers(theirs)}
    levels: dict[float, list[tuple[str, str]]] = {}
    for a, b in fits:
        levels.setdefault(_likeness(a, b, numbers[a] == numbers[b]), []).append((a, b))
    return dict(sorted(levels.items(), reverse=True))


def _whole_modules(
    ours: Tensors, theirs: Tensors, fits: Fits
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Pairs of modules with as many tensors, each of which may be one of the other module's; and
    the pairs of these, those whose names are most alike first.
    """
    sizes, other_sizes = Counter(map(module_of, ours)), Counter(map(module_of, theirs))
    fitting: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for pair in itertools.chain(*_levels(ours, theirs, fits).values()):
        fitting.setdefault(modules_of(pair), []).append(pair)
    whole = {}
    for (module, other), pairs in fitting.items():
        names, partners = map(set, zip(*pairs, strict=True))
        if len(names) == len(partners) == sizes[module] == other_sizes[other]:
            whole[module, other] = pairs
    return whole


def _called_alike(
    ours: Tensors, theirs: Tensors, fits: Fits, calls: tuple[Sequence[str], Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """Yield modules that are called at the same place, where their names don't tell."""
    named = dict(_levels(ours, theirs, fits).get(SAME_NAMES, ()))
    sizes = _sizes(ours, calls[0], set(named))
    other_sizes = _sizes(theirs, calls[1], set(named.values()))
    names, others = list(sizes), list(other_sizes)
    matcher = SequenceMatcher(
        None, list(sizes.values()), list(other_sizes.values()), autojunk=False
    )
    for first, second, length in matcher.get_matching_blocks():
        aligned = slice(first, first + length), slice(second, second + length)
        yield from zip(names[aligned[0]], others[aligned[1]], strict=True)


def _parts_called(modules: Iterable[str], divisions: Iterable[Division]) -> list[str]:
    """The order of calls with the parts of a module's joined parameters behind it."""
    parts_of: dict[str, list[str]] = {}
    for division in divisions:
        parts_of.setdefault(module_of(division.name), []).extend(map(module_of, division.parts))
    called: list[str] = []
    for module in modules:
        called += [module, *parts_of.get(module, [])]
    return called


def _sizes(tensors: Tensors, modules: Iterable[str], named: set[str]) -> dict[str, tuple[Any, ...]]:
    """Kind and size of each of a module's tensors, by module, in the order given; of tensors that
    aren't among some.
    """
    members: dict[str, list[tuple[str, int]]] = {module: [] for module in modules}
    for name, tensor in tensors.items():
        if name not in named and module_of(name) in members:
            members[module_of(name)].append((_kind(name), tensor.size))
    return {module: tuple(sorted(sizes)) for module, sizes in members.items() if sizes}


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
        return SAME_NAMES
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


def _named_tensors(param_map: Mapping[str, Any]) -> set[str]:
    """All names in what a user says of parameters."""
    return {*param_map, *(v if isinstance(v, str) else v[0] for v in param_map.values())}


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
