"""Limits that the pages state are the code's constants."""

import math
import re

import pytest

from mnist_fn.shared.config import MODELS
from mnist_fn.shared.data import arrays, cache, formats, meaning, spec
from mnist_fn.shared.exchange import importing
from mnist_fn.shared.parity import bounds, horizon, ladder
from mnist_fn.shared.parity.levels import HORIZON_EPOCHS, STATISTICS_EPOCHS
from mnist_fn.shared.pictures import grouping, image_files, lines
from mnist_fn.shared.pictures.reading import CONFIDENT
from mnist_fn.shared.runs.loop import CHECKPOINT_SECONDS
from mnist_fn.shared.storage import MAX_JSON_BYTES
from mnist_fn.shared.streams import MAX_PARAMETERS
from mnist_fn.shared.sweeps import workers
from tests.support.pages import ROOT
from torch_ref import exchange
from torch_ref.parity import optimizers

SECURITY = (
    f"At most {arrays.MAX_BYTES / 1e6:.0f} MB are read of one file, and of a compressed file at "
    f"most {arrays.MAX_RATIO} times its size (or {arrays._SMALL / 2**20:.0f} MiB)",
    f"keeps at most {cache.MAX_BYTES / 2**30:.0f} GiB of decompressed data",
    f"(a JSON document's by {MAX_JSON_BYTES / 2**20:.0f} MiB)",
    f"at most {image_files.MAX_PIXELS / 1e6:.0f} million pixels",
    f"The file has at most {exchange.MAX_BYTES / 2**30:.0f} GiB, and its tensors at most "
    f"{MAX_PARAMETERS:,} numbers together",
)
QUANTITY = re.compile(r"\d[\d,]* (?:MB|MiB|GiB|times|million|numbers)")
WORDS = {3: "three", 5: "five", 7: "seventh", 10: "ten", 11: "eleven"}
PAGES = {
    "SECURITY.md": SECURITY,
    "docs/cluster.md": (
        f"on another worker, up to {WORDS[workers.MAX_RETRIES]} times",
        f"If {WORDS[workers.MAX_LOST_TASKS]} tasks in a row fail",
        f"once it is {WORDS[workers.LEFTOVER_SECONDS / 60]} minutes old",
    ),
    "docs/data.md": (
        f"at most {cache.MAX_BYTES / 2**30:.0f} GiB in all",
        f"A set of more than {cache.MIN_BYTES / 2**20:.0f} MiB is kept decompressed",
        f"up to {spec.MAX_CLASSES}.",
        "under {}/3 light on dark, over {}/3 dark on light".format(
            *(round(3 * share) for share in meaning.UNCLEAR)
        ),
        f"every {WORDS[formats.EVERY]} example is held out",
    ),
    "docs/exchange.md": (
        f"below {importing.LOW['mnist']:.0%} on MNIST, or {importing.LOW_ELSEWHERE:.0%}".replace(
            "%", " %"
        ),
    ),
    "docs/parity.md": (
        f"{WORDS[len(ladder.BACKEND_RUNGS)]} rungs, ",
        f"the same accuracy? {30 * len(MODELS)} runs for each backend",
        f"{WORDS[bounds.ACCURACY_MARGIN * 100]} of MNIST's 10,000 test images",
        f"{bounds.SUM_FACTOR}·√n eps of the largest entry",
        f"({bounds.NEAR_BOUNDARY_EPS} eps of the sum of its own terms' sizes,",
        f"{bounds.ULPS_OF_ONE} eps of 1 are allowed",
        f"float64: weights {bounds.FLOAT64_BOUND:.0e}, mean loss "
        f"{bounds.REPORT_BOUND['float64']:.0e}".replace("e-0", "e-"),
        f"{bounds.PREDICTIONS_FACTOR} times the control runs' + {bounds.PREDICTIONS_SLACK}",
        f"within a factor of {bounds.HORIZON_FACTOR:g} in steps",
        f"every {horizon.STEPS_BETWEEN} steps",
        f"{HORIZON_EPOCHS['float64']} epochs in float64. It lasts {HORIZON_EPOCHS['float32']} in",
        f"δ is {bounds.ACCURACY_MARGIN:.2f} percentage points",
        f"test accuracy after {STATISTICS_EPOCHS} epochs",
    ),
    "docs/porting.md": (
        f"{bounds.SUM_FACTOR}·√n eps",
        f"times {'2⁻²⁹' if bounds.UNIT == 2**-29 else bounds.UNIT}",
        f"{bounds.MEASURED_FACTOR} units are allowed",
        f"{WORDS[bounds.CONTROL_FACTOR].capitalize()} times their difference is allowed, but never "
        f"more than {bounds.CONTROL_SHARE:.0e} of the figure".replace("e-0", "e-"),
        f"`steps` steps ({ladder.STEPS})",
        f"{WORDS[bounds.ALONG_TRAINING]} times as much",
        f"the {optimizers.SLACK:.0e} that".replace("e-0", "e-"),
    ),
    "docs/predict.md": (
        f"probability is below {CONFIDENT}",
        f"reduced to {image_files.LARGEST_SIDE} pixels",
        f"Up to {grouping.MAX_DIGITS} digits are read",
        f"If there are more than {grouping.MANY}, most must",
        f"more than {math.degrees(math.atan(lines.TILT)):.0f}° or bent",
        f"turned by up to {math.degrees(math.atan(grouping.MAX_SLOPE)):.0f}°",
    ),
    "docs/python.md": (f"saved every {WORDS[CHECKPOINT_SECONDS]} seconds",),
}


def text(page: str) -> str:
    return " ".join((ROOT / page).read_text().split())


@pytest.mark.parametrize("page", PAGES)
def test_a_limit_on_a_page_is_the_constant(page):
    for sentence in PAGES[page]:
        assert sentence in text(page), sentence


def test_no_limit_in_security_is_without_its_constant():
    assert set(QUANTITY.findall(text("SECURITY.md"))) == set(QUANTITY.findall(" ".join(SECURITY)))
