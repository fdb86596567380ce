"""Run every image through the frozen trunk of a backbone, once; from scratch there is none."""

from seedlings import backbones, features, layout, models, pipeline, runtime, store
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("extract")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    images, height, width, _ = store.shape(layout.IMAGES)
    backbone = backbones.build(params.extract, height, width)
    if params.extract.from_scratch:
        features.store_none(backbone.trunk, layout.FEATURES)
    else:
        features.extract(
            backbone.trunk,
            layout.IMAGES,
            layout.FEATURES,
            batch_size=params.extract.batch_size,
            key=pipeline.fingerprint("extract", record.params),
        )
    backbones.save(backbone, layout.BACKBONE)
    record.add_metrics({"images": images} | models.sizes(backbone.trunk))


if __name__ == "__main__":
    main()
