"""The proto says what the catalogue says, and the committed code says what the proto says."""

import difflib
import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from protos.gen.rakinglight.v1 import rakinglight_pb2
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.defenses import BY_NAME, AnyDefense
from rakinglight.errors import CODES, BadParameter, FieldError
from rakinglight.method import Method
from rakinglight.parameters import AttackChoice, PerImage, Rank
from rakinglight.picture_parameters import IsPicture, pictures_of
from rakinglight.plan import comparable
from rakinglight.results import State
from service import grpc_keys, grpc_storage

REPOSITORY = Path(__file__).parents[2]
SERVICE = rakinglight_pb2.DESCRIPTOR.services_by_name["RakingLight"]
MESSAGES = rakinglight_pb2.DESCRIPTOR.message_types_by_name
ABOUT_MODELS = {"ListModels", "GetModel"}
ABOUT_WHAT_IS_KEPT = {"SubmitJob", *grpc_storage.CALLS, *grpc_keys.CALLS}
#: What may stand beside `parameters` in any request (REST's `deadline_s` has no field here: it is the call's own
#: deadline, and a job's stands in SubmitJobRequest).
BESIDE = {"model", "version", "images", "dataset", "parameters", "include", "seed", "max_rows", "purpose"}

PROTO = REPOSITORY / "protos" / "rakinglight" / "v1" / "rakinglight.proto"

METHODS = [(operation, method) for operation in OPERATIONS.values() for method in operation.methods]


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def parameters_message(operation: Operation) -> Descriptor:
    return MESSAGES[f"{camel(operation.name)}Parameters"]


def methods_oneof(operation: Operation) -> dict[str, FieldDescriptor]:
    oneof = parameters_message(operation).oneofs_by_name.get("method")
    return {field.name: field for field in oneof.fields} if oneof else {}


def annotated(operation: Operation, method: Method[Any] | None) -> dict[str, Any]:
    """Name -> the type that the catalogue holds that parameter to."""
    model = operation.parameters(method)
    pictures = {name: list[IsPicture] if many else IsPicture for name, many in pictures_of(model).items()}
    return {name: field.annotation for name, field in model.model_fields.items()} | pictures


def wanted_type(annotation: Any) -> str:
    """How a parameter of this type is to stand in the proto."""
    if any(PerImage in getattr(arg, "__metadata__", ()) for arg in get_args(annotation)):
        return "repeated ClassReference"
    if annotation == AnyDefense:
        return "Defense"
    if annotation in (IsPicture, list[IsPicture]):
        return "Image" if annotation is IsPicture else "repeated Image"
    kind, *others = [_bare(arg) for arg in _either(annotation) if arg is not type(None)]
    if dict in [get_origin(other) for other in others]:
        return "PerturbationReference"
    if {kind, *others} in ({int, str}, {int, str, Rank}):  # a class, the same for all images
        return "ClassReference"
    if others:  # a number or a name
        assert {kind, *map(get_origin, others)} == {float, Literal}
        return "Filling"
    if get_origin(kind) is dict:
        return "Tensor"
    if get_origin(kind) is Literal:
        return "enum of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        of = _bare(get_args(kind)[0])
        if get_origin(of) is tuple:
            return "repeated Box"
        return f"repeated {wanted_type(of).removeprefix('optional ')}"
    if kind is AttackChoice:
        return "AttackParameters"
    return {float: "optional double", int: "optional int32", bool: "optional bool", str: "optional string"}[kind]


