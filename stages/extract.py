"""Run every image through the frozen trunk of a backbone, once."""

from seedlings import backbones, features, layout, models, pipeline, runtime, store
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("extract")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    images, height, width, _ = store.shape(layout.IMAGES)
    backbone = backbones.build(params.extract, height, width)
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
