"""What a form says as text, as JSON would have it."""

import pytest

from rakinglight.catalogue import OPERATIONS, Operation, types_in
from service.bodies import _typed
from tests.rakinglight.test_options import faults


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_a_number_in_a_form_is_a_number(operation: Operation) -> None:
    for method in operation.methods or (None,):
        for name, (hint, default) in operation.fields(method).items():
            if types_in(hint) not in ([int], [float]):
                continue
            said = str(default if isinstance(default, int | float) else 5)
            typed = _typed({name: said}, operation, method and method.name)
            assert typed == {name: pytest.approx(float(said))}
            assert f"/parameters/{name}" not in faults(operation, method, typed)
