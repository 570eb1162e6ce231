"""Universal perturbations by gRPC: made by a job or at once, kept, listed, fetched, applied and forgotten."""

import io
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from rakinglight.errors import CODES
from rakinglight.network import Network
from tests.networks import neighbour
from tests.service.conftest import House
from tests.service.grpc_at_hand import array, refusal
from tests.service.pictures_at_hand import noise, png
from tests.service.test_grpc_jobs import caller_of, code_of, fields_of, over, read
from tests.service.test_rest_universal import KEPT, NEVER

IMAGES = [pb.Image(file=png(noise(8, 8, seed=seed))) for seed in range(5)]


@pytest.fixture
def networks(small_convolution: Network) -> list[Network]:
    return [small_convolution, neighbour()]


@pytest.fixture
async def stub(house: House, doing: None) -> AsyncIterator[Any]:
    async with caller_of(house.core) as stub:
        yield stub


def universal(*images: pb.Image, **said: Any) -> pb.UniversalRequest:
    method = pb.UniversalGradientParameters(epsilon=0.3, epochs=2, restarts=1)
    parameters = pb.UniversalParameters(gradient=method, models=["neighbour"])
    return pb.UniversalRequest(model="small", images=images or IMAGES, parameters=parameters, **said)


async def made(stub: Any, **said: Any) -> pb.Job:
    job = await over(stub, await stub.SubmitJob(pb.SubmitJobRequest(universal=universal(**said))))
    assert job.state == pb.JOB_STATE_SUCCEEDED, job.problem
    return job


async def test_a_job_ends_with_what_the_call_itself_answers_and_an_id(stub: Any) -> None:
    job = await made(stub, seed=3)
    found, answer = job.result.universal, await stub.Universal(universal(seed=3))
    assert list(found.results) == list(answer.results)
    assert (len(found.results), sum(one.held_out for one in found.results)) == (5, 1)
    assert found.summary.id.startswith("pert_")
    assert answer.summary.id == ""
    found.summary.id = ""
    assert found.summary == answer.summary


async def test_the_summary_is_the_one_that_rest_tells(house: House, stub: Any) -> None:
    job = await made(stub)
    summary = job.result.universal.summary
    told = (await house.client.get(f"/api/v1/jobs/{job.id}")).json()["result"]["summary"]
    for name in ("id", "epsilon", "factor"):
        assert getattr(summary, name) == told[name], name
    for name in ("given", "held_out", "noise"):
        assert (getattr(summary, name).count, getattr(summary, name).of) == (told[name]["count"], told[name]["of"])
    assert [point.images for point in summary.curve] == [point["images"] for point in told["curve"]] == [1, 2, 4]
    (row,), (told_row,) = summary.transfer, told["transfer"]
    assert row.model == told_row["model"] == "neighbour"
    assert (row.count, row.of) == (told_row["count"], told_row["of"])
    assert summary.chart.startswith(b"\x89PNG")


async def test_it_is_listed_and_fetched_as_by_rest(house: House, stub: Any) -> None:
    summary = (await made(stub)).result.universal.summary
    (listed,) = (await stub.ListPerturbations(pb.ListPerturbationsRequest())).perturbations
    one = await stub.GetPerturbation(pb.GetPerturbationRequest(id=summary.id))
    assert one == listed
    told = (await house.client.get(f"{KEPT}/{one.id}")).json()
    assert set(told) == {field.name for field in one.DESCRIPTOR.fields}
    for name in ("id", "method", "epsilon", "job"):
        assert getattr(one, name) == told[name], name
    assert (one.norm, one.model.name, list(one.shape)) == (pb.NORM_LINF, "small", [3, 8, 8])
    assert one.given == summary.given
    assert one.held_out == summary.held_out
    for name in ("created_at", "expires_at"):
        (stamp := Timestamp()).FromJsonString(told[name])
        assert getattr(one, name) == stamp, name
    file = await read(stub.GetArtifact(pb.GetArtifactRequest(sha256=one.perturbation.sha256)))
    v = np.load(io.BytesIO(b"".join(chunk.data for chunk in file)))
    np.testing.assert_array_equal(v, array(summary.perturbation))


