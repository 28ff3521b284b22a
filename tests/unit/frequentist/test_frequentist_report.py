import dataclasses

import pandas as pd
import pytest
from frequentist_data import bcg, bcg_table, delinquency, schools

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


@pytest.mark.parametrize(
    ("test", "title", "statistic", "head"),
    [
        ("z", "(REML)", "z", ["QM", "df", "p"]),
        ("knha", "(REML, Knapp-Hartung test)", "t", ["F", "df", "df2", "p"]),
    ],
)
def test_a_meta_regression_prints_coefficients_tests_and_heterogeneity(
    test, title, statistic, head
):
    fit = rma(bcg(), mods="alloc + year + ablat", data=bcg_table(), test=test)
    lines = repr(fit).splitlines()
    start = f"Mixed-effects meta-regression {title}, 13 estimates, measure none"
    assert lines[0] == start
    assert lines[2].split()[:4] == ["estimate", "se", statistic, "p"]
    labels = [line.split(maxsplit=1)[0] for line in lines[3:8]]
    assert labels == ["intercept", "alloc[dif:", "alloc[dif:", "year", "ablat"]
    assert lines[9].split() == head
    alloc = fit.terms.loc["alloc"]
    df2 = ["8"] if test == "knha" else []
    assert lines[10].split() == [
        "all", "moderators", number(fit.QM), "4", *df2, number(fit.QM_p),
    ]  # fmt: skip
    assert lines[11].split() == [
        "alloc", number(alloc.statistic), "2", *df2, number(alloc.p),
    ]  # fmt: skip
    assert lines[-4:] == [
        "residual tau² 0.1796 (se 0.1425), tau 0.4238",
        "I² 73.09 %, H² 3.72, R² 42.67 %",
        "QE(8) = 26.2030, p 0.0010",
        f"logLik {number(fit.loglik)}, AIC {number(fit.AIC)}, "
        f"BIC {number(fit.BIC)}, AICc {number(fit.AICc)}",
    ]


def test_one_moderator_has_one_test_and_a_common_effect_no_tau2():
    text = str(rma(bcg(), "FE", mods="ablat", data=bcg_table()))
    assert text.startswith("Common-effect meta-regression (FE), 13 estimates")
    assert "all moderators" not in text
    assert "tau²" not in text


def test_a_two_level_meta_regression_prints_its_components():
    effects, table = delinquency()
    fit = rma_mv(effects, mods="year + deltype", data=table)
    lines = str(fit).splitlines()
    assert lines[0] == (
        "Two-level meta-regression (REML), 100 estimates in 17 clusters, measure "
        "cohens_d"
    )
    assert lines[-5] == (
        f"residual tau² {number(fit.tau2)}, tau {number(fit.tau)}, "
        f"rho {number(fit.rho)}"
    )
    assert lines[-4] == "sigma² between clusters 0.1493, within 0.0853"
    robust = fit.robust("CR2")
    lines = str(robust).splitlines()
    assert lines[0] == "Cluster-robust CR2, 17 clusters"
    assert lines[2].split()[:5] == ["estimate", "se", "t", "df", "p"]
    row = robust.terms.loc["deltype"]
    assert lines[-1].split() == [
        "deltype", number(row.statistic), "2", "0.84", number(row.p),
    ]  # fmt: skip


def test_the_frame_of_a_meta_regression_has_one_row_with_every_figure():
    effects, table = delinquency()
    for fit in (
        rma(effects, mods="year", data=table),
        rma_mv(effects, mods="year", data=table),
    ):
        public = [f.name for f in dataclasses.fields(fit) if f.name[0] != "_"]
        assert fit.to_frame().columns.tolist() == public
        with pytest.raises(dataclasses.FrozenInstanceError):
            fit.tau2 = 0.0


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
