"""Fields on the globe: channels, archives, windows of time, losses, rollouts, metrics, files."""
