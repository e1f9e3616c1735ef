"""What a JAX side of a port's ladder is made of; `mnist_fn.porting` is the door."""
