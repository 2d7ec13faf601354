"""Writes tests/data/images/: small pictures in many flavours of PNG, JPEG and WebP, and expected.safetensors with their RGB pixels.

Run: python tests/golden/make_images.py (needs Pillow, numpy and safetensors). Transparent pictures lie over white. JPEG and lossy WebP are
expected as Pillow decodes them; decoders differ by a few levels there.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin
from safetensors.numpy import save_file

WIDTH, HEIGHT = 37, 23


def scene() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red = 255 * x / (WIDTH - 1)
    green = 255 * y / (HEIGHT - 1)
    blue = 127 + 120 * np.sin(x / 5) * np.cos(y / 4)
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.int32)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def interlaced_png(rgba16: np.ndarray) -> bytes:
    """An Adam7 PNG with 16 bits a channel, which Pillow cannot write."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for x, y, dx, dy in passes:
        for row in rgba16[y::dy, x::dx]:
            data += (b"\0" + row.astype(">u2").tobytes()) if row.size else b""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = rgba16.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def main() -> None:
    folder = Path(__file__).parents[1] / "data" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    rgb = scene()
    picture = Image.fromarray(rgb)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    alpha = ((x * 9 + y * 5) % 256).astype(np.uint8)
    rgba = np.dstack([rgb, alpha])
    grey = picture.convert("L")
    expected = {}

    def save(name: str, image: Image.Image, pixels: np.ndarray | None = None, **options) -> None:
        image.save(folder / name, **options)
        if pixels is None:
            pixels = np.asarray(Image.open(folder / name).convert("RGB"))
        expected[name] = np.ascontiguousarray(pixels)

    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a café\nNegative prompt: dull\nSteps: 20, Sampler: x, Seed: 1")
    info.add_itxt("title", "水墨 🎨")
    info.add_text("packed", "long " * 200, zip=True)
    info.add_itxt("packed international", "длинный " * 200, zip=True)
    save("rgb.png", picture, rgb, pnginfo=info)
    save("rgba.png", Image.fromarray(rgba), over_white(rgba))
    save("grey.png", grey)
    grey_alpha = np.dstack([np.asarray(grey)] * 3 + [alpha])
    save("grey_alpha.png", Image.merge("LA", [grey, Image.fromarray(alpha)]), over_white(grey_alpha))
    save("palette.png", picture.quantize(16))
    save("palette_1bit.png", picture.quantize(2), bits=1)
    save("bilevel.png", picture.convert("1"))
    transparent = picture.quantize(8)
    index = np.asarray(transparent)
    colours = np.array(transparent.getpalette()[:24], dtype=np.uint8).reshape(8, 3)
    save("palette_transparent.png", transparent, np.where(index[..., None] == 3, 255, colours[index]).astype(np.uint8), transparency=3)
    deep = (np.asarray(grey).astype(np.uint16) * 257)
    save("grey16.png", Image.fromarray(deep), np.dstack([np.asarray(grey)] * 3))
    (folder / "interlaced16.png").write_bytes(interlaced_png(rgba.astype(np.uint16) * 257))
    expected["interlaced16.png"] = over_white(rgba)
    save("baseline.jpg", picture, quality=95, subsampling=0)
    save("subsampled.jpg", picture, quality=85)
    save("progressive.jpg", picture, quality=90, progressive=True)
    save("grey.jpg", grey, quality=90)
    save("cmyk.jpg", picture.convert("CMYK"), quality=95)
    save("lossless.webp", picture, rgb, lossless=True)
    save("lossy.webp", picture, quality=80)
    transparent_webp = np.where(alpha[..., None] == 0, 0, rgba).astype(np.uint8)
    save("alpha.webp", Image.fromarray(transparent_webp), over_white(transparent_webp), lossless=True, exact=True)
    for orientation in range(1, 9):
        for name, little, options in (("jpg", True, {"quality": 95, "subsampling": 0}), ("png", False, {}), ("webp", False, {"lossless": True})):
            exif = Image.Exif()
            exif.endian = "<" if little else ">"
            exif[274] = orientation
            file = f"orientation_{orientation}.{name}"
            picture.crop((0, 0, 19, 11)).save(folder / file, exif=exif, **options)
            expected[file] = np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(Image.open(folder / file)).convert("RGB")))
    picture.save(folder / "animated.webp", save_all=True, append_images=[picture.rotate(180)], duration=100)
    save_file(expected, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
