"""Bring the images: drawn here, unpacked from an archive, or copied from a folder."""

from seedlings import layout, sources
from seedlings.files import replacing
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("download")
def main(params: Params, record: Record) -> None:
    with replacing(layout.RAW) as target:
        files, set_aside = sources.fetch(params.data, target, params.seed)
    record.add_metrics(
        {"files": sum(files.values()), "folders": len(files), "set_aside": len(set_aside)}
    )
    record.details |= {"files": files, "set_aside": set_aside}


if __name__ == "__main__":
    main()
