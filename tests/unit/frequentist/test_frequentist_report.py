import dataclasses

import pandas as pd
import pytest
from frequentist_data import bcg, schools

from pyrobma.frequentist import rma, rma_mv
from pyrobma.frequentist.report import number

UNIVARIATE = """\
Random-effects model (REML), 56 estimates, measure cohens_d

            estimate      se       z       p  95 % lower  95 % upper
mu            0.1279  0.0439  2.9161  0.0035      0.0419      0.2139
prediction                                       -0.4612      0.7171

tau² 0.0884 (se 0.0202), tau 0.2974
I² 94.70 %, H² 18.89
Q(55) = 578.8640, p <.0001
logLik -16.8455, AIC 37.6910, BIC 41.7057, AICc 37.9218"""

MULTILEVEL = """\
Two-level random-effects model (REML), 56 estimates in 11 clusters, measure cohens_d

            estimate      se       z       p  95 % lower  95 % upper
mu            0.1847  0.0846  2.1845  0.0289      0.0190      0.3504
prediction                                       -0.4502      0.8197

tau² 0.0978, tau 0.3127, rho 0.6653
sigma² between clusters 0.0651, within 0.0327
I² 95.19 % (between 63.32 %, within 31.86 %)
Q(55) = 578.8640, p <.0001
logLik -7.9587, AIC 21.9174, BIC 27.9394, AICc 22.3880"""


def test_a_rounded_zero_has_no_sign_and_a_missing_number_is_blank():
    assert [number(-1e-9), number(float("nan"))] == ["0.0000", ""]


def test_fits_print_as_tables():
    assert repr(rma(schools())) == str(rma(schools())) == UNIVARIATE
    assert str(rma_mv(schools())) == MULTILEVEL


def test_a_common_effect_prints_no_heterogeneity_variance():
    text = str(rma(bcg(), "FE"))
    assert text.startswith("Common-effect model (FE), 13 estimates")
    assert "tau²" not in text
    assert "prediction" not in text


def test_knapp_hartung_is_named_and_prints_t():
    text = str(rma(bcg(), test="knha"))
    assert "(REML, Knapp-Hartung test)" in text
    assert text.splitlines()[2].split()[2] == "t"


def test_notebooks_show_the_escaped_table():
    html = rma(schools())._repr_html_()
    assert html.startswith('<pre style="font-family: monospace">')
    assert "&lt;.0001" in html


@pytest.mark.parametrize("fit", [rma(schools()), rma_mv(schools())])
def test_a_frame_has_one_row_with_every_figure(fit):
    frame = fit.to_frame()
    public = {f.name for f in dataclasses.fields(fit) if not f.name.startswith("_")}
    ends = {
        f"{name}_{end}" for name in ("ci", "prediction") for end in ("lower", "upper")
    }
    assert set(frame.columns) == public - {"ci", "prediction"} | ends
    assert frame["ci_upper"].item() == fit.ci.upper


def test_frames_of_several_methods_stack_into_a_comparison():
    frame = pd.concat(rma(bcg(), method).to_frame() for method in ("REML", "DL"))
    assert frame["method"].tolist() == ["REML", "DL"]
    assert frame["tau2"].nunique() == 2


def test_intervals_are_a_table_and_a_frame_by_parameter():
    intervals = rma_mv(schools()).intervals()
    frame = intervals.to_frame()
    assert frame.columns.tolist() == ["estimate", "lower", "upper"]
    assert frame.loc["rho", "upper"] == intervals["rho"].upper
    lines = str(intervals).splitlines()
    assert lines[0] == "95 % confidence intervals (profile likelihood)"
    assert lines[5].split() == ["rho", "0.6653", "0.3282", "0.8854"]


def test_the_robust_estimate_prints_its_degrees_of_freedom():
    robust = rma_mv(schools()).robust("CR2")
    assert str(robust).startswith("Cluster-robust CR2, 11 clusters")
    assert f"{robust.df:.2f}" in str(robust)
    assert robust.to_frame()["se"].item() == robust.se


def test_results_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        rma(bcg()).tau2 = 0.0
