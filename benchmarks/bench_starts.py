"""Effective draws per gradient: a warm-up from nothing against a surveyed posterior."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import cmdstanpy
from bench_selection import biases, full_model
from common import default_space, schools, task

from pyrobma._mcmc import effective_sample_size
from pyrobma.fit.model import _begin, _job, survey
from pyrobma.fit.sample import _inits
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import program, program_names, stan_data
from pyrobma.models import ModelSpec, Task
from pyrobma.programs import executable

DRAWS = 500


def run(job: Task, spec: ModelSpec, surveyed: bool) -> tuple[float, float]:
    """Return the smallest effective sample size and the number of gradients."""
    settings = SamplerSettings(draws=DRAWS).resolved(36)
    found = survey(job, spec, settings, 1)
    how: dict[str, object] = {"iter_warmup": 1000}
    if surveyed:
        begin = _begin(_job(job, spec, settings, 1, 1), found)
        how = {
            "iter_warmup": settings.warmup, "adapt_init_phase": 0,
            "adapt_metric_window": 0, "adapt_step_size": settings.warmup,
            "inits": [_inits(begin.columns, row) for row in begin.values],
            "inv_metric": [{"inv_metric": begin.inverse_metric.tolist()}] * 4,
        }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.json"
        data.write_text(json.dumps(stan_data(job, spec, found.rule)))
        model = cmdstanpy.CmdStanModel(exe_file=executable(program(job, spec)))
        fit = model.sample(
            data=str(data), chains=4, seed=1, iter_sampling=DRAWS, metric="dense_e",
            save_warmup=True, output_dir=folder, show_progress=False, **how,
        )  # fmt: skip
        every = fit.draws(inc_warmup=True)
        names = program_names(job, spec)
        kept = fit.draws().transpose(1, 0, 2)
        columns = [fit.column_names.index(c) for c in names.outputs.values()]
        gradients = every[:, :, fit.column_names.index("n_leapfrog__")].sum()
    return float(effective_sample_size(kept[:, :, columns]).min()), float(gradients)


def main() -> None:
    """Print effective draws per thousand gradients, warm-up included."""
    logging.getLogger("cmdstanpy").setLevel(logging.WARNING)
    models = {"schools, mu, tau, rho": default_space().models[-1]}
    models |= {f"schools, {name}": full_model(bias) for name, bias in biases()}
    print(f"4 chains of {DRAWS} draws; per 1,000 gradients, warm-up included")
    for label, spec in models.items():
        rates = []
        for surveyed in (False, True):
            ess, gradients = run(task(schools()), spec, surveyed)
            rates.append(1000 * ess / gradients)
        gain = rates[1] / rates[0]
        print(f"{label:32} {rates[0]:6.1f} {rates[1]:6.1f} {gain:6.1f} times")


if __name__ == "__main__":
    main()
