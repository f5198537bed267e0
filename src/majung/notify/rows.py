"""Rows of the tables, and what they are in the program."""

import msgspec

from majung.notify.model import CarriedOrder, Draft, Kind, Notice
from majung.ports import Row

_encode = msgspec.json.Encoder().encode
_decode_params = msgspec.json.Decoder(dict[str, str | int]).decode


def order_of(row: Row) -> CarriedOrder:
    """A row of `notify_order`."""
    return msgspec.convert(dict(zip(CarriedOrder.__struct_fields__, row, strict=True)), CarriedOrder)


def notice_of(row: Row) -> Notice:
    """A row of `notice`."""
    id_, recipient, kind, order_id, at_ms, params, read = row
    return Notice(id_, recipient, Kind(kind), order_id, at_ms, bool(read), _decode_params(params))


def made_of(number: int, draft: Draft) -> Notice:
    """A draft that has become a row."""
    return Notice(
        number, draft.recipient, draft.kind, draft.order_id, draft.at_ms, read=False, params=draft.params
    )


def entry_of(number: int, draft: Draft, now_ms: int) -> dict[str, int | str]:
    """For the push queue."""
    return {
        "notice_id": number,
        "recipient": draft.recipient,
        "now_ms": now_ms,
        "expires_at_ms": draft.expires_at_ms,
    }


def row_of(number: int, draft: Draft) -> dict[str, int | str]:
    """For the table of notices."""
    return {
        "id": number,
        "recipient": draft.recipient,
        "order_id": draft.order_id,
        "kind": draft.kind.value,
        "cause": draft.cause,
        "params": _encode(draft.params).decode(),
        "at_ms": draft.at_ms,
    }
