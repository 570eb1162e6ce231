"""What tests of the gRPC door need: reading its messages and refusals, and a network that takes its time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from torch import Tensor, nn

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from rakinglight.network import Network
from tests.networks import network_of
from tests.service.pictures_at_hand import noise, png

PNG = pb.Image(file=png(noise(8, 8)))


class Slow(nn.Module):
    """Takes its time, as large networks do: long enough for a caller to change his mind."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.005)
        return x


def slow_network() -> Network:
    """Five classes of a 3x8x8 image, in five milliseconds and more."""
    return network_of("slow", nn.Sequential(Slow(), nn.Flatten(), nn.Linear(192, 5)), (3, 8, 8), counts=(1, 2))


def array(message: pb.Tensor) -> np.ndarray[Any, Any]:
    return np.frombuffer(message.data, message.dtype).reshape(message.shape)


async def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Poll until `condition()` or, where it is a coroutine's, what it gives is true."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


async def refusal(call: Any) -> tuple[grpc.StatusCode, dict[str, Any]]:
    """The status with which `call` fails, and its details by their type's name."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    status = rpc_status.from_call(failed.value)
    details: dict[str, Any] = {"message": failed.value.details()}
    for packed in status.details if status else ():
        kind = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])
        packed.Unpack(found := kind())
        details[kind.__name__] = found
    return failed.value.code(), details
