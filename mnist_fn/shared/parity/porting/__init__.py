"""Anyone's port on the ladder: two sides of any model, rung by rung, and why they part.

`side` says what a side serves; `partners` finds which parameter is which; `walk` compares the
modules in the order of computation; `check` climbs; `verdict` says it; `recording` keeps a side
in a file. Which framework a side computes in nobody here knows: `mnist_fn.porting` and
`torch_ref.porting` have the sides.
"""
