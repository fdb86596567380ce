"""All measurements, one after the other: `make bench`, or `python -m benchmarks NAME ...`."""

import subprocess
import sys

NAMES = (
    "segmentation",
    "extraction",
    "head",
    "memory",
    "serving",
    "overhead",
    "rebuild",
    "quality",
)


def main() -> None:
    names = sys.argv[1:] or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in names:  # each in a process of its own, so that none warms another up
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
