"""Friends: who of mine is near me now.

Guarantees
- What anybody sees of a person is decided by `consent.seen` and by nothing else, on every read path: list,
  stream, position, history, exports, OwnTracks over HTTP and MQTT. Without consent, nothing.
- A blurred friend is a cell: its centre, looked at every few minutes. Every distance and every event is reckoned
  from the centre, so that nothing of the true place leaves the server.
- Taking consent back closes what is open within a second. History never reaches back beyond the last change
  of what its reader may see.
- Who is away costs nothing: only people with an open stream are linked to their friends who report.

Neighbours: `positions/pipeline.py` hands over the newest positions of people; `auth/` knows accounts and
devices; `serve/http/friends*.py` are the doors; `ports.Fanout` carries positions between servers.
"""
