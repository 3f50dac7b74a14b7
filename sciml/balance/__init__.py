"""Rules for the weights of named loss terms; they look at a `Step` and know neither wing nor optimiser."""
