"""Kernels that turn components into pixels (SPEC.md 5.6)."""

from numpy import int32

from rnnic._jit import add, jit, mul

__all__ = ["row_pixels", "to_pixels"]


@jit
def row_deep_pixels(planes, y, width, colour, out):
    """Turn a row of the planes into 16-bit pixels; parameters as of `row_pixels`."""
    top = int32(65535)
    components = planes.shape[0]
    for k in range(components):
        for x in range(width):
            if components == 1:
                v = add(planes[0, y, x + 2], int32(128 << 6))
                v = add(mul(v, int32(257)), int32(32)) >> 6
            else:
                v = int32(128 << 20)
                for c in range(3):
                    v = add(v, mul(colour[c, k], planes[c, y, x + 2]))
                v = add(mul(v >> 8, int32(257)), int32(1 << 11)) >> 12
            v = max(min(v, top), int32(0))
            out[2 * (components * x + k)] = v & 255
            out[2 * (components * x + k) + 1] = v >> 8


@jit
def row_pixels(planes, y, width, colour, samples, deep, out):
    """Turn a row of the planes into pixels.

    Parameters
    ----------
    planes : int16 planes
        Components, with a border of two columns.
    y, width : int
        Row, border included, and number of pixels.
    colour : int32 array, (3, 3)
        In 1/16384; not looked at for a grey image.
    samples : uint8 array, (channels, width)
        Room for the samples of a row.
    deep : bool
        Whether samples have 16 bits.
    out : uint8 array
        Filled from its start, channels in turn; of two bytes of a sample, the lower one comes first.
    """
    if deep:
        row_deep_pixels(planes, y, width, colour, out)
        return
    top = int32(255)
    if planes.shape[0] == 1:
        for x in range(width):
            v = add(planes[0, y, x + 2], int32(32 + (128 << 6))) >> 6
            out[x] = max(min(v, top), int32(0))
        return
    half = int32((1 << 19) + (128 << 20))
    # Channel by channel, then interleaved: either loop alone is vectorised.
    for k in range(3):
        a, b, c = int32(colour[0, k]), int32(colour[1, k]), int32(colour[2, k])
        for x in range(width):
            s = add(mul(a, planes[0, y, x + 2]), mul(b, planes[1, y, x + 2]))
            s = add(s, add(mul(c, planes[2, y, x + 2]), half)) >> 20
            samples[k, x] = max(min(s, top), int32(0))
    first, second, third = samples[0], samples[1], samples[2]
    for x in range(width):
        out[3 * x] = first[x]
        out[3 * x + 1] = second[x]
        out[3 * x + 2] = third[x]


@jit
def to_pixels(planes, width, height, colour, samples, deep, out, stride):
    """Turn planes with a border of two into pixels, see `row_pixels`; rows are ``stride`` bytes apart."""
    for y in range(height):
        row_pixels(planes, y + 2, width, colour, samples, deep, out[y * stride :])
