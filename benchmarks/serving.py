"""How fast the served model answers, for VGG16 and for a small network, and what that costs."""

import base64
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import servers

from seedlings import images, params
from seedlings.cli import presets
from seedlings.data import sample
from seedlings.networks import architectures, backbones
from seedlings.packaging import bundle
from seedlings.tasks import TASKS

_REQUESTS = 32
_NAMES = [species.name for species in sample.SPECIES]


def main() -> None:
    titles = ("images", "clients", "p50 ms", "p95 ms", "network", "lost")
    print(f"{'':<10}" + "".join(f"{title:>9}" for title in titles))
    for preset in ("sample", "digits"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _package(preset, root / "package")
            predictor = bundle.Predictor(root / "package")
            port = servers.free_port()
            command = ["seedlings", "serve", "--model", str(root / "package"), "--port", str(port)]
            with servers.running(*command, port=port, folder=root):
                for count in (1, 16):
                    for clients in (1, 4, 16):
                        _report(preset, predictor, port, count, clients)


def _package(preset: str, path: Path) -> None:
    """A package of the preset's network with random weights."""
    settings = params.check(params.parse(presets.compose([f"preset={preset}"])))
    task = TASKS[settings.task]
    trunk = backbones.build(settings.extract, *settings.segment.size)
    top = architectures.top(trunk, len(_NAMES), task, settings.finetune)
    contents = bundle.Contents(
        settings.task, _NAMES, settings.segment.model_dump(), 0.5, (0.0, 1.0)
    )
    bundle.write(architectures.assemble(trunk.trunk, top), contents, path)


def _report(preset: str, predictor: bundle.Predictor, port: int, count: int, clients: int) -> None:
    pictures = [sample.draw_numbered(n % 12, n, seed=1, size=150)[0] for n in range(count)]
    cells = [[base64.b64encode(images.encode_png(picture)).decode()] for picture in pictures]
    body = {"dataframe_split": {"columns": ["image"], "data": cells}}
    address = f"http://127.0.0.1:{port}/invocations"
    times: list[float] = []
    lost = [0]

    def ask() -> None:
        with requests.Session() as session:
            for _ in range(max(3, _REQUESTS // clients)):
                start = time.perf_counter()
                answer = session.post(address, json=body, timeout=600)
                times.append(time.perf_counter() - start)
                if answer.status_code != 200 or len(answer.json()["predictions"]) != count:
                    lost[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    middle, high = np.quantile(times, [0.5, 0.95]) * 1000
    share = f"{_network(predictor, pictures) / np.quantile(times, 0.5):.0%}" if clients == 1 else ""
    print(
        f"{preset:<10}{count:>9}{clients:>9}{middle:>9.1f}{high:>9.1f}{share:>9}{lost[0]:>9}",
        flush=True,
    )


def _network(predictor: bundle.Predictor, pictures: list[images.Image]) -> float:
    """Seconds that the network alone takes for the pictures, once it is warm."""
    size = predictor.contents.segment["size"]
    batch = np.stack([images.resize(picture, *size) for picture in pictures])
    times = []
    for _ in range(6):
        start = time.perf_counter()
        predictor.run(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


if __name__ == "__main__":
    main()
