"""Why two programs part: the one change to what was declared that reproduces what was seen.

Everything here works on plain tensors by name (`dict[str, np.ndarray]`, in the order of the
network) of any model, and knows no backend. Each `explain_…` returns an `Explanation`:

- `update.explain_update(rule, grads, before, after)`: an optimizer's steps against a `rules.Rule`;
- `gradients.explain_gradients(expected, seen, weights)`: one gradient against another;
- `loss.explain_loss(batches, seen)`: losses of given logits;
- `activation.explain_forward(x, seen, declared)`: what stands between two tensors of a network;
- `inputs.explain_pixels(expected, seen)` and `inputs.explain_order(expected, seen)`.

A number is solved for, not looked up; a cause is claimed only where its residual is at rounding and
the next best is at least 10⁴ times larger (`explanation.judge`).
"""
