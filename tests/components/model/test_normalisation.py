import numpy as np

from components.model.normalisation import normalise


def test_white_becomes_one() -> None:
    pixels = np.array([0, 51, 255], np.float32)
    scaled = normalise(pixels, 255.0)
    np.testing.assert_array_equal(scaled, np.array([0, 0.2, 1], np.float32))
    assert scaled.dtype == np.float32


def test_the_notebooks_scale_goes_beyond_one() -> None:
    assert normalise(np.array([255], np.float32), 225.0)[0] == np.float32(255 / 225)
