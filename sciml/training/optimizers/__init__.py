"""Optimisers that torch has not: each is a `torch.optim.Optimizer` and an ordinary phase."""
