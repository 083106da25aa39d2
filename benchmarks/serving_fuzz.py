"""Fuzz the service with schemathesis: thousands of requests made from its OpenAPI description; any 5xx is a fault.

Run it:  python benchmarks/serving_fuzz.py --cases 10000 [--store URL] [--schemathesis PROGRAM] [--seed N] [--json FILE]

It trains a tiny run, starts `reckon serve` on it with an empty store (SQLite in a temporary folder, or `--store
postgresql://…`), lets schemathesis send about so many cases, and prints replies by status, as the service counts them.
Exit code 1: a 5xx, or the service has ended. schemathesis is no dependency of Reckon: `pip install schemathesis` into
any environment, and name its program where it is not on the PATH.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from measure import environment, table, write_json
from serving_client import Server

TESTS = Path(__file__).resolve().parents[1] / "tests"
COUNTED = re.compile(r'reckon_requests_total\{method="(\w*)",route="([^"]*)",status="(\d+)"\} (\d+)')
METHODS = {"get", "put", "post", "patch", "delete"}


def fuzz(run: Path, folder: Path, options: argparse.Namespace, program: str) -> dict[str, Any]:
    """Replies by status, and the faults, after about `options.cases` cases."""
    log = folder / "service.log"
    with Server(run, options.store or folder / "store.sqlite", log=log) as server:
        address = f"http://127.0.0.1:{server.port}"
        paths = server.get("/openapi.json")["paths"]
        operations = sum(len(METHODS & path.keys()) for path in paths.values())
        subprocess.run(
            [
                *(program, "run", f"{address}/openapi.json", "--url", address, "--no-color", "--warnings", "off"),
                *("--checks", "not_a_server_error", "--continue-on-failure", "--seed", str(options.seed)),
                *("--max-examples", str(max(1, options.cases // operations))),
                *("--generation-database", "none", "--suppress-health-check", "all"),
            ],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            check=False,  # the service's own numbers tell what became of the requests
        )
        counted = COUNTED.findall(server.get("/metrics")) if server.runs else []
        faults = [] if server.runs else ["the service has ended"]
    by_status: Counter[str] = Counter()
    for method, route, status, count in counted:
        by_status[status] += int(count)
        if status >= "500" and route != "/health/ready":  # which says 503 until the model is loaded
            faults.append(f"{count} x {status}: {method} {route}")
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"traceback"' in line]
    tracebacks = sorted({line["traceback"] for line in lines})
    return {"cases": by_status.total(), "by_status": dict(by_status), "faults": faults + tracebacks}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=4_000, help="about so many, over all routes")
    parser.add_argument("--store", help="address of an empty store")
    parser.add_argument("--schemathesis", default="schemathesis", help="its program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    program = shutil.which(options.schemathesis)
    if program is None:
        print(
            f"There is no program {options.schemathesis!r}. Fix: pip install schemathesis, or name it: --schemathesis"
        )
        return 2
    sys.path.insert(0, str(TESTS))
    from support.serving import run_folder

    with tempfile.TemporaryDirectory(prefix="serving-fuzz-") as folder:
        run = run_folder(Path(folder) / "made") / "run"
        result = fuzz(run, Path(folder), options, program)
    print(table(["status", "replies"], [[status, str(count)] for status, count in sorted(result["by_status"].items())]))
    print(*result["faults"], sep="\n")
    if options.json:
        write_json(options.json, {"environment": environment(), **result})
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
