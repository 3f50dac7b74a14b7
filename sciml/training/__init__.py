"""The training spine: steps, phases, optimisers, checkpoints; knows Lightning and no wing."""
