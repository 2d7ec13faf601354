"""The captioned pictures: reading the shards, and packing them into one array for the GPU."""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ATLAS_SIZE = 384  # side of a picture's square cell, at least the longest side in the data


@dataclass(frozen=True)
class Picture:
    """What the prompts need to know of one picture."""

    key: str
    style: str
    name: str
    article: str  # "a ", "an ", "the " or ""
    keywords: tuple[str, ...]
    colours: tuple[str, ...]
    heldout: bool
    extent: float  # longest side as a share of the cell

    @property
    def phrase(self) -> str:
        return self.article + self.name


def parse_record(record: dict) -> Picture:
    before_name = record["caption"][: record["caption"].rfind(record["name"])]
    article = next((a for a in ("an ", "a ", "the ") if before_name.endswith(" " + a)), "")
    return Picture(
        key=record["key"],
        style=record["style"],
        name=record["name"],
        article=article,
        keywords=tuple(record["keywords"]),
        colours=tuple(record["dominant_colours"]),
        heldout=record["split"] == "heldout",
        extent=max(record["width"], record["height"]) / ATLAS_SIZE,
    )


def read_captions(path: Path) -> list[Picture]:
    """The pictures that can be pasted on a background, from a captions.jsonl."""
    records = (json.loads(line) for line in path.read_text().splitlines())
    return [parse_record(record) for record in records if not record["has_background"]]


def _read_shard(path: Path) -> list[tuple[dict, bytes]]:
    samples = []
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        for picture, text in zip(members[::2], members[1::2]):
            record = json.load(tar.extractfile(text))
            if not record["has_background"]:
                samples.append((record, tar.extractfile(picture).read()))
    return samples


def _decode_cell(data: bytes) -> np.ndarray:
    """Premultiplied RGBA, centred in its cell at its own size."""
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    height, width = image.shape[:2]
    alpha = image[..., 3:].astype(np.uint16)
    colour = (image[..., :3] * alpha + 127) // 255
    cell = np.zeros((ATLAS_SIZE, ATLAS_SIZE, 4), np.uint8)
    top, left = (ATLAS_SIZE - height) // 2, (ATLAS_SIZE - width) // 2
    cell[top : top + height, left : left + width, :3] = colour
    cell[top : top + height, left : left + width, 3] = image[..., 3]
    return cell.transpose(2, 0, 1)


def pack(shards: list[Path], target: Path, workers: int) -> int:
    """Write ``target``/atlas.npy (uint8 [N, 4, S, S]) and ``target``/pictures.json; return N."""
    target.mkdir(parents=True, exist_ok=True)
    samples = [sample for shard in sorted(shards) for sample in _read_shard(shard)]
    shape = (len(samples), 4, ATLAS_SIZE, ATLAS_SIZE)
    atlas = np.lib.format.open_memmap(target / "atlas.npy", mode="w+", dtype=np.uint8, shape=shape)
    with ProcessPoolExecutor(workers) as pool:
        for i, cell in enumerate(pool.map(_decode_cell, (data for _, data in samples), chunksize=64)):
            atlas[i] = cell
    atlas.flush()
    pictures = [asdict(parse_record(record)) for record, _ in samples]
    (target / "pictures.json").write_text(json.dumps(pictures))
    return len(samples)


def load_pictures(packed: Path) -> list[Picture]:
    records = json.loads((packed / "pictures.json").read_text())
    for record in records:
        record["keywords"], record["colours"] = tuple(record["keywords"]), tuple(record["colours"])
    return [Picture(**record) for record in records]


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="folder with the STYLE.tar files")
    parser.add_argument("--packed", type=Path, required=True, help="folder to write")
    parser.add_argument("--workers", type=int, default=16)
    args = parser.parse_args()
    print(pack(list(args.shards.glob("*.tar")), args.packed, args.workers), "pictures packed")


if __name__ == "__main__":
    main()
