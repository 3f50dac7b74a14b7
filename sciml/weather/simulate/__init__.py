"""Atmospheres that the package simulates itself, and the archives it writes of them."""