async def test_by_its_id_it_does_what_it_does_itself(stub: Any) -> None:
    summary = (await made(stub)).result.universal.summary

    async def applied(**how: Any) -> Any:
        method = pb.AttackUniversalParameters(perturbation=pb.PerturbationReference(**how), epsilon=0.3)
        said = pb.AttackRequest(model="small", images=IMAGES[:1], parameters=pb.AttackParameters(universal=method))
        result = (await stub.Attack(said)).results[0]
        result.ClearField("adversarial")  # a file that says by what it was made
        return result

    by_id = await applied(id=summary.id)
    assert by_id == await applied(tensor=summary.perturbation)
    assert by_id.distance.linf > 0


async def test_they_are_listed_newest_first_a_page_at_a_time(stub: Any) -> None:
    ids = [(await made(stub, seed=seed)).result.universal.summary.id for seed in range(3)]
    first = await stub.ListPerturbations(pb.ListPerturbationsRequest(page_size=2))
    last = await stub.ListPerturbations(pb.ListPerturbationsRequest(page_token=first.next_page_token))
    assert [one.id for one in (*first.perturbations, *last.perturbations)] == ids[::-1]
    assert (len(first.perturbations), last.next_page_token) == (2, "")


async def test_one_that_is_removed_is_not_found(stub: Any) -> None:
    kept = (await made(stub)).result.universal.summary.id
    await stub.DeletePerturbation(pb.DeletePerturbationRequest(id=kept))
    assert not (await stub.ListPerturbations(pb.ListPerturbationsRequest())).perturbations
    for call in (
        stub.GetPerturbation(pb.GetPerturbationRequest(id=kept)),
        stub.DeletePerturbation(pb.DeletePerturbationRequest(id=kept)),
    ):
        status, details = await refusal(call)
        assert (status, code_of(details)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def attack_by(**how: Any) -> pb.AttackRequest:
    method = pb.AttackUniversalParameters(perturbation=pb.PerturbationReference(**how))
    return pb.AttackRequest(model="small", images=IMAGES[:1], parameters=pb.AttackParameters(universal=method))


REFUSED: dict[str, tuple[str, Message, str, str | None]] = {
    "one that never was": ("GetPerturbation", pb.GetPerturbationRequest(id=NEVER), "NOT_FOUND", None),
    "no id": ("GetPerturbation", pb.GetPerturbationRequest(), "NOT_FOUND", None),
    "an attack by one that never was": ("Attack", attack_by(id=NEVER), "NOT_FOUND", None),
    "an attack by none": ("Attack", attack_by(), "BAD_PARAMETER", "/parameters/perturbation"),
    "a page of -1": ("ListPerturbations", pb.ListPerturbationsRequest(page_size=-1), "BAD_PARAMETER", "/page_size"),
    "a token of nobody's": (
        "ListPerturbations", pb.ListPerturbationsRequest(page_token="x"), "BAD_PARAMETER", "/page_token"
    ),
    "another model that is not there": (
        "SubmitJob",
        pb.SubmitJobRequest(
            universal=pb.UniversalRequest(
                model="small", images=IMAGES, parameters=pb.UniversalParameters(models=["neighbor"])
            )
        ),
        "BAD_PARAMETER",
        "/parameters/models/0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "request_", "code", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_caller_s_mistake_has_its_code_and_names_the_field(
    stub: Any, call: str, request_: Message, code: str, field: str | None
) -> None:
    status, details = await refusal(getattr(stub, call)(request_))
    assert (status.name, code_of(details)) == (CODES[code].grpc_status, code)
    assert field is None or fields_of(details) == [field]
