"""The bench of pages fills a store that the pages can show."""

from pathlib import Path

from bench import pages


async def test_every_page_answers(postgres_url: str, tmp_path: Path) -> None:
    found = await pages.measure(postgres_url, tmp_path / "gateway", 2_000)
    assert len(found) > 50
