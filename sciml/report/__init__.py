"""One self-contained page for every run, and several runs side by side."""
