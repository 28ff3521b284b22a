"""Draw the images of the README again: ``python docs/images/make.py``.

The screenshot of the report needs Chromium.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from PIL import Image
from plotnine import ggplot

import pyrobma as rb

HERE = Path(__file__).parent
DPI = 150
COLOURS = 128
"""Colours of an image: enough for figures, and a fourth of the bytes."""
WINDOW = (1000, 900)
"""Pixels of the browser's window that shows the first screen of the report."""
CHROMIUM = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip


def shrink(path: Path) -> None:
    """Keep few colours."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def draw(plot: ggplot, name: str, **size: float) -> None:
    """Save a figure, of so many inches if it has no size of its own."""
    path = HERE / f"{name}.png"
    plot.save(path, dpi=DPI, **size)
    shrink(path)


def photograph(fit: rb.RobmaFit, name: str) -> None:
    """Save the first screen of a report."""
    path = HERE / f"{name}.png"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        fit.report(page)
        size = ",".join(map(str, WINDOW))
        subprocess.run(
            [*CHROMIUM, f"--user-data-dir={folder}/profile", f"--window-size={size}",
             f"--screenshot={path}", page.as_uri()],
            check=True,
        )  # fmt: skip
    shrink(path)


def main() -> None:
    """Fit the examples of the README and the guide and draw them."""
    schools = rb.load_dataset("konstantopoulos2011")
    clustered = {"d": "yi", "v": "vi", "study_ids": "district"}
    fit = rb.robma(schools, **clustered, priors_bias=None, seed=1)
    draw(fit.plot_overview(), "overview")
    draw(rb.sensitivity(fit, "effect").plot(), "sensitivity", width=6, height=3.5)
    draw(fit.influence("cluster").plot(width=5.5), "checking_influence")
    bem = rb.load_dataset("bem2011")
    columns = {"d": "d", "se": "se", "study_names": "study"}
    draw(rb.robma(bem, **columns, only_priors=True).plot(), "priors")
    biased = rb.robma(bem, **columns, seed=1)
    draw(biased.plot_z(width=5.5), "checking_z")
    draw(biased.plot_forest(), "forest")
    draw(biased.plot("PET-PEESE"), "bias", width=6, height=3.5)
    photograph(biased, "report")


if __name__ == "__main__":
    main()
