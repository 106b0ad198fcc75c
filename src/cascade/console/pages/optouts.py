"""Who wants no advertising, as `/v1/opt-outs` has it; to be looked at."""

from typing import Final, NamedTuple

from starlette.responses import Response

from cascade.console.page import Page
from cascade.console.pages.messages import as_phone
from cascade.store import optouts
from cascade.store.optouts import OptOut

LENGTH: Final = 50


class Listed(NamedTuple):
    account_id: int
    opt_out: OptOut


async def listed(page: Page) -> Response:
    """In the order of phones. A phone that several accounts know is never torn apart by the end of a page."""
    given = page.request.query_params
    wanted = given.get("q", "").strip()
    phone = as_phone(wanted) or wanted or None
    is_national = phone is not None and phone.startswith("+0")
    found: list[Listed] = []
    async with page.parts.database.cold_reading() as reader:
        for account in page.accounts:
            some = await optouts.page(reader, account.id, phone, given.get("after", ""), LENGTH + 1)
            found += [Listed(account.id, one) for one in some]
    found.sort(key=lambda one: (one.opt_out.phone, one.account_id))
    last = found[min(LENGTH, len(found)) - 1].opt_out.phone if found else ""
    shown = [one for one in found if one.opt_out.phone <= last]
    after = last if len(shown) < len(found) else None
    return page.render("optouts.html", found=shown, q=wanted, after=after, is_national=is_national)
