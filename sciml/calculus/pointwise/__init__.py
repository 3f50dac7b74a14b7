"""Partial derivatives of a function of coordinates at points, three ways with the same values.

`autograd` nests reverse passes and takes any function; `taylor` carries truncated Taylor series
forward; `compiled` turns either, once traced, into one machine-code function.
"""
