"""A test-suite of one's own: copy it into your project, and run `pytest -p aiolosant.pytest_plugin test_signup.py`."""

import pytest

from aiolosant import LosantClient, NewExperienceGroup, RetryPolicy, by_tag
from aiolosant.emulator import Emulator, Fault


async def sign_up(losant: LosantClient, customer: str) -> str:
    """Return the id of the customer's group: what an application of one's own would do."""
    new = NewExperienceGroup(f"Customer {customer}", group_tags={"customerId": customer})
    return (await losant.experience_groups.create(new, unique_by=by_tag("customerId"))).id


@pytest.fixture
def losant_client_options() -> dict[str, RetryPolicy]:
    return {"retry": RetryPolicy(first_delay=0.01, settle_time=0.05)}  # faults pass quickly


@pytest.mark.asyncio
async def test_a_customer_has_one_group_however_often_it_signs_up(
    losant_emulator: Emulator, losant_client: LosantClient
) -> None:
    losant_emulator.inject(Fault.CUT_AFTER_WRITE, method="POST")  # done, but the answer is lost
    ids = {await sign_up(losant_client, "7") for _ in range(3)}
    assert [group["id"] for group in losant_emulator.groups()] == list(ids)
