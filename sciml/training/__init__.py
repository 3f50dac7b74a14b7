"""The training spine: steps, phases, optimisers, checkpoints. The only room that knows Lightning; it knows no wing."""
