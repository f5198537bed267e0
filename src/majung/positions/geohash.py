"""Geohash squares, as text and as integers.

A geohash interleaves the bits of longitude and latitude, longitude first, five bits a character
(G. Niemeyer 2008; alphabet and bit order as in Redis, PostGIS and Elasticsearch). Here a cell is an
integer: those bits behind a leading 1, so that the precision can be read off it, the parent is
`cell >> 5`, and the text is `to_text(cell)`. Sizes at the equator: 6 → 1.2 km x 0.6 km,
7 → 153 m x 153 m, 8 → 38 m x 19 m.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from majung.positions.geodesy import Box, Floats

Cells = npt.NDArray[np.int64]

ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
MAX_PRECISION = 12
_VALUE = {char: value for value, char in enumerate(ALPHABET)}


def _spread_table(bits: int) -> list[int]:
    """For each number of `bits` bits, the same bits at the even places."""
    return [sum((n >> i & 1) << 2 * i for i in range(bits)) for n in range(1 << bits)]


_SPREAD_10 = _spread_table(10)
_SPREAD_10_COLUMN = np.array(_SPREAD_10, dtype=np.int64)


def _spread(n: int) -> int:
    return _SPREAD_10[n & 1023] | _SPREAD_10[n >> 10 & 1023] << 20 | _SPREAD_10[n >> 20] << 40


def _squeeze(n: int) -> int:
    """The bits at the even places of n, side by side."""
    squeezed = 0
    for i in range(0, n.bit_length(), 2):
        squeezed |= (n >> i & 1) << i // 2
    return squeezed


def row_of(latitude: float, precision: int) -> int:
    """Number of the row of cells, counted from the south pole."""
    rows: int = 1 << 5 * precision // 2
    return min(int((latitude + 90.0) * rows / 180.0), rows - 1)


def column_of(longitude: float, precision: int) -> int:
    """Number of the column of cells, counted from 180° W."""
    columns: int = 1 << (5 * precision + 1) // 2
    return min(int((longitude + 180.0) * columns / 360.0), columns - 1)


def cell_at(row: int, column: int, precision: int) -> int:
    """The cell in a row and a column."""
    if precision % 2:
        return _spread(row) << 1 | _spread(column) | 1 << 5 * precision
    return _spread(row) | _spread(column) << 1 | 1 << 5 * precision


def cell_of(latitude: float, longitude: float, precision: int) -> int:
    """The cell that holds a place. 90° N belongs to the northernmost row, 180° E to the last column."""
    return cell_at(row_of(latitude, precision), column_of(longitude, precision), precision)


def cells_of(latitudes: Floats, longitudes: Floats, precision: int) -> Cells:
    """The cell of each of n places, shape (n,); precision up to 8."""
    if not 0 <= precision <= 8:
        raise ValueError(f"columns of cells have precision 0 to 8, not {precision}")
    rows, columns = 1 << 5 * precision // 2, 1 << (5 * precision + 1) // 2
    row = np.minimum(((latitudes + 90.0) * rows / 180.0).astype(np.int64), rows - 1)
    column = np.minimum(((longitudes + 180.0) * columns / 360.0).astype(np.int64), columns - 1)
    row = _SPREAD_10_COLUMN[row & 1023] | _SPREAD_10_COLUMN[row >> 10] << 20
    column = _SPREAD_10_COLUMN[column & 1023] | _SPREAD_10_COLUMN[column >> 10] << 20
    lead = 1 << 5 * precision
    cells: Cells = (row << 1 | column | lead) if precision % 2 else (row | column << 1 | lead)
    return cells


def precision_of(cell: int) -> int:
    """How many characters the text of the cell has; 0 is the whole globe."""
    return (cell.bit_length() - 1) // 5


def row_column(cell: int) -> tuple[int, int]:
    """Row and column of a cell at its own precision."""
    precision = precision_of(cell)
    bits = cell ^ 1 << 5 * precision
    even, odd = _squeeze(bits), _squeeze(bits >> 1)
    return (odd, even) if precision % 2 else (even, odd)


def to_text(cell: int) -> str:
    """The geohash of a cell."""
    return "".join(ALPHABET[cell >> 5 * i & 31] for i in reversed(range(precision_of(cell))))


def from_text(geohash: str) -> int:
    """The cell of a geohash. Raises ValueError when it is none, or longer than 12."""
    cell = 1
    for char in geohash.lower():
        if char not in _VALUE:
            raise ValueError(f"{char!r} does not occur in a geohash")
        cell = cell << 5 | _VALUE[char]
    if precision_of(cell) > MAX_PRECISION:
        raise ValueError(f"a geohash has at most {MAX_PRECISION} characters here")
    return cell


def bounds(cell: int) -> Box:
    """The square of a cell: south and west belong to it, north and east to its neighbours."""
    precision = precision_of(cell)
    row, column = row_column(cell)
    rows, columns = 1 << 5 * precision // 2, 1 << (5 * precision + 1) // 2
    return Box(
        row * 180 / rows - 90,
        column * 360 / columns - 180,
        (row + 1) * 180 / rows - 90,
        (column + 1) * 360 / columns - 180,
    )


def centre(cell: int) -> tuple[float, float]:
    """Latitude and longitude of the middle of a cell."""
    box = bounds(cell)
    return (box.south + box.north) / 2, (box.west + box.east) / 2


def encode(latitude: float, longitude: float, precision: int = 7) -> str:
    """The geohash of a place."""
    if not 1 <= precision <= MAX_PRECISION:
        raise ValueError(f"precision is 1 to {MAX_PRECISION}, not {precision}")
    return to_text(cell_of(latitude, longitude, precision))


def decode(geohash: str) -> tuple[float, float]:
    """Latitude and longitude of the middle of a geohash."""
    return centre(from_text(geohash))


def children(cell: int) -> list[int]:
    """The 32 cells of the next precision that make up a cell."""
    return list(range(cell << 5, cell + 1 << 5))


def neighbours(cell: int) -> list[int]:
    """The up to eight cells around one: longitude goes round, at a pole there is no next row."""
    precision = precision_of(cell)
    row, column = row_column(cell)
    rows, columns = 1 << 5 * precision // 2, 1 << (5 * precision + 1) // 2
    around = {
        cell_at(row + up, (column + right) % columns, precision)
        for up in (-1, 0, 1)
        for right in (-1, 0, 1)
        if 0 <= row + up < rows
    }
    around.discard(cell)
    return sorted(around)


class Window(NamedTuple):
    """The rows and columns of precision 8 that a box touches; `west > east`: across the antimeridian."""

    south: int
    west: int
    north: int
    east: int

    def count(self, precision: int) -> int:
        """How many cells of a precision of at most 8 it touches."""
        down, right, _, _ = _LAYOUT[precision]
        return ((self.north >> down) - (self.south >> down) + 1) * self._columns(right)

    def cells(self, precision: int) -> list[int]:
        """Every cell of a precision of at most 8 that it touches, each once."""
        down, right, row_mask, column_mask = _LAYOUT[precision]
        lead = 1 << 5 * precision
        code = _spread(self.south >> down) << precision % 2
        row_codes = []
        for _ in range((self.north >> down) - (self.south >> down) + 1):
            row_codes.append(code | lead)
            code = code - row_mask & row_mask  # the next number, within the bits of the mask
        code = _spread(self.west >> right) << 1 - precision % 2
        column_codes = []
        for _ in range(self._columns(right)):
            column_codes.append(code)
            code = code - column_mask & column_mask  # past the last comes 0: round the globe
        return [row | column for row in row_codes for column in column_codes]

    def _columns(self, right: int) -> int:
        columns = (self.east >> right) - (self.west >> right) + 1
        if self.west <= self.east:
            return columns
        all_round = 1 << 20 - right  # also when both ends are in one column
        return all_round if columns > 0 else all_round + columns


def _layout(precision: int) -> tuple[int, int, int, int]:
    """How many bits fewer than at precision 8 a row and a column have; where these bits are in a cell."""
    row_bits, column_bits = 5 * precision // 2, (5 * precision + 1) // 2
    odd = precision % 2
    row_mask = _spread((1 << row_bits) - 1) << odd
    column_mask = _spread((1 << column_bits) - 1) << 1 - odd
    return 20 - row_bits, 20 - column_bits, row_mask, column_mask


_LAYOUT = [_layout(precision) for precision in range(9)]
_LAST_8 = (1 << 20) - 1


def window(box: Box) -> Window:
    """The cells that a box touches, at every precision up to 8."""
    south, west, north, east = box
    first = min(int((west + 180.0) * 1_048_576 / 360.0), _LAST_8)  # column_of, row_of, in line
    last = min(int((east + 180.0) * 1_048_576 / 360.0), _LAST_8)
    if west > east and first <= last:  # round the globe, back into the column it began in
        first, last = 0, _LAST_8
    return Window(
        min(int((south + 90.0) * 1_048_576 / 180.0), _LAST_8),
        first,
        min(int((north + 90.0) * 1_048_576 / 180.0), _LAST_8),
        last,
    )
