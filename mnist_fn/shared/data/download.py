"""Fetching a dataset's four files into the user's cache, checked by their published SHA-256."""

import logging
from pathlib import Path

from mnist_fn.shared.data.cache import cache_dir
from mnist_fn.shared.data.files import FILES, SHA256_GZ, TORCHVISION
from mnist_fn.shared.errors import InputError, template
from mnist_fn.shared.storage import made_folder

# The places that torchvision takes them from.
MIRRORS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "kmnist": "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
}
# Of MNIST's published .gz files; whoever compressed them again has the same content in others.
_MNIST_GZ = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)


def fetch(name: str) -> Path:
    """Download a dataset into the cache and return the folder that holds it.

    A file appears under its name once it is whole and its digest is the published one; what is
    there already is not fetched again.

    Raises:
        InputError: no network, a broken download, or a cache that can't be written.
    """
    import pooch
    from requests import RequestException

    folder = cache_dir() / "data"
    place = folder / TORCHVISION[name] / "raw"
    pooch.get_logger().setLevel(logging.WARNING)
    digests = SHA256_GZ.get(name, _MNIST_GZ)
    try:
        with made_folder(place):
            for file, digest in zip(FILES, digests, strict=True):
                address = f"{MIRRORS[name]}{file}.gz"
                pooch.retrieve(address, f"sha256:{digest}", f"{file}.gz", path=place)
    except (InputError, PermissionError) as error:  # of the folder, or of a file within
        cause = error if isinstance(error, OSError) else error.__cause__
        raise InputError(
            f"{folder}: can't be written ({getattr(cause, 'strerror', cause)})",
            hint=template(
                "name another place with {data_dir} or MNIST_FN_DATA, or run with {dataset=digits}"
            ),
        ) from error
    except (OSError, ValueError, RequestException) as error:
        raise InputError(
            f"{name}: not on this machine and the download failed ({_reason(error)})",
            hint=(
                f"put {', '.join(FILES)} (.gz or not) into {folder}, or ",
                *template("name their folder with {data_dir} or MNIST_FN_DATA, or run with "),
                *template("{dataset=digits}, which needs no files"),
            ),
        ) from error
    return folder


def _reason(error: Exception) -> str:
    """Return the cause in short: libraries name it last, after what they tried."""
    tried = getattr(error.args[0] if error.args else None, "reason", None)
    tried = getattr(tried, "original_error", tried)  # of a proxy
    text = str(tried or error).strip()
    if tried is not None:
        text = text.partition(": ")[2] or text
    return text.splitlines()[-1][:120] if text else type(error).__name__
