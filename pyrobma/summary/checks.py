"""Stage 6: models that missed a check, in tables and in words."""

from __future__ import annotations

from pyrobma.ensemble import Ensemble


def ensemble_warnings(ensemble: Ensemble) -> tuple[str, ...]:
    """Return what a reader must know before trusting the ensemble, in words."""
    return tuple(
        f"Model {i} ({fit.spec}): {'; '.join(fit.reasons)}."
        for i, fit in enumerate(ensemble.fits, start=1)
        if not fit.ok
    )


def marks(ensemble: Ensemble) -> list[str]:
    """Mark the models that missed a check or stayed rough, one text per model."""
    return [
        "rough" if fit.rough else "" if fit.ok else "missed" for fit in ensemble.fits
    ]


def mark_notes(ensemble: Ensemble) -> tuple[str, ...]:
    """Return the footnotes that a column of `marks` needs."""
    marked = set(marks(ensemble))
    notes = {
        "rough": "rough: cannot matter (posterior probability below 1e-6, five errors "
        "away), so only surveyed; every sum carries its error.",
        "missed": "missed: see the warnings below; the error covers what is known of "
        "it.",
    }
    return tuple(note for mark, note in notes.items() if mark in marked)
