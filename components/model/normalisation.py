"""How a pixel becomes a number for the model: written once, used by ingest and by the serving signature."""

from typing import Protocol, Self, TypeVar


class _Scalable(Protocol):
    def __truediv__(self, divisor: float, /) -> Self: ...


Pixels = TypeVar("Pixels", bound=_Scalable)


def normalise(pixels: Pixels, pixel_scale: float) -> Pixels:
    """Scales pixels down, 0..255 to 0..255/`pixel_scale`.

    Args:
      pixels: a float32 array or tensor, any shape; cast uint8 pixels first.
      pixel_scale: what white becomes 1 at: 255; the notebook divides by 225, so its white is 1.13.

    Returns:
      Same kind, shape and dtype as `pixels`.
    """
    return pixels / pixel_scale
