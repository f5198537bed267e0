"""Share links: whoever has one follows one order, without an account, and sees only so much of it.

Guarantees
- A token has 256 random bits; its SHA-256 is all that is stored, so the database gives nobody a link.
- What a link shows is what `orders/view_policy.py` says a stranger may see: the token becomes a `Principal`
  of the role `share`, and every read asks for the scope of that.
- The rider's position is that of who carries this order now, from pick-up until the last stretch.
- A link ends when its time is over, when it is revoked, or a while after its order has ended; streams that
  are open through it end within a second.

Neighbours: `orders/` (views, the live stream), `serve/http/share.py` (the doors), the page `/track/TOKEN`.
"""
