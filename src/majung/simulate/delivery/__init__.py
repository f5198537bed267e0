"""A city that orders: customers, stores and riders on the server's own doors, each with an account.

Nobody here knows the server's inside, nor each other's, except for what people tell each other face to face:
a store hands the bag over when it is ready, and a customer says the four digits at the door. Everything else
goes through HTTP, the WebSockets of the pages, and the SDK's gRPC for positions. Who decides what is drawn
from the seed; when it happens depends on the server too.

`people` sign in, `http` and `link` talk, `shops`, `customers` and `couriers` act, `crew` moves the riders
along streets, `ledger` writes down what became of every order, `calibration` how right the arrival times
were, and `run` puts it together. Neighbours: `simulate.run` (positions), `cli_delivery`, `demo`.
"""
