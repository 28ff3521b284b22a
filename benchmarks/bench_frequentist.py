"""Time of the frequentist companions, and how it grows with the data."""

from __future__ import annotations

from common import made, schools, seconds

from pyrobma.frequentist import rma, rma_mv


def main() -> None:
    """Print milliseconds per fit and microseconds per estimate."""
    print(f"{'estimates':>10} {'rma ms':>8} {'rma_mv ms':>10} {'us/estimate':>12}")
    for effects in (schools(), made(20), made(200), made(2000), made(20000)):
        plain = seconds(lambda e=effects: rma(e))
        nested = seconds(lambda e=effects: rma_mv(e))
        per = 1e6 * nested / effects.K
        print(f"{effects.K:>10} {1e3 * plain:8.1f} {1e3 * nested:10.1f} {per:12.2f}")


if __name__ == "__main__":
    main()
