"""Derivatives: at points of a continuum, on the sphere, on simplices."""
