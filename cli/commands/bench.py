"""`mnist-fn bench`."""

from pathlib import Path
from typing import Annotated

from cli import options
from cli.options import option

WORDS = ("contender", "an epoch of", "what")  # columns that are no numbers


def command(
    model: options.Model = None,
    hidden: options.Hidden = None,
    batch_size: options.BatchSize = None,
    precision: options.Precision = None,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    rounds: Annotated[int, option("Turns of each contender.")] = 5,
    only: Annotated[str, option("Contenders whose names contain one of these, with commas.")] = "",
    out: Annotated[Path | None, option("Write the JSON document here too.")] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Measure an epoch against its arithmetic, PyTorch and the notebook; some minutes.

    Contenders take turns, each turn in a process of its own, so that what slows the machine slows
    all; ratios are taken round by round. It is said if other processes meanwhile use more than a
    tenth of the machine's cores.
    """
    from cli.console import answer, console, new_table, print_table
    from cli.output import print_json
    from mnist_fn.shared.errors import InputError

    with console.status("starting"):
        from mnist_fn.shared.backend import check_device
        from mnist_fn.shared.bench.contenders import choose
        from mnist_fn.shared.bench.quiet import Others
        from mnist_fn.shared.bench.report import document, epoch_table, ratio_table
        from mnist_fn.shared.bench.timing import in_a_process, take_turns
        from mnist_fn.shared.data.datasets import load_for
        from mnist_fn.shared.runs.environment import machine, versions
        from mnist_fn.shared.storage import check_output, write_sealed

        if not 1 <= rounds <= 1000:
            raise InputError(f"--rounds {rounds}: must be between 1 and 1000")
        check_device(device)
        contenders = choose(options.words(only))
        if out is not None:
            if not out.parent.is_dir():
                raise InputError(f"--out {out}: {out.parent} is no folder; make it first")
            check_output(out, overwrite=overwrite)
        config = options.make_config(
            hidden=options.hidden_from(model, hidden),
            l2=3e-5,
            batch_size=batch_size,
            precision=precision,
            dataset=options.resolved(dataset, data_dir),
        )
        examples = len(load_for(config, data_dir).train)
    other_load = Others()
    turns = take_turns(
        contenders,
        rounds,
        lambda contender: in_a_process(contender, config, data_dir, device),
        lambda line: console.print(line, style="dim"),
    )
    load = other_load.to_dict()
    measured = document(
        turns,
        config=config.to_dict(),
        examples=examples,
        what={contender.name: contender.what for contender in contenders},
        machine=machine(),
        versions=versions(),
        others=load,
        command=options.command_line(),
    )
    screen = answer(json)
    for names, rows in (epoch_table(measured), ratio_table(measured["ratios"])):
        shown = new_table(*names, flush_left=WORDS)
        shown.columns[0].overflow = "fold"
        for row in rows:
            shown.add_row(*row)
        print_table(shown, screen, leave_out=("an epoch of",))
        screen.print()
    for name, reason in turns.left_out.items():
        screen.print(f"left out: {name} ({reason})")
    if load["cores"] > load["limit"]:
        screen.print(
            f"other processes used {load['cores']:.2f} of {load['of']} cores meanwhile (limit "
            f"{load['limit']:.2f}); measure on a quiet machine"
        )
    if json:
        print_json(measured)
    if out is not None:
        write_sealed(out, measured)
