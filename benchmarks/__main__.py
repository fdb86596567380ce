"""All benchmarks, one after the other: `make bench`, or `python -m benchmarks NAME ...`."""

import subprocess
import sys

NAMES = (
    "segmentation",
    "extraction",
    "head",
    "cluster",
    "memory",
    "neighbours",
    "increments",
    "serving",
    "prediction",
    "views",
    "scale",
    "overhead",
    "startup",
    "dependencies",
    "rebuild",
    "growth",
    "blocks",
    "training",
    "quality",
    "transfer",
    "few_images",
    "samplers",
    "search",
    "coverage",
    "portability",
)


def main() -> None:
    names = sys.argv[1:] or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"expected benchmarks ({', '.join(NAMES)}), found {', '.join(sorted(unknown))}")
    failed = []
    for name in names:  # each in its own process, so that no benchmark warms up another
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
