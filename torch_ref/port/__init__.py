"""What a PyTorch side of a port's ladder is made of; `torch_ref.porting` is the door."""
