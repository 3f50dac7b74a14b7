"""Rules for the weights of named loss terms; they see a `Step`, neither wing nor optimiser."""
