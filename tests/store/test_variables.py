"""Values for placeholders: kept by account, type and id, overwritten, and looked up as a set."""

from cascade.core.placeholders import Slot, Variable
from cascade.store import variables
from cascade.store.database import Database

from .given import T0

JOHN = Variable("name", "1", "John")


async def put(database: Database, *given: Variable, account_id: int = 1) -> None:
    async with database.transaction() as tx:
        await variables.put(tx, account_id, given, T0)


async def values(database: Database, *slots: Slot, account_id: int = 1) -> dict[Slot, str]:
    async with database.reading() as reader:
        return await variables.values(reader, account_id, slots)


async def test_what_is_stored_is_found_by_type_and_id(database: Database) -> None:
    url = Variable("url", "1", "https://e.com/")
    await put(database, JOHN, url)
    slots = (JOHN.slot, url.slot, Slot("name", "2"), Slot("Name", "1"))
    assert await values(database, *slots) == {JOHN.slot: "John", url.slot: "https://e.com/"}


async def test_the_latest_value_counts(database: Database) -> None:
    await put(database, JOHN)
    await put(database, Variable("name", "1", "Ivan"), Variable("name", "1", "Іван"))
    assert await values(database, JOHN.slot) == {JOHN.slot: "Іван"}


async def test_an_account_sees_its_own_alone(database: Database) -> None:
    await put(database, JOHN)
    await put(database, Variable("name", "1", "Jane"), account_id=2)
    assert await values(database, JOHN.slot) == {JOHN.slot: "John"}
    assert await values(database, JOHN.slot, account_id=2) == {JOHN.slot: "Jane"}
    assert await values(database, JOHN.slot, account_id=3) == {}


async def test_a_set_of_thousands(database: Database) -> None:
    many = [Variable("name", str(number), f"person {number}") for number in range(1_203)]
    await put(database, *many)
    assert await values(database, *(one.slot for one in many)) == {one.slot: one.value for one in many}
    assert await values(database) == {}
