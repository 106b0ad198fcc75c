"""Schemathesis against the gateway's own OpenAPI document: no 5xx, no schema broken, no bad input taken.

`python -m bench.fuzz [--cases N]`. Prints JSON lines and exits 1 on a broken promise. A gateway and its sandbox are
started for it on loopback and stopped at the end.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.ports import free_ports

BIN = Path(sys.executable).parent
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
ALL_PHASES = "examples,coverage,fuzzing"
DOORS = 32
"""About how many operations there are: what one of them gets is the share of the cases."""
LONGEST_S = 3_000


def fuzz(cases: int, seed: int, phases: str = ALL_PHASES) -> tuple[int, int, str]:
    """Run about `cases` cases, beside those of the phases `examples` and `coverage`, which are as many as the document
    asks for. Returns how many were made, how many found a fault, and what was said."""
    with tempfile.TemporaryDirectory() as home:
        port = free_ports(4)  # of the gateway and the three of the sandbox
        # With `partial` a bad message gets its error in an answer of 200: right, and no refusal to be looked for.
        Path(home, "schemathesis.toml").write_text("[parameters]\npartial = false\n")
        environment = {**os.environ, "CASCADE_LIMITS__SEND_RATE": "0", "CASCADE_LIMITS__READ_RATE": "0"}
        demo = subprocess.Popen(
            [BIN / "cascade", "demo", "--quiet", "--port", str(port), "--home", home],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline().startswith("ready"), "the demo did not start"
            told = subprocess.run(
                [
                    *(BIN / "schemathesis", "run", f"http://127.0.0.1:{port}/openapi.json"),
                    *("--header", "X-Authorization-Key: your-api-key"),
                    *("--checks", ",".join(CHECKS), "--phases", phases),
                    *("--max-examples", str(max(cases // DOORS, 1)), "--seed", str(seed)),
                    *("--continue-on-failure", "--no-color", "--suppress-health-check", "all", "--warnings", "off"),
                ],
                capture_output=True,
                text=True,
                timeout=LONGEST_S,
                cwd=home,
                check=False,
            ).stdout
        finally:
            demo.terminate()
            demo.wait(20)
            assert demo.stdout is not None
            demo.stdout.close()
    made = re.search(r"(\d+) generated", told)
    found = re.search(r"(\d+) found", told)
    return int(made[1]) if made else 0, int(found[1]) if found else 0, told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    asked = parser.parse_args()
    seed = int(os.environ.get("CASCADE_SEED", random.SystemRandom().randrange(1 << 32)))
    made, found, told = fuzz(asked.cases, seed)
    for figure, value in (("fuzz_cases", made), ("fuzz_faults", found)):
        print(json.dumps({"figure": figure, "value": value, "unit": "cases", "seed": seed}))
    if found or not made:
        print(told)
    return 1 if found or not made else 0


if __name__ == "__main__":
    sys.exit(main())
