"""What the site has beside the pages in docs/: the API reference from the program itself, the example configuration,
the changelog, the clients' own pages, and a drawing library that is shipped along instead of fetched.

mkdocs calls these functions by their names: https://www.mkdocs.org/dev-guide/plugins/#events
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from cascade.api.app import create_app

ROOT = Path(__file__).parents[2]
MERMAID = ROOT / "build" / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
COPIED = {  # file of the repository -> page of the site
    "CHANGELOG.md": "changelog.md",
    "clients/python/README.md": "clients/python.md",
    "clients/javascript/README.md": "clients/javascript.md",
    "clients/php/README.md": "clients/php.md",
}
ELSEWHERE = re.compile(r"\]\((?:\.\./)+(cascade\.example\.toml|CHANGELOG\.md|clients/\w+/README\.md)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A folder in the navigation stands for all its pages; a page that nobody named comes last."""
    config.nav = [expanded(entry) for entry in config.nav or []]
    missing = sorted({path.name for path in (ROOT / "docs").glob("*.md")} - set(named(config.nav)))
    if missing:
        config.nav.append({"More": missing})
    return config


def named(entry: Any) -> Iterator[str]:
    """Every page that a part of the navigation names."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list | dict):
        for inside in entry.values() if isinstance(entry, dict) else entry:
            yield from named(inside)


def expanded(entry: Any) -> Any:
    if isinstance(entry, list):
        return [expanded(each) for each in entry]
    if isinstance(entry, dict):
        return {title: expanded(inside) for title, inside in entry.items()}
    if isinstance(entry, str) and entry.endswith("/"):
        pages = sorted(path.name for path in (ROOT / "docs" / entry).glob("*.md"))
        return [f"{entry}{name}" for name in pages]
    return entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not written by hand."""
    example = (ROOT / "cascade.example.toml").read_text(encoding="utf-8")
    pages = {
        "configuration.md": f"# Configuration\n\n`cascade.example.toml`, whole:\n\n```toml\n{example}\n```\n",
        "reference.md": '# API reference\n\nDrawn from the program itself.\n\n<swagger-ui src="openapi.json"/>\n',
        "openapi.json": json.dumps(openapi(), ensure_ascii=False),
    }
    for source, page in COPIED.items():
        pages[page] = (ROOT / source).read_text(encoding="utf-8")
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that leave docs/ lead to the page that shows the same."""
    depth = page.file.src_uri.count("/")

    def target(match: re.Match[str]) -> str:
        uri = "configuration.md" if match[1].endswith(".toml") else COPIED[match[1]]
        return f"]({'../' * depth}{uri})"

    return ELSEWHERE.sub(target, markdown)


def openapi() -> dict[str, Any]:
    parts: Any = SimpleNamespace(database=SimpleNamespace(is_shared=False))  # no door is opened
    app: FastAPI = create_app(parts)
    return app.openapi()