def _either(annotation: Any) -> tuple[Any, ...]:
    """What a union is of; of anything else, itself alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def enum_of(enum: EnumDescriptor) -> str:
    prefix = f"{re.sub('(?<=[a-z])(?=[A-Z])', '_', enum.name).upper()}_"
    names = [value.name for value in enum.values]
    assert names[0] == f"{prefix}UNSPECIFIED"
    return "enum of " + ", ".join(name.removeprefix(prefix).lower() for name in names[1:])


#: What an enum holds -> its name, of those that are in the proto.
ENUMS = {enum_of(enum): name for name, enum in rakinglight_pb2.DESCRIPTOR.enum_types_by_name.items()}


def found_type(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return "repeated " * field.is_repeated + enum_of(field.enum_type)
    plain = {
        FieldDescriptor.TYPE_DOUBLE: "double",
        FieldDescriptor.TYPE_INT32: "int32",
        FieldDescriptor.TYPE_BOOL: "bool",
        FieldDescriptor.TYPE_STRING: "string",
    }
    kind = field.message_type.name if field.message_type is not None else plain[field.type]
    if field.is_repeated:
        return f"repeated {kind}"
    return f"optional {kind}" if field.has_presence and field.message_type is None else kind


def message_of(operation: Operation, name: str) -> str:
    """What the message of the method called `name` is called: with its operation, where another's has the plain name.

    There is one room for all messages, and an attack by a universal perturbation is no `universal`.
    """
    before = itertools.takewhile(lambda other: other != operation.name, OPERATIONS)
    taken = {*OPERATIONS, *(method for other in before for method in OPERATIONS[other].by_name)}
    return f"{camel(operation.name) if name in taken else ''}{camel(name)}Parameters"


def lines_to_paste(operation: Operation, method: Method[Any]) -> str:
    """What `method` needs in the proto: its place among the operation's methods, and its message."""
    fields = operation.parameters(method).model_fields
    message = message_of(operation, method.name)
    taken = [field.number for field in methods_oneof(operation).values()]
    lines = [f"    {message} {method.name} = {max(taken, default=15) + 1};", "", f"// {method.summary}"]
    lines.append(f"message {message} {{")
    own = {name: kind for name, kind in annotated(operation, method).items() if name not in operation.own_parameters}
    for number, (name, annotation) in enumerate(own.items(), 1):
        kind = wanted_type(annotation)
        lines += [f"  // {fields[name].description}", f"  {ENUMS.get(kind, kind)} {name} = {number};"]
    return "\n".join([*lines, "}"])


def without_comments(proto: str) -> list[str]:
    """Its lines that say something; `{}` on two lines, as every other message has it."""
    lines = proto.replace("{}", "{\n}").splitlines()
    return [line for line in lines if line.strip() and not line.strip().startswith("//")]


def test_every_operation_has_a_call_and_its_streaming_twin_and_there_is_no_other_call() -> None:
    wanted = {camel(name) + twin for name in OPERATIONS for twin in ("", "Stream")}
    assert {call.name for call in SERVICE.methods} == wanted | ABOUT_MODELS | ABOUT_WHAT_IS_KEPT


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_call_and_its_twin_take_the_same_request_and_end_with_the_same_response(operation: Operation) -> None:
    name = camel(operation.name)
    call, twin = SERVICE.methods_by_name[name], SERVICE.methods_by_name[f"{name}Stream"]
    assert call.input_type is twin.input_type is MESSAGES[f"{name}Request"]
    assert not call.server_streaming
    assert twin.server_streaming
    assert {field.name: field.message_type.name for field in twin.output_type.oneofs_by_name["event"].fields} == {
        "progress": "Progress",
        "result": call.output_type.name,
    }


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_request_is_laid_out_alike(operation: Operation) -> None:
    layout = {field.name: field.number for field in MESSAGES[f"{camel(operation.name)}Request"].fields}
    alike = {field.name: field.number for field in MESSAGES["ClassifyRequest"].fields}
    assert layout == alike | ({"compare": 9} if comparable(operation) else {})
    assert set(alike) == BESIDE


@pytest.mark.parametrize(("operation", "method"), METHODS, ids=[method.name for _, method in METHODS])
def test_every_method_has_its_message(operation: Operation, method: Method[Any]) -> None:
    if method.name not in methods_oneof(operation):
        pytest.fail(
            f"{method.name} is not in the proto. Paste the first line into `oneof method` of "
            f"{camel(operation.name)}Parameters in {PROTO.relative_to(REPOSITORY)}, the others below that message, and "
            f"run scripts/protos:\n\n{lines_to_paste(operation, method)}\n",
            pytrace=False,
        )


@pytest.mark.parametrize(("operation", "method"), METHODS, ids=[method.name for _, method in METHODS])
def test_the_lines_to_paste_are_those_of_the_methods_that_are_there(operation: Operation, method: Method[Any]) -> None:
    place, *message = without_comments(lines_to_paste(operation, method))
    proto = without_comments(PROTO.read_text("utf-8"))
    assert place.partition(" = ")[0] in [line.partition(" = ")[0] for line in proto]
    assert "\n".join(message) in "\n".join(proto)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_the_methods_of_the_proto_are_those_of_the_catalogue(operation: Operation) -> None:
    assert {name: field.message_type.name for name, field in methods_oneof(operation).items()} == {
        name: message_of(operation, name) for name in operation.by_name
    }


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_s_own_parameters_are_those_of_the_catalogue(operation: Operation) -> None:
    own = [f for f in parameters_message(operation).fields if f.name not in methods_oneof(operation)]
    anywhere = annotated(operation, operation.method(None))
    assert {f.name: found_type(f) for f in own} == {
        name: wanted_type(anywhere[name]) for name in operation.own_parameters
    }


