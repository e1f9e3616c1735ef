"""pandas, for whoever asks for a frame; an extra."""

from typing import Any

from mnist_fn.shared.errors import missing


def pandas(what: str) -> Any:
    """The module.

    Args:
        what: whose `to_frame` asks for it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise missing(f"{what}.to_frame", "pandas", error) from error
    return pd
