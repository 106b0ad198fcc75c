"""The API describes itself, also on a machine without the internet."""

import re
from urllib.parse import urljoin, urlsplit

from openapi_spec_validator import validate

from .doors import Doors, message


async def test_the_document_is_valid_and_names_every_door_of_the_contract(doors: Doors) -> None:
    document = (await doors.call("GET", "/openapi.json", headers={})).json
    validate(document)
    assert set(document["paths"]) >= {
        "/api/CascadeMessage/send_message/async",
        "/api/CascadeMessage/send_message/tg-viber/async",
        "/bat/message/{message_id}",
        "/api/tg_bot/{token}",
        "/api/viber_bot/{token}",
        "/health/live",
        "/health/ready",
    }


async def test_the_documents_own_example_is_accepted(doors: Doors) -> None:
    document = (await doors.call("GET", "/openapi.json", headers={})).json
    send = document["paths"]["/api/CascadeMessage/send_message/async"]["post"]
    schema = send["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["items"]["properties"]) >= set(message())
    await doors.send(schema["items"]["example"])


async def test_the_page_takes_nothing_from_the_internet(doors: Doors) -> None:
    page = await doors.call("GET", "/docs", headers={})
    assert page.status == 200
    wanted = re.findall(r"""(?:src|href)="([^"]+)\"""", page.body.decode())
    assert wanted
    for link in wanted:
        assert urlsplit(link).netloc == "", link
        assert (await doors.call("GET", urljoin("/docs", link), headers={})).status == 200, link
    assert b"https://" not in page.body
