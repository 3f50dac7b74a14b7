"""Other people's files as fields in canonical form: the one place where they are opened."""

from sciml.globe.archive.archive import Archive
from sciml.globe.archive.assembly import open_archive, open_static
from sciml.globe.archive.described import Described
from sciml.globe.archive.forecast import open_forecast

__all__ = ["Archive", "Described", "open_archive", "open_forecast", "open_static"]
