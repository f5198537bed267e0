"""A client in a process of its own: opens many silent streams, then sends one position on each.

Prints a JSON line when all are open ({"open": n}, those that ended meanwhile not counted), waits for a line
on its standard input, sends, and prints how each call ended and which statuses.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter

import grpc
import uvloop

from majung_sdk import location_pb2
from tests.paths.grpc_client import SERVICE, metadata, position

CONNECTIONS = 8


async def acknowledged(call: grpc.aio.StreamStreamCall, rider_id: str) -> bool:
    """Send one position; whether its acknowledgement came."""
    try:
        await call.write(position(1, rider_id=rider_id))
        answer = await call.read()
        await call.done_writing()
        if answer is grpc.aio.EOF or await call.read() is not grpc.aio.EOF:
            return False
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return bool(location_pb2.StreamAck.FromString(answer).last_acked_seq == 1)


async def run(target: str, token: str, streams: int, per_s: float, refused: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    calls = []
    for number in range(streams):
        if per_s and (pause_s := begin_s + number / per_s - loop.time()) > 0:
            await asyncio.sleep(pause_s)
        method = channels[number % CONNECTIONS].stream_stream(f"{SERVICE}/TrackPositions")
        calls.append(method(metadata=metadata(token)))
    print(json.dumps({"open": sum(not call.done() for call in calls)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    # A write that meets a refusal on its way hides its status.
    while sum(call.done() for call in calls) < refused:
        await asyncio.sleep(0.01)
    held = await asyncio.gather(*(acknowledged(call, f"idle-{n}") for n, call in enumerate(calls)))
    ends: Counter[str] = Counter()
    for call in calls:
        details = await call.details()
        ends[f"{(await call.code()).name} {details}".strip()] += 1
    print(json.dumps({"acknowledged": sum(held), "ends": ends}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--per-s", type=float, default=0, help="0: all at once")
    parser.add_argument("--refused", type=int, default=0, help="wait until so many calls have ended")
    given = parser.parse_args()
    uvloop.run(run(given.to, given.token, given.streams, given.per_s, given.refused))


if __name__ == "__main__":
    main()
