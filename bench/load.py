"""A load of many gRPC streams, in a process of its own: `python -m bench.load --to HOST:PORT …`.

Open loop: each stream sends at its fixed times whatever the server does, so a slow server shows in the
latencies instead of slowing the load down (no coordinated omission). Prints one JSON line.
"""

import argparse
import asyncio
import json
import random
import time
from collections import deque

import grpc
import uvloop

from majung_sdk import location_pb2

METHOD = "/majung.location.v1.LocationService/TrackPositions"
CONNECTIONS = 8
Place = tuple[float, float]


class Stream:
    """One rider on one call. Latency is from the time a position was due to its acknowledgement."""

    def __init__(
        self, call: grpc.aio.StreamStreamCall, rider_id: str, start_s: float, interval_s: float, at: Place
    ) -> None:
        self.call = call
        self.start_s = start_s
        self.interval_s = interval_s
        self.sent = 0
        self.waiting: deque[float] = deque()
        self.acked = 0
        self.position = location_pb2.Position(
            rider_id=rider_id, session_id=str(time.time_ns()), accuracy_m=5, speed_mps=7
        )
        self.latitude, self.longitude = at

    async def send(self, until_s: float) -> None:
        loop = asyncio.get_running_loop()
        while (due_s := self.start_s + self.sent * self.interval_s) < until_s:
            pause_s = due_s - loop.time()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            self.sent += 1
            position = self.position
            position.latitude = self.latitude + self.sent * 1e-6
            position.longitude = self.longitude
            position.seq = self.sent
            position.device_time_ms = time.time_ns() // 1_000_000
            self.waiting.append(due_s)
            await self.call.write(position.SerializeToString())
        await self.call.done_writing()

    async def receive(self, latencies_ms: list[float]) -> None:
        loop = asyncio.get_running_loop()
        while (data := await self.call.read()) is not grpc.aio.EOF:
            acked = location_pb2.StreamAck.FromString(data).last_acked_seq
            now_s = loop.time()
            for _ in range(acked - self.acked):
                latencies_ms.append((now_s - self.waiting.popleft()) * 1000)
            self.acked = acked


def _somewhere(corner: Place, wide_deg: float) -> Place:
    return corner[0] + random.random() * wide_deg, corner[1] + random.random() * wide_deg


async def run(
    target: str,
    token: str,
    streams: int,
    per_s: float,
    seconds: float,
    prefix: str = "load-",
    corner: Place = (37.45, 126.95),
    wide_deg: float = 0.1,
) -> dict[str, float]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(min(CONNECTIONS, streams))]
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    loop = asyncio.get_running_loop()
    begin_s = loop.time() + 2.0 + streams / 2000
    interval_s = streams / per_s
    riders: list[Stream] = []
    for number in range(streams):
        call = channels[number % len(channels)].stream_stream(METHOD)(metadata=metadata)
        start_s = begin_s + number * interval_s / streams
        at = _somewhere(corner, wide_deg)
        riders.append(Stream(call, f"{prefix}{number}", start_s, interval_s, at))
    latencies_ms: list[float] = []
    receivers = [asyncio.create_task(rider.receive(latencies_ms)) for rider in riders]
    cpu_s = time.process_time()
    await asyncio.gather(*(rider.send(begin_s + seconds) for rider in riders))
    sent_s = loop.time() - begin_s
    await asyncio.gather(*receivers)
    for channel in channels:
        await channel.close()
    latencies_ms.sort()
    sent = sum(rider.sent for rider in riders)

    def percentile(part: float) -> float:
        return (
            round(latencies_ms[min(len(latencies_ms) - 1, int(len(latencies_ms) * part))], 2)
            if latencies_ms
            else -1
        )

    return {
        "sent": sent,
        "acknowledged": sum(rider.acked for rider in riders),
        "sent_per_s": round(sent / max(sent_s, 1e-9), 1),
        "ack_p50_ms": percentile(0.50),
        "ack_p99_ms": percentile(0.99),
        "ack_max_ms": percentile(1.0),
        "load_cpu_us_per_position": round((time.process_time() - cpu_s) / max(sent, 1) * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True)
    parser.add_argument("--token", default="")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--per-s", type=float, default=6000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--prefix", default="load-", help="riders are PREFIX0, PREFIX1, …")
    parser.add_argument("--corner", default="37.45,126.95", help="LATITUDE,LONGITUDE of where they are")
    parser.add_argument("--wide-deg", type=float, default=0.1)
    given = parser.parse_args()
    south, west = map(float, given.corner.split(","))
    work = run(
        given.to,
        given.token,
        given.streams,
        given.per_s,
        given.seconds,
        given.prefix,
        (south, west),
        given.wide_deg,
    )
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
