"""Reference solvers by classical methods, independent of the residuals in `physics`."""
