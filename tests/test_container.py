import struct
import zlib

import numpy as np
import pytest
from checks import photo_like
from hypothesis import given
from hypothesis import strategies as st

import rnnic
from rnnic import reference
from rnnic.chunks import pack_chunk
from rnnic.container import Header, parse, serialize
from rnnic.errors import (
    FormatError,
    LimitError,
    ModelMissingError,
    RnnicError,
    TruncatedError,
)
from rnnic.metadata import Metadata

IMAGE = photo_like(20, 30)
METADATA = Metadata(b"II*\0exif", b"profile", b"<x:xmpmeta/>", {"Title": "Köln", "empty": ""})


@pytest.fixture(scope="module")
def data() -> bytes:
    return rnnic.encode(IMAGE, error_threshold=4, tile_size=16, metadata=METADATA)


def chunks_of(data: bytes) -> list[tuple[str, bytes]]:
    found = []
    offset = 8
    while offset < len(data):
        kind, length = struct.unpack_from("<4sI", data, offset)
        found.append((kind.decode(), data[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    return found


def file_of(chunks: list[tuple[str, bytes]]) -> bytes:
    return b"\x8aRNNIC\r\n" + b"".join(pack_chunk(kind, payload) for kind, payload in chunks)


def both_refuse(data: bytes, error: type[RnnicError], match: str | None = None) -> None:
    """Both decoders must refuse the file with the same class of error."""
    with pytest.raises(error, match=match) as caught:
        rnnic.decode(data)
    assert caught.type is error
    with pytest.raises(error):
        reference.decode(data, rnnic.default_model().to_bytes())


def test_metadata_and_tiles_come_back(data: bytes) -> None:
    container = parse(memoryview(data))
    assert container.metadata == METADATA
    assert len(container.tiles) == container.header.tile_count == 4
    assert file_of(chunks_of(data)) == data
    assert serialize(container.header, [bytes(t) for t in container.tiles], METADATA) == data


def test_every_truncation_is_found(data: bytes) -> None:
    for size in range(len(data)):
        both_refuse(data[:size], TruncatedError)
        with pytest.raises(TruncatedError):
            rnnic.info(data[:size])


def test_every_flipped_bit_is_found(data: bytes) -> None:
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1 << (place % 8)
        with pytest.raises(RnnicError) as caught:
            rnnic.decode(bytes(broken))
        with pytest.raises(caught.type):
            reference.decode(bytes(broken), rnnic.default_model().to_bytes())


def test_bytes_behind_the_end_are_ignored(data: bytes) -> None:
    np.testing.assert_array_equal(rnnic.decode(data + b"more"), rnnic.decode(data))


def test_other_files_are_no_rnnic_files() -> None:
    both_refuse(b"\x89PNG\r\n\x1a\n and so on", FormatError, "not an RNNIC file")
    both_refuse(b"", TruncatedError, "empty")


def test_unknown_ancillary_chunks_are_skipped(data: bytes) -> None:
    chunks = chunks_of(data)
    chunks.insert(1, ("n3w0", b"content"))
    np.testing.assert_array_equal(rnnic.decode(file_of(chunks)), rnnic.decode(data))


@pytest.mark.parametrize(
    ("place", "chunk", "match"),
    [
        (1, ("NEWS", b"x"), "NEWS"),
        (0, ("exif", b""), "not HEAD"),
        (1, ("TILE", b"x"), "in the place of TIDX"),
        (-1, ("TIDX", b""), "in the place of tile 3"),
    ],
)
def test_chunks_out_of_place(data: bytes, place: int, chunk: tuple[str, bytes], match: str) -> None:
    chunks = chunks_of(data)
    chunks.insert(place, chunk)
    both_refuse(file_of(chunks), FormatError, match)


def test_chunks_that_lie(data: bytes) -> None:
    chunks = chunks_of(data)
    at = [kind for kind, _ in chunks].index("TIDX")
    index = chunks[at][1]
    wrong = [*chunks]
    wrong[at] = ("TIDX", index[:-4])
    both_refuse(file_of(wrong), FormatError)
    first, second, *rest = struct.unpack("<4I", index)
    wrong[at] = ("TIDX", struct.pack("<4I", first + 1, second - 1, *rest))
    both_refuse(file_of(wrong), FormatError)
    wrong[at] = ("TIDX", struct.pack("<4I", 2**32 - 1, second, *rest))
    with pytest.raises(TruncatedError):
        rnnic.decode(file_of(wrong))


def test_metadata_that_is_wrong(data: bytes) -> None:
    for extra in (
        ("exif", b"again"),
        ("text", b"no zero byte"),
        ("text", b"\0no key"),
        ("text", b"k" * 80 + b"\0"),
        ("text", b"\xff\0not UTF-8"),
    ):
        chunks = chunks_of(data)
        chunks.insert(2, extra)
        with pytest.raises(FormatError):
            rnnic.decode(file_of(chunks))


def with_head(data: bytes, offset: int, layout: str, value: int) -> bytes:
    chunks = chunks_of(data)
    head = bytearray(chunks[0][1])
    struct.pack_into(layout, head, offset, value)
    chunks[0] = ("HEAD", bytes(head))
    return file_of(chunks)


@pytest.mark.parametrize(
    ("offset", "layout", "value", "error", "match"),
    [
        (0, "B", 2, FormatError, "pip install --upgrade"),
        (1, "B", 77, FormatError, "method 77"),
        (2, "B", 5, FormatError, "channels"),
        (3, "B", 12, FormatError, "bits per sample"),
        (4, "<I", 0, LimitError, "width"),
        (4, "<I", 2**24 + 1, LimitError, "width"),
        (8, "<I", 2**24 + 1, LimitError, "height"),
        (12, "<H", 15, LimitError, "tile size"),
        (12, "<H", 4097, LimitError, "tile size"),
        (14, "B", 0xEE, ModelMissingError, "ee"),
        (24, "<H", 255, FormatError, "scale"),
    ],
)
def test_header_fields(
    data: bytes, offset: int, layout: str, value: int, error: type[RnnicError], match: str
) -> None:
    broken = with_head(data, offset, layout, value)
    both_refuse(broken, error, match)


def test_promised_gigapixels_cost_nothing(data: bytes) -> None:
    huge = with_head(with_head(data, 4, "<I", 2**24), 8, "<I", 2**24)
    both_refuse(huge, LimitError)
    # Within the limit of pixels, but with four tiles of a few bytes each.
    wide = with_head(with_head(data, 4, "<I", 8192), 8, "<I", 8192)
    wide = with_head(wide, 12, "<H", 4096)
    with pytest.raises(TruncatedError, match="its size needs"):
        rnnic.decode(wide)


def test_short_head() -> None:
    both_refuse(file_of([("HEAD", b"\x01\0\x03")]), FormatError)
    both_refuse(file_of([("HEAD", b"")]), FormatError)


def test_header_limits_on_encoding() -> None:
    with pytest.raises(LimitError, match="more than"):
        Header(0, 3, 8, 2**24, 2**24, 16, bytes(8))
    with pytest.raises(ValueError, match="2 tiles"):
        serialize(Header(0, 3, 8, 10, 10, 16, bytes(8)), [b"", b""], Metadata())


def mutate(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    """Change bytes of payloads and make the checksums right again, so that decoders go on."""
    chunks = chunks_of(data)
    places = [(i, j) for i, (_, payload) in enumerate(chunks) for j in range(len(payload))]
    payloads = [bytearray(payload) for _, payload in chunks]
    for place, value in edits:
        i, j = places[place % len(places)]
        payloads[i][j] ^= value
    return file_of([(kind, bytes(p)) for (kind, _), p in zip(chunks, payloads, strict=True)])


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=6))
def test_damage_behind_right_checksums(edits: list[tuple[int, int]]) -> None:
    small = rnnic.encode(IMAGE[:18, :20], error_threshold=12, tile_size=16)
    broken = mutate(small, edits)
    try:
        decoded = rnnic.decode(broken, max_pixels=10**6)
    except RnnicError:
        with pytest.raises(RnnicError):
            reference.decode(broken, rnnic.default_model().to_bytes(), max_pixels=10**6)
    else:
        rows = reference.decode(broken, rnnic.default_model().to_bytes(), max_pixels=10**6)
        np.testing.assert_array_equal(np.array(rows, np.uint8).reshape(decoded.shape), decoded)


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_signature(tail: bytes) -> None:
    with pytest.raises(RnnicError):
        rnnic.decode(b"\x8aRNNIC\r\n" + tail)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["HEAD", "TIDX", "TILE", "text", "exif"]), st.binary(max_size=60)
        ),
        max_size=6,
    )
)
def test_any_chunks(chunks: list[tuple[str, bytes]]) -> None:
    with pytest.raises(RnnicError):
        rnnic.decode(file_of(chunks))


def test_crc_is_that_of_zlib() -> None:
    chunk = pack_chunk("TILE", b"abc")
    assert chunk[-4:] == struct.pack("<I", zlib.crc32(b"TILEabc"))
