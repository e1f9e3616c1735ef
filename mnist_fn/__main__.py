"""`python -m mnist_fn` is the command `mnist-fn`, found as installed: it stands above this."""

from importlib.metadata import entry_points

if __name__ == "__main__":
    (command,) = entry_points(group="console_scripts", name="mnist-fn")
    command.load()()
