"""What is said about addresses."""

from enum import StrEnum

import msgspec

from majung.orders.model import Precision


class Source(StrEnum):
    """How much this server knows."""

    STREETS = "streets"  # street addresses, neighbourhoods, villages
    PREPARING = "preparing"  # streets are being indexed; till then as below
    NEIGHBOURHOODS = "neighbourhoods"  # names of 시·군·구 and 읍·면·동
    NONE = "none"  # nothing: typed text is kept as it is, and the pin says where


class Candidate(msgspec.Struct, frozen=True):
    """An address that may be meant. The true place is within `precision_m` of the coordinates."""

    text: str
    latitude: float
    longitude: float
    precision: Precision
    precision_m: float
    postcode: str = ""


class Candidates(msgspec.Struct, frozen=True):
    """The likeliest first."""

    candidates: list[Candidate]
    source: Source


class AddressAt(msgspec.Struct, frozen=True):
    """The words for a place: as far as the name of its neighbourhood goes."""

    text: str
    province: str
    district: str
    neighbourhood: str
    precision: Precision
    source: Source
