"""Ways: how far, how long, and along which streets.

Guarantees: whoever asks for a way gets one, and `source` says what it is worth: `valhalla` follows streets,
`straight` is the great circle times what riders really needed lately. A router that fails, is busy or does
not know the place never fails the one who asks. What is learned is bounded, in memory and in effect.

Neighbours: `eta/` feeds `Ways` with legs that ended and keeps them; `dispatch/` and the doors ask `Routing`.
"""
