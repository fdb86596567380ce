"""Run benchmarks, each in a process of its own: `python -m benchmarks [--small] [NAME ...]`."""

import argparse
import importlib
import subprocess
import sys

NAMES = (
    "ingest",
    "extraction",
    "training",
    "memory",
    "serving",
    "exports",
    "overhead",
    "cluster",
    "search",
    "quality",
    "backbones",
    "labels",
    "groups",
    "out_of_distribution",
    "shift",
    "scale",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--small", action="store_true", help="few small images, for a quick check")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"expected {', '.join(NAMES)}, found {', '.join(sorted(unknown))}")
    if len(options.names) == 1:
        importlib.import_module(f"benchmarks.{options.names[0]}").main(small=options.small)
        return
    failed = []
    for name in options.names or NAMES:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", "benchmarks", name, *["--small"] * options.small]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
