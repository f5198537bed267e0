"""A bare grpc.aio server that decodes each position, acknowledges it and drops it: the measure beside ours."""

import asyncio
import sys

import grpc
import uvloop

from majung_sdk import location_pb2


async def track(_: object, context: grpc.aio.ServicerContext) -> None:
    while (data := await context.read()) is not grpc.aio.EOF:
        position = location_pb2.Position.FromString(data)
        await context.write(location_pb2.StreamAck(last_acked_seq=position.seq).SerializeToString())


async def serve(address: str) -> None:
    server = grpc.aio.server()
    handlers = {"TrackPositions": grpc.stream_stream_rpc_method_handler(track)}
    service = "majung.location.v1.LocationService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
