"""Extract the features of every image with the frozen feature extractor of a backbone."""

from seedlings.config import paths, reuse
from seedlings.config.records import Record
from seedlings.io import store
from seedlings.io.shards import Engine
from seedlings.networks import backbones, features, models, runtime
from seedlings.networks.params import Extract


def main(record: Record, *, extract: Extract, seed: int, threads: int, engine: Engine) -> None:
    runtime.prepare(seed, threads)
    images, height, width, _ = store.shape(paths.IMAGES)
    backbone = backbones.build(extract, height, width)
    if extract.from_scratch:
        features.store_none(backbone.feature_extractor, paths.FEATURES)
    else:
        work = features.Extraction(
            backbone.feature_extractor,
            paths.IMAGES,
            batch_size=extract.batch_size,
            seed=seed,
            threads=threads,
        )
        with reuse.of_last_run(record, [paths.FEATURES]) as last:
            features.extract(work, paths.IMAGES, paths.FEATURES, engine=engine, last=last)
    backbones.save(backbone, paths.BACKBONE)
    record.add_metrics({"images": images} | models.sizes(backbone.feature_extractor))
