"""What every wing draws with: paper and pens in the house style, and how training went."""

from pathlib import Path

#: Pictures with their captions, in the order of the page.
Drawn = list[tuple[Path, str]]
