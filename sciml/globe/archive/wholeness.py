"""Whether a file of NetCDF's classic format has all the bytes that its header speaks of.

The NetCDF library takes what lies beyond the end of such a file for zeros.
"""

from sciml.contracts import UserError

#: First bytes of the classic and the 64-bit offset format.
_CLASSIC = (b"CDF\x01", b"CDF\x02")


def require_whole(path: str) -> None:
    """Refuses a classic file that was cut short; other formats notice that themselves.

    Raises:
        UserError: it was.
    """
    from scipy.io import netcdf_file

    with open(path, "rb") as file:
        if file.read(4) not in _CLASSIC:
            return
    try:
        mapped = netcdf_file(path, "r", mmap=True)  # maps every variable, and reads none
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise UserError(
            f"{path} is shorter than its header says: it was truncated; get it again"
        ) from error
    mapped.variables.clear()
    mapped.close()
