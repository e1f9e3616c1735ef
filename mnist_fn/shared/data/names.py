"""The names of a set's classes, from a file beside its data."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mnist_fn.shared.data.spec import MAX_CLASSES, check_class_name
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import open_plain

MAX_BYTES = 2**16  # of a file of names

Names = dict[int, str]  # by label


def find_names(folder: Path, prefixes: Iterable[str], used: Sequence[int]) -> Names | None:
    """Names of the labels: from EMNIST's `<set>-mapping.txt`, `<set>-classes.txt` or `classes.txt`.

    Args:
        folder: where the set's files are.
        prefixes: what the names of files of this set may begin with.
        used: the labels that there are, ascending.

    Returns:
        A name for each label that is used, and for others that the file names; None without a file.

    Raises:
        InputError: the file is damaged, or has no name for a label that is used.
    """
    set_names = [prefix for prefix in dict.fromkeys(prefixes) if prefix]
    for path in (
        *(folder / f"{prefix}-mapping.txt" for prefix in set_names),
        *(folder / f"{prefix}-classes.txt" for prefix in set_names),
        folder / "classes.txt",
    ):
        if path.exists():
            mapping = path.name.endswith("-mapping.txt")
            names = read_mapping(path) if mapping else read_classes(path, used)
            if without := sorted(set(used) - set(names)):
                raise InputError(f"{path}: has no name for label {without[0]}, which the data use")
            return names
    return None


def read_mapping(path: Path) -> Names:
    """EMNIST's mapping file: a line for each label, with the codes of its characters.

    The first character is the name: in EMNIST letters `1 65 97` is A, in both cases.

    Raises:
        InputError: a line is something else.
    """
    names: Names = {}
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        try:
            label, code, *_ = map(int, words)
            name = check_class_name(chr(code))
        except (ValueError, OverflowError, InputError) as error:
            raise InputError(
                f"{path}: line {number}: expected a label and a character's code, such as 1 65"
            ) from error
        if not 0 <= label < MAX_CLASSES or label in names:
            raise InputError(f"{path}: line {number}: label {str(label)[:20]} twice or above 255")
        names[label] = name
    _check_different(path, names)
    return names


def read_classes(path: Path, used: Sequence[int]) -> Names:
    """A name a line: for label 0, 1, 2 and so on, or for the labels that are used, in their order.

    Raises:
        InputError: it fits neither, or a line is no name.
    """
    lines = [line.strip() for line in _lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    try:
        listed = [check_class_name(line) for line in lines]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(listed) > MAX_CLASSES:
        raise InputError(f"{path}: {len(listed)} names; at most {MAX_CLASSES} are read")
    if len(listed) == len(used):
        names = dict(zip(used, listed, strict=True))
    elif used[-1] < len(listed):
        names = dict(enumerate(listed))
    else:
        raise InputError(
            f"{path}: {len(listed)} names for {len(used)} labels, {used[0]} to {used[-1]}; give a "
            f"name a line for each of these, or for all of 0 to {used[-1]}"
        )
    _check_different(path, names)
    return names


def _lines(path: Path) -> list[str]:
    with open_plain(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: longer than the {MAX_BYTES} bytes that are read of it")
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8; save it so") from error


def _check_different(path: Path, names: Names) -> None:
    earlier: set[str] = set()
    for name in names.values():
        if name in earlier:
            raise InputError(f"{path}: two labels are named {name}; give each its own name")
        earlier.add(name)
