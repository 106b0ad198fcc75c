"""`make migration NAME="What it does"`: writes what leads from the newest version to the tables of schema.py.

Indexes on tables that exist get a revision of their own each, since PostgreSQL adds them outside of any transaction.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import NullPool, create_engine

from cascade.store import schema
from cascade.store.migrate import upgrade
from cascade.store.versions import HEAD, REVISIONS, UNRELEASED, Version, check_line

CHECK = "--check"
"""Instead of a name: write nothing, complain where something is to be written."""
FILE = '''"""{what}"""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{version}"
down_revision = {before}


def upgrade() -> None:
    {code}
'''
ADD_INDEX = "\nfrom cascade.store.migrations.steps import add_index\n"


def differences() -> tuple[ops.UpgradeOps, list[ops.CreateIndexOp]]:
    """What the newest version lacks: all that can be one transaction, and indexes on tables that it has already."""
    with create_engine("sqlite://", poolclass=NullPool).begin() as connection:
        upgrade(connection)
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "include_name": _is_ours},
        )
        found = produce_migrations(context, schema.metadata).upgrade_ops
    assert found is not None  # noqa: S101 - Alembic's word for one that was not asked for
    made = {change.table_name for change in found.ops if isinstance(change, ops.CreateTableOp)}
    indexes = []
    for change in found.ops:
        if isinstance(change, ops.ModifyTableOps) and change.table_name not in made:
            indexes += [one for one in change.ops if isinstance(one, ops.CreateIndexOp)]
            change.ops = [one for one in change.ops if not isinstance(one, ops.CreateIndexOp)]
    found.ops = [one for one in found.ops if not isinstance(one, ops.ModifyTableOps) or one.ops]
    return found, indexes


def _is_ours(name: str | None, type_: str, parents: object) -> bool:
    return name != "alembic_version"


def bodies(found: ops.UpgradeOps, indexes: Iterable[ops.CreateIndexOp]) -> list[str]:
    """The code of each revision."""
    first = [_code(found)] if found.ops else []
    return [*first, *(_code(ops.UpgradeOps([index])).replace("op.create_index(", "add_index(") for index in indexes)]


def _code(found: ops.UpgradeOps) -> str:
    lines = render_python_code(found, render_as_batch=True).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#")).strip()


def write(what: str, code: Sequence[str], after: Version | None, directory: Path = REVISIONS) -> list[Path]:
    """Write a revision for each piece of code."""
    paths = []
    for body in code:
        version = UNRELEASED if after is None else after._replace(minor=after.minor + 1)
        slug = re.sub(r"\W+", "_", what.lower()).strip("_")
        path = directory / f"v{version.major}_{version.minor}_{slug}.py"
        before = "None" if after is None else f'"{after}"'
        imports = ADD_INDEX if "add_index(" in body else ""
        path.write_text(
            FILE.format(what=f"{what.rstrip('.')}.", imports=imports, version=version, before=before, code=body)
        )
        paths.append(path)
        after = version
    return paths


def main() -> None:
    what = " ".join(sys.argv[1:]).strip()
    if not what:
        sys.exit('Say what it does: make migration NAME="Remember who asked"')
    check_line()
    code = bodies(*differences())
    if what == CHECK:
        sys.exit('schema.py has no revision: make migration NAME="What it does" (docs/migrations.md)' if code else 0)
    if not code:
        sys.exit("The newest version has the tables of schema.py already.")
    for path in write(what, code, HEAD):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
