"""Markers in recorded images: dark dots are found in the first one and followed through the rest.

What is followed is the darkness against the surroundings, d = (G_4r * I - I)⁺ with G_σ a Gaussian
blur, so that slow changes of colour and light do not matter. A dot's centre is a fixed point of
the mean shift

    p ← Σ_x d(x) w(x - p) x / Σ_x d(x) w(x - p),    w(x) = exp(-|x|²/(2 (1.5 r)²))

Source: D. Comaniciu, P. Meer, Mean shift: a robust approach toward feature space analysis, IEEE
TPAMI 24 (2002), eq. (20).
"""

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from sciml.contracts import UserError

#: Share of the darkest dot's darkness, smoothed, below which there is no dot.
DARK = 0.3
#: Smoothed darkness that a camera's eight bits cannot tell from none.
FAINT = 1 / 255
#: Steps of the mean shift, and the step at which it has arrived, pixels.
STEPS, ARRIVED = 50, 1e-4


def found(image: UInt8[np.ndarray, "rows columns 3"], radius: float) -> Float[np.ndarray, "k 2"]:
    """(column, row) of the dark dots in an image, row by row.

    Args:
        image: of the undeformed gel.
        radius: of the dots, pixels, > 0.

    Raises:
        UserError: no dot; a radius that is not positive.
    """
    dark = _darkness(image, radius)
    smooth = ndimage.gaussian_filter(dark, radius)
    size = 2 * int(np.ceil(2 * radius)) + 1
    dark_enough = smooth > max(DARK * smooth.max(), FAINT)
    peak = (smooth == ndimage.maximum_filter(smooth, size)) & dark_enough
    starts = np.argwhere(peak)[:, ::-1].astype(float)
    if not len(starts):
        raise UserError(
            f"markers: expected dark dots of radius {radius:g} pixels in the image, got none"
        )
    centres = np.array([_centre(dark, start, radius) for start in starts])
    near = np.linalg.norm(centres[:, None] - centres, axis=-1) < radius
    return centres[near.argmax(1) == np.arange(len(centres))]  # a dot between pixels peaks twice


def tracked(
    images: UInt8[np.ndarray, "t rows columns 3"], start: Float[np.ndarray, "k 2"], radius: float
) -> Float[np.ndarray, "t k 2"]:
    """(column, row) of dots in a sequence of images; NaN from where one is lost.

    Args:
        images: in which a dot moves by less than twice its radius from one to the next.
        start: `[k, 2]`, pixels, of the dots in the first image.
        radius: of the dots, pixels, > 0.
    """
    paths = np.full((len(images), *start.shape), np.nan)
    at, first = start.copy(), np.zeros(len(start))
    for time, image in enumerate(images):
        dark = _darkness(image, radius)
        smooth = ndimage.gaussian_filter(dark, radius)
        for k in np.flatnonzero(np.isfinite(at[:, 0])):
            at[k] = _centre(dark, at[k], radius)
            there = ndimage.map_coordinates(smooth, at[k, ::-1, None], order=1)[0]
            first[k] = there if time == 0 else first[k]
            if not np.isfinite(at[k]).all() or there < DARK * first[k]:
                at[k] = np.nan
        paths[time] = at
    return paths


def _darkness(image: np.ndarray, radius: float) -> Float[np.ndarray, "rows columns"]:
    if not radius > 0:
        raise UserError(f"markers: expected radius > 0 pixels, got {radius!r}")
    bright = image.mean(-1) / 255
    return np.maximum(ndimage.gaussian_filter(bright, 4 * radius) - bright, 0)


def _centre(dark: np.ndarray, start: np.ndarray, radius: float) -> Float[np.ndarray, "2"]:
    """The fixed point of the mean shift from a start; NaN if it leaves the image or the dark."""
    at, reach = start, int(np.ceil(4 * radius))
    last = np.array(dark.shape)[::-1] - 1
    for _ in range(STEPS):
        if (at < 0).any() or (at > last).any():
            return np.full(2, np.nan)
        column, row = np.rint(at).astype(int)
        low_row, low_column = max(row - reach, 0), max(column - reach, 0)
        part = dark[low_row : row + reach + 1, low_column : column + reach + 1]
        rows, columns = (np.arange(n) for n in part.shape)
        across = np.exp(-(((columns + low_column - at[0]) / (1.5 * radius)) ** 2) / 2)
        down = np.exp(-(((rows + low_row - at[1]) / (1.5 * radius)) ** 2) / 2)
        weights = part * down[:, None] * across
        total = weights.sum()
        if not total > 0:
            return np.full(2, np.nan)
        moved = np.array([weights.sum(0) @ columns, weights.sum(1) @ rows]) / total
        moved += [low_column, low_row]
        if np.abs(moved - at).max() < ARRIVED:
            return moved
        at = moved
    return at
