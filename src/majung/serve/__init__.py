"""Listeners: each entry point authenticates, parses, calls one use case, encodes the answer.

Guarantee: nothing is acknowledged before the use case says that it is durable; a client can hold only
bounded memory; a slow or broken client is nobody else's problem. Neighbours: `wire/` for the bytes,
the domains for the work. Nothing here decides who may see what: `auth.policy` does.
"""
