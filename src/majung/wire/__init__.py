"""Bytes to structs and back, without I/O: every protocol that Majung speaks has its module here.

What the package guarantees:

* Functions are pure. Time comes in as `now_ms`, the credential as `identity.Sender`; nothing is read,
  logged or stored. The same bytes give the same positions, so a resend has the same identity.
* They are total. Whatever bytes come in, the answer is a list of `Position | Unreadable`, in the order
  of the payload; a piece that cannot be read never takes its neighbours with it. Nothing is raised.
* They bound what they make: `fields.MAX_UNREADABLE` complaints a payload, short tags, short session names.
* No dict and no protobuf object leaves the package, and no credential does: a token that travels inside
  a payload (as OsmAnd's `id`) is left out of names and tags and blanked in what goes to quarantine.

They only *read*. Whether a position may be believed is said later, in one place for all doors
(`positions.check`): a latitude of 95 passes through here and is quarantined there, with its reason.

Neighbours: the doors in `serve/` call these functions and hand the result to `positions.ingest`.
"""
