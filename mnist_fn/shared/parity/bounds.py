"""Every bound that decides whether a rung holds or a cause is claimed, with its reason.

Two right programs sum in another order. A sum of n products is off by some √n eps (Higham and Mary,
"A New Approach to Probabilistic Rounding Error Analysis", 2019; nothing passes 2·n·u). Sums taken
one after another, the worst order in use, are off by 0.53·√n eps of the largest entry at most, from
n = 200 to 20,000 (tests/parity/test_bounds.py); the bound is 30 times that. The rest is for
cancellation and for rounding that passes through several layers: real ladders stay 50 times below.
"""

import math

import numpy as np

SUM_FACTOR = 16
USUAL_TERMS = 784  # where a program's own lengths aren't known: MNIST's pixels


def sum_bound(n: int, dtype: str) -> float:
    """How far apart two orders of summing n products may be, relative to the largest entry."""
    return SUM_FACTOR * math.sqrt(n) * float(np.finfo(dtype).eps)


def sums_reason(n: int) -> str:
    """The same in words."""
    return f"sums in another order: {SUM_FACTOR}·√{n} eps of the largest entry"


# --- control runs: a program compared with itself, perturbed -----------------------------------

# Two control runs are up to twice as far from one another as each from its original.
CONTROL_FACTOR = 3
# A unit whose sums cancel shows in few draws how far it can part.
CONTROL_RUNS = 6
# Of a changed program, six draws show some of what its rounding can do.
CONTROL_ROUNDING = 16

# By how many ulps a control run's weights are moved: what a sum of some hundred products is off by
# when it is taken in another order.
NUDGE_ULPS = 8

# Of a figure's size: no control run lifts a float64 bound above that.
CONTROL_SHARE = 1e-6

# --- rounding, measured in float32 where sums alone can't tell it ------------------------------

UNIT = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)  # 2⁻²⁹
# In these units: 4 times the largest that was seen of a right port.
MEASURED_FACTOR = 256
MEASURED_REASON = f"{MEASURED_FACTOR} × 2⁻²⁹ × what float32 changes in the reference"


def measured_bound(change: float) -> float:
    """The bound in float64 on a tensor that float32 changes by so much."""
    return MEASURED_FACTOR * UNIT * change


# --- any program's training --------------------------------------------------------------------

# Times one step's rounding: a training stays below that where nothing amplifies.
ALONG_TRAINING = 10
# Weights smaller than this are compared as if they were as large: what a step adds to a weight that
# starts at 0 has the rounding of the gradients that made it.
SMALLEST_WEIGHT = 1e-3

# --- two backends' training --------------------------------------------------------------------

FLOAT64_BOUND = 1e-12
FLOAT64_REASON = "set first; rounding then made at most 6.7e-14 of nine ladders in 3,000 steps"
# In float32 a prediction between two classes goes either way.
PREDICTIONS_FACTOR, PREDICTIONS_SLACK = 3, 10
# The mean loss of a trained epoch, of 1 or of itself if that is more.
REPORT_BOUND = {"float64": 1e-9, "float32": 1e-3}
REPORT_REASON = {
    "float64": "weights within 1e-12 move a logit by no more than the sum of some hundred pixels "
    "times that",
    "float32": "one ReLU that rounding turns moves a weight by the learning rate",
}

# Of an epoch in NumPy: times what a start that is so many eps away makes of it. A gradient that is
# nothing but rounding makes steps of size lr.
EPOCH_ROUNDING, EPOCH_START_EPS = 10, 4

# --- divergence ---------------------------------------------------------------------------------

# In float32 an ulp of a weight is more than the first; there the second tells.
HORIZON_THRESHOLDS = (1e-9, 1e-2)
# The claim: two backends diverge no more than so many times sooner than the soonest twin.
HORIZON_FACTOR = 2.0

# --- accuracy -----------------------------------------------------------------------------------

# Percentage points of test accuracy: ten of MNIST's 10,000 test images, chosen before the runs. It
# doesn't depend on the number of seeds: fewer seeds would be "equivalent" where more are "not
# decided".
ACCURACY_MARGIN = 0.10

# --- ReLU's boundary ---------------------------------------------------------------------------

# In eps of Σ|x·w| + |b|, which no partial sum of the unit's input exceeds: √784 = 28 roundings of
# the longest sum, and their spread. Those of the x are as many chances: their squares are added.
NEAR_BOUNDARY_EPS = 64
# p - 1 is rounded as p is, however small it is.
ULPS_OF_ONE = 4

# --- causes ------------------------------------------------------------------------------------

# The next best has to be as many times farther from what was seen than the cause that is claimed.
CLAIM_MARGIN = 1e4
# Of the spread of two draws of n numbers, which varies by 1/√n between any two: five times that.
SPREAD_DEVIATIONS = 5
# Of a ratio of two spreads, in its logarithm: farther from a known one it is another.
KNOWN_RATIO = 0.15
# In eps of a lower precision: roundings of two inputs, of their sums and of the result, twice.
NARROW_ULPS = 8
# A residual of 0 counts as this share of rounding, or any margin would hold.
NEAR_ZERO = 1 / 32
# of the difference that the nearest change may leave, to be named where nothing fits
NEAR_SHARE = 0.1
# Of an update: times what some draws of its gradients' rounding, or an ulp of a weight, do.
UPDATE_DRAWS, UPDATE_ROUNDING = 3, 16
# In units of rounding: a rule that comes so near is held to what rounding does of its own steps.
NEARLY = 32
# A layout of an activation that is as many times nearer than the likeliest is no chance.
NEARER_LAYOUT = 1e-6
# Of a lower precision's bound on sums: an effect below that is what the precision rounds away. Half
# an eps is 1/896 of the bound for 784 terms; of the bugs of the tests six steps with weights kept
# in float32 come nearest from below (1/78), an example too few in a count from above (1/23).
ROUNDED_AWAY = 1 / 32
# Variants of a program that are tried, each a pass through it; numbers of it that are solved for,
# each some dozen passes; and variants that are held to control runs of theirs where none fits.
TRIED, SOLVED, NEAR = 400, 24, 12
# Of a pattern that is described, relative: entries that agree, a factor that is the same in all,
# entries too near to 0 to tell a factor; and the same numbers in another order.
AGREEING, CONSTANT, FACTORLESS, REORDERED = 1e-9, 1e-9, 1e-6, 1e-12
# A variant that changes a recorded loss by no more than this share may be of its gradient alone.
SAME_LOSS = 1e-6