@pytest.mark.parametrize(("operation", "method"), METHODS, ids=[method.name for _, method in METHODS])
def test_a_method_s_parameters_are_those_of_the_catalogue(operation: Operation, method: Method[Any]) -> None:
    message = methods_oneof(operation)[method.name].message_type
    assert {f.name: found_type(f) for f in message.fields} == {
        name: wanted_type(annotation)
        for name, annotation in annotated(operation, method).items()
        if name not in operation.own_parameters
    }


def test_every_defence_has_its_message() -> None:
    fields = MESSAGES["Defense"].oneofs_by_name["name"].fields
    assert {field.name: field.message_type.name for field in fields} == {
        name: f"{camel(name)}Defense" for name in BY_NAME
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_a_defence_s_parameters_are_those_of_its_message(name: str) -> None:
    message, fields = MESSAGES[f"{camel(name)}Defense"], BY_NAME[name].model_fields
    assert {field.name: found_type(field) for field in message.fields} == {
        parameter: wanted_type(field.annotation) for parameter, field in fields.items() if parameter != "name"
    }


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_all_that_can_be_included_has_a_field_in_the_result(operation: Operation) -> None:
    messages = [MESSAGES.get(f"{camel(operation.name)}{of}") for of in ("Result", "Summary")]
    assert set(operation.include) <= {name for message in messages if message for name in message.fields_by_name}


@pytest.mark.parametrize(("message", "oneof"), [("SubmitJobRequest", "request"), ("JobResult", "response")])
def test_a_job_is_of_any_operation(message: str, oneof: str) -> None:
    fields = {field.name: field for field in MESSAGES[message].oneofs_by_name[oneof].fields}
    assert {name: field.message_type.name for name, field in fields.items()} == {
        name: f"{camel(name)}{camel(oneof)}" for name in OPERATIONS
    }


def test_a_job_has_the_states_that_there_are() -> None:
    assert enum_of(rakinglight_pb2.DESCRIPTOR.enum_types_by_name["JobState"]) == "enum of " + ", ".join(get_args(State))


def test_a_job_tells_of_its_progress_as_a_run_does() -> None:
    job, run = (set(MESSAGES[name].fields_by_name) for name in ("JobProgress", "Progress"))
    assert job == (run - {"picture"}) | {"done", "images"}


def test_a_problem_is_rest_s_member_by_member() -> None:
    problem = BadParameter("", errors=[FieldError("/a", "b")], retry_after_s=1).problem()
    assert set(MESSAGES["Problem"].fields_by_name) == {*problem, "request_id"}
    assert set(MESSAGES["FieldError"].fields_by_name) == set(problem["errors"][0])


def test_every_code_can_stand_as_the_reason_of_an_error_info() -> None:
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]", code) for code in CODES)


def test_the_committed_code_is_what_scripts_protos_writes(tmp_path: Path) -> None:
    subprocess.run([REPOSITORY / "scripts" / "protos", tmp_path], check=True, timeout=60)
    committed = REPOSITORY / "protos" / "gen"
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.py*"))
    assert written == sorted(p.relative_to(committed) for p in committed.rglob("*.py*") if "__pycache__" not in p.parts)
    differences = [
        line
        for path in written
        for line in difflib.unified_diff(
            list(unstamped(committed / path)), list(unstamped(tmp_path / path)), str(path), "written now", lineterm=""
        )
    ]
    assert not differences, "run scripts/protos:\n" + "\n".join(differences)


def unstamped(path: Path) -> Iterator[str]:
    """The lines of generated code without what tells one compiler's version from another's."""
    for line in path.read_text().splitlines():
        if re.search(r"Version: [\d.]+$|GRPC_GENERATED_VERSION = |^    \d+,$", line):
            continue
        yield line.replace("(object):", ":").replace("_Optional[bool]", "bool")
