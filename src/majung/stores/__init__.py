"""Restaurants: where they are, when they are open, what they sell and for how much.

Guarantees: an order is priced from the menu as it is now, in one place (`pricing.py`), against the price
that the customer saw; whether a store is open is a pure function of its hours, its time zone and the time
(`hours.py`). Every answer is read from the database in one statement, so every server gives the same.

Neighbours: `serve/http/stores.py` above; `orders/` asks `StoreService.price` before it takes an order and
works with nothing else of a store; below stand `ports.Database` (the truth) and `ports.LiveStore`, where
stores are members of kind "store" so that the nearest ones cost what the nearest riders cost.
"""
