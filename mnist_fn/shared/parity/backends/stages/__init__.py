"""What a diagnosis holds a side to: the declared experiment, one stage of it a file.

`inputs` (weights, pixels, labels, order) · `logits` · `losses` (cross-entropy, penalty) ·
`gradients` · `steps` · `epochs` (an epoch, its report, what is evaluated after it). Each function
takes a `side.Implementation` and returns an `Explanation`.
"""
