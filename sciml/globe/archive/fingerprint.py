"""What tells one state of a file or store from another, without reading its data."""

from pathlib import Path

_METADATA = ("zarr.json", ".zmetadata", ".zattrs", ".zgroup")


def fingerprint(path: str) -> tuple[str, ...]:
    """Absolute path, size and time of change of a file; of a store, those of its metadata files.

    Chunks of a store are not looked at: there may be millions of them. Of a store elsewhere, on a
    network, the address is all there is.
    """
    if "://" in path:
        return (path,)
    root = Path(path).absolute()
    files = [root] if root.is_file() else [root / name for name in _METADATA]
    if root.is_dir():
        files += sorted(f for name in _METADATA[:1] for f in root.glob(f"*/{name}"))
        files += sorted(root.glob("*/.zarray"))
    stats = [(file, file.stat()) for file in files if file.exists()]
    return (str(root), *(f"{f.name} {s.st_size} {s.st_mtime_ns}" for f, s in stats))
