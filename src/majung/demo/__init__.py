"""`majung demo`: a server, a whole city on its real doors, and one customer, store and rider left free.

`sign_in` makes the accounts once and keeps them beside the data, `server` asks the server what the screen
shows, `free_store` opens the store that is left to whoever tries it, `screen` shows, and `run` starts and stops
everything in order. The city is `majung simulate --delivery` in a process of its own.
"""

from majung.demo.run import run_demo

__all__ = ["run_demo"]
