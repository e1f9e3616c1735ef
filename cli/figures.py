"""`mnist-fn figures`."""


def command() -> None:
    """x"""
