"""Small changes of the statistics that no fast test would notice.

Makes mutants of modules, one change each: a comparison at its boundary, + for -, * for
/, a constant, min for max, `and` for `or`, a dropped sign, a clip that does not clip.
Each is run against the module's own unit tests until one fails. A mutant lives in the
memory of a child process, where an import hook puts it in the place of its module: no
file changes, and programs that tests start of their own see the original.

    python benchmarks/mutation.py                                       # all modules
    python benchmarks/mutation.py --most 5 pyrobma.ensemble.mixing      # some of one
    python benchmarks/mutation.py --function mcse pyrobma.ensemble.mixing
    python benchmarks/mutation.py --report                              # only the page

Writes `mutation/mutants.csv`, row by row as it goes, and from that and the judgements
in `mutation/verdicts.csv` the page `mutation/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import csv
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import select
import signal
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FOLDER = HERE / "mutation"
TABLE = FOLDER / "mutants.csv"
VERDICTS = FOLDER / "verdicts.csv"
PAGE = FOLDER / "RESULTS.md"

COLUMNS = (
    "module", "function", "line", "kind", "mutation", "outcome", "by", "seconds",
)  # fmt: skip
_MEMORY = 8 << 30  # bytes that a child may address: a mutant may allocate for ever
_SLOWER = 4.0  # times as long as the unchanged module, and
_MORE = 15.0  # seconds, until a mutant counts as one that does not end
_KEY = ("module", "function", "mutation")
_USED = (
    "pyrobma.plots", "pyrobma.commands", "arviz_stats.base", "hypothesis.strategies",
    "scipy.integrate", "scipy.optimize", "scipy.signal", "scipy.stats",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A module, the functions of it that are looked at, and its tests.

    Attributes
    ----------
    module : str
        Its full name.
    tests : tuple of str
        Files below ``tests/unit``; those that fail soonest come first.
    functions : tuple of str
        Names as `Mutant.function` has them, or what is before their first dot;
        ``""`` for the module's own constants. None given: all.
    skip : str
        What pytest's ``-k`` leaves out, because it takes too long.
    """

    module: str
    tests: tuple[str, ...]
    functions: tuple[str, ...] = ()
    skip: str = ""


def _bridge(name: str, *more: str) -> Target:
    tests = (f"bridge/test_bridge_{name}.py", *(f"bridge/{one}.py" for one in more))
    return Target(f"pyrobma.bridge.{name}", tests)


def _ensemble(name: str, *more: str) -> Target:
    tests = (f"ensemble/test_{name}.py", *(f"ensemble/{one}.py" for one in more))
    return Target(f"pyrobma.ensemble.{name}", tests)


_FIT = (
    "fit/test_fit_quadrature.py", "fit/test_fit_values.py", "fit/test_fit_units.py",
    "fit/test_fit_seeds.py", "fit/test_fit_survey.py",
)  # fmt: skip

TARGETS = (
    _bridge("warp3", "test_bridge_proposal"),
    _bridge("iterate", "test_bridge_result"),
    _bridge("diagnostics"),
    _bridge("result"),
    Target("pyrobma.bridge.independence", ("bridge/test_bridge_importance.py",)),
    _bridge("lattice"),
    _bridge("importance"),
    _bridge("modes", "test_bridge_lattice"),
    _ensemble("mixing"),
    _ensemble("probabilities", "test_logml_errors", "test_ensemble_values"),
    _ensemble("logml_errors", "test_probabilities"),
    Target(
        "pyrobma.ensemble.scales",
        (
            "ensemble/test_extended_scales.py", "ensemble/test_predictor.py",
            "ensemble/test_joint_and_derived.py", "ensemble/test_true_effects.py",
        ),
    ),
    Target(
        "pyrobma.ensemble.extended",
        ("ensemble/test_extended_scales.py", "ensemble/test_heterogeneity.py"),
    ),
    _ensemble("normal_mixture", "test_heterogeneity"),
    _ensemble("true_effects", "test_heterogeneity"),
    _ensemble("heterogeneity", "test_joint_and_derived"),
    Target("pyrobma.fit.quadrature", ("fit/test_fit_quadrature.py",)),
    Target(
        "pyrobma.fit.efforts",
        ("fit/test_fit_survey.py", "fit/test_fit_schedule.py"),
    ),
    Target(
        "pyrobma.fit.explore",
        (
            "fit/test_fit_survey.py", "fit/test_ridge.py", "fit/test_fit_units.py",
            "fit/test_fit_stan_data.py",
        ),
    ),
    Target("pyrobma.fit.diagnostics", ("fit/test_fit_values.py", *_FIT[4:])),
    Target("pyrobma.fit.plan", ("fit/test_fit_schedule.py",), ("model_seed",)),
    Target(
        "pyrobma.fit.model",
        _FIT,
        (
            "", "Fit", "_Job", "survey", "_rule_and_modes", "_rule_at_modes",
            "_in_data_unit", "_sampled", "_enough", "_independent", "_extended",
            "_own_error", "_needs_draws", "_fit_fixed", "_spread", "_evaluate",
            "_judged", "_differs", "_mean_factors",
        ),
    ),
    Target("pyrobma.effects.cutoffs", ("effects/test_effect_cutoffs.py",)),
    Target("pyrobma.effects.pvalues", ("effects/test_pvalues.py",)),
    Target(
        "pyrobma.effects.convert",
        ("effects/test_effect_convert.py", "effects/test_effect_measures.py"),
    ),
    Target("pyrobma.api", ("api/test_direction.py",), ("", "_check_direction")),
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes
    ----------
    function : str
        The function that is changed, after its class and a dot; ``""`` for a line of
        the module itself.
    line : int
    kind : str
    change : str
        The expression before and after.
    old, new : ast.expr
        The node, and what takes its place.
    """

    function: str
    line: int
    kind: str
    change: str
    old: ast.expr
    new: ast.expr


_BOUNDARY: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(), ast.LtE: ast.Lt(), ast.Gt: ast.GtE(), ast.GtE: ast.Gt(),
}  # fmt: skip
_TURNED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.Gt(), ast.LtE: ast.GtE(), ast.Gt: ast.Lt(), ast.GtE: ast.LtE(),
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(),
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.Div(), ast.Div: ast.Mult(),
    ast.Pow: ast.Mult(), ast.FloorDiv: ast.Mult(),
}  # fmt: skip
_OTHER_NAMES = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum",
    "argmin": "argmax", "argmax": "argmin", "any": "all", "all": "any",
    "floor": "ceil", "ceil": "floor",
}  # fmt: skip
# Changes of these are type errors or texts, not statistics.
_NOT_LOOKED_AT = (ast.JoinedStr, ast.Raise, ast.Assert, ast.Slice)
_OPTIONS = ("axis", "dtype", "keepdims", "kind", "strict", "default")


def mutants(tree: ast.Module, functions: Sequence[str] = ()) -> list[Mutant]:
    """Return every mutant of some functions of a module, in the order of the lines."""
    found = []
    seen: Counter[tuple[str, str]] = Counter()
    for function, node, parent in _expressions(tree, ""):
        if functions and not {function, function.partition(".")[0]} & {*functions}:
            continue
        for kind, new in _changes(node):
            change = _shown(node, new, parent)
            seen[function, change] += 1
            if seen[function, change] > 1:
                change += f"  [{seen[function, change]}]"
            found.append(Mutant(function, node.lineno, kind, change, node, new))
    return found


def _expressions(
    node: ast.AST, function: str
) -> Iterator[tuple[str, ast.expr, ast.AST]]:
    """Yield expressions that can be changed, with what they are in."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, _NOT_LOOKED_AT):
                continue
            if isinstance(child, ast.keyword) and child.arg in _OPTIONS:
                continue
            if isinstance(node, ast.Subscript) and name == "slice":
                continue
            inner = function
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{function}.{child.name}" if function else child.name
            if isinstance(child, ast.expr):
                yield function, child, node
            yield from _expressions(child, inner)


def _changes(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare():
            for table, kind in ((_BOUNDARY, "boundary"), (_TURNED, "comparison")):
                for place, op in enumerate(node.ops):
                    if type(op) in table:
                        ops = [*node.ops]
                        ops[place] = table[type(op)]
                        yield kind, ast.Compare(node.left, ops, node.comparators)
        case ast.BinOp() if type(node.op) in _OPERATORS:
            other = _OPERATORS[type(node.op)]
            yield "operator", ast.BinOp(node.left, other, node.right)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "and, or", ast.BoolOp(other, node.values)
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield "sign", node.operand
        case ast.Constant(value=int() | float() as value):
            yield from _constants(value)
        case ast.Call():
            yield from _calls(node)


def _constants(value: float) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        others = [value + 1, value - 1]
    else:
        others = [2.0 * value, 0.5 * value] if value else [1.0]
    for other in others:
        yield "constant", ast.Constant(other)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = node.func
    word = name.id if isinstance(name, ast.Name) else getattr(name, "attr", "")
    if word in _OTHER_NAMES:
        called = copy.copy(name)
        if isinstance(called, ast.Name):
            called.id = _OTHER_NAMES[word]
        elif isinstance(called, ast.Attribute):
            called.attr = _OTHER_NAMES[word]
        yield "min, max", ast.Call(called, node.args, node.keywords)
    free = [arg for arg in node.args if not isinstance(arg, ast.Constant)]
    bound = word in ("min", "max", "minimum", "maximum") and len(node.args) > 1
    if free and (word in ("clip", "abs") or (bound and len(free) == 1)):
        yield "not clipped", free[0]


def _shown(old: ast.expr, new: ast.expr, parent: ast.AST) -> str:
    """Return a change in words; of a constant with the expression around it."""
    before, after = ast.unparse(old), ast.unparse(new)
    around = isinstance(old, ast.Constant) and isinstance(
        parent, ast.expr | ast.keyword | ast.Assign | ast.AnnAssign | ast.Return
    )
    if around:
        whole = ast.unparse(parent)
        changed = ast.unparse(_replaced(parent, old, new))
        before, after = whole, changed
    return f"{_short(before)}  ->  {_short(after)}"


def _short(text: str) -> str:
    return textwrap.shorten(text, 90, placeholder=" ...")


def _replaced(tree: ast.AST, old: ast.expr, new: ast.expr) -> ast.AST:
    """Return a copy of a tree with a node in the place of another."""
    memo: dict[int, ast.AST] = {}
    whole = copy.deepcopy(tree, memo)
    target = memo[id(old)]

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if node is target:
                return ast.copy_location(copy.deepcopy(new), node)
            return self.generic_visit(node)

    return ast.fix_missing_locations(Replace().visit(whole))


class Overlay(importlib.abc.MetaPathFinder):
    """Finds one module, as a code object that is in no file."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self.module, self.path, self.code = module, path, code

    def find_spec(
        self, name: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the mutant's specification, and nothing for every other module."""
        if name != self.module:
            return None
        code = self.code

        class Loader(importlib.machinery.SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return code

        return importlib.util.spec_from_file_location(
            name, self.path, loader=Loader(name, str(self.path))
        )


class First:
    """A pytest plug-in that remembers the first failure."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a test."""
        if report.failed and not self.failed:
            self.failed = report.nodeid.rpartition("/")[2]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a file that cannot be imported."""
        if report.failed and not self.failed:
            self.failed = f"import of {report.nodeid.rpartition('/')[2]}"


def run(target: Target, path: Path, code: CodeType, limit: float) -> tuple[str, str]:
    """Return what became of a mutant, and the test that noticed.

    Returns
    -------
    outcome : {"killed", "survived", "timeout"}
    by : str
        The first test that failed; empty if none did.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        _child(target, path, code, writes)
    os.close(writes)
    try:
        ready, _, _ = select.select([reads], [], [], limit)
        told = os.read(reads, 4096) if ready else b""
    finally:
        os.close(reads)
        # The child leads a group of its own, with what its tests started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not ready:
        return "timeout", ""
    failed = json.loads(told) if told else "end of the process"
    return ("killed", failed) if failed else ("survived", "")


def _child(target: Target, path: Path, code: CodeType, writes: int) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    sys.meta_path.insert(0, Overlay(target.module, path, code))
    first = First()
    arguments = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb", "no"]
    arguments += ["--assert", "plain"]  # nobody reads why
    arguments += ["-k", f"not ({target.skip})"] if target.skip else []
    tests = [str(ROOT / "tests" / "unit" / one) for one in target.tests]
    status = pytest.main([*arguments, *tests], plugins=[first])
    failed = first.failed or ("" if status == 0 else f"pytest's status {int(status)}")
    os.write(writes, json.dumps(failed).encode()[:4096])
    os._exit(0)


def probe(
    target: Target,
    most: int | None,
    seed: int,
    only: str,
    again: Sequence[dict[str, str]] | None = None,
) -> Iterator[dict[str, str]]:
    """Run mutants of a module, and yield a row of the table for each.

    Parameters
    ----------
    target : Target
    most : int or None
        How many, chosen at random. None: all.
    seed : int
        Of that choice, which depends on the module's name too.
    only : str
        A function; empty for all.
    again : sequence of rows, optional
        Mutants to run, instead of a choice.
    """
    spec = importlib.util.find_spec(target.module)
    path = Path(str(spec.origin))
    _forget()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = mutants(tree, (only,) if only else target.functions)
    if again is not None:
        keys = {tuple(row[k] for k in (*_KEY, "kind")) for row in again}
        found = [
            one for one in found
            if (target.module, one.function, one.change, one.kind) in keys
        ]  # fmt: skip
    elif most is not None and len(found) > most:
        chosen = random.Random(f"{seed} {target.module}").sample(found, most)
        found = sorted(chosen, key=lambda one: one.line)
    plain = compile(tree, str(path), "exec")
    began = time.monotonic()
    outcome, by = run(target, path, plain, 600.0)
    unchanged = time.monotonic() - began
    if outcome != "survived":
        print(f"{target.module}: unchanged it does not pass ({outcome}, {by})")
        return
    for one in found:
        code = compile(_replaced(tree, one.old, one.new), str(path), "exec")
        began = time.monotonic()
        outcome, by = run(target, path, code, _SLOWER * unchanged + _MORE)
        yield {
            "module": target.module,
            "function": one.function,
            "line": str(one.line),
            "kind": one.kind,
            "mutation": one.change,
            "outcome": outcome,
            "by": by,
            "seconds": f"{time.monotonic() - began:.1f}",
        }
    # Somebody may have changed a test meanwhile: then nothing above counts.
    outcome, by = run(target, path, plain, 600.0)
    if outcome != "survived":
        print(f"{target.module}: unchanged it passes no more ({outcome}, {by})")


def _forget() -> None:
    """Forget the package, so that a child imports it anew; what it uses stays."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "pyrobma"]:
        del sys.modules[name]


def page(rows: Sequence[dict[str, str]], verdicts: Sequence[dict[str, str]]) -> str:
    """Return the results as Markdown."""
    judged = {tuple(v[k] for k in _KEY): v["verdict"] for v in verdicts}
    count = Counter((row["module"], row["outcome"]) for row in rows)
    modules = list(dict.fromkeys(row["module"] for row in rows))
    outcomes = ("killed", "survived", "timeout")
    lines = [
        "# Mutants of the statistics",
        "",
        "Made by `benchmarks/mutation.py`: one small change each, chosen at random",
        "with a seed (in `Mixture.mcse`, `mean_exists`, `first_exact`, `model_seed`,",
        "`_check_direction` all of them), run against the unit tests of the module",
        "alone. Tests against oracles, of calibration and of the Stan programs are not",
        "run. Every mutant is in `mutants.csv`. A verdict is that of a reader:",
        "*equivalent* changes no result; *left* changes a choice, or what other tests",
        "judge.",
        "",
        "| module | mutants | killed | survived | timeout |",
        "|---|---:|---:|---:|---:|",
    ]
    for module in [*modules, "all"]:
        numbers = [
            sum(n for (m, o), n in count.items() if module in (m, "all") and o == what)
            for what in outcomes
        ]
        cells = [f"`{module}`" if module != "all" else module, sum(numbers), *numbers]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "## What survived", ""]
    lines += ["| module, function | line | change | verdict |", "|---|---:|---|---|"]
    for row in rows:
        verdict = judged.get(tuple(row[k] for k in _KEY), "")
        if row["outcome"] != "killed":
            change = row["mutation"].replace("|", "\\|")
            place = f"{row['module'].removeprefix('pyrobma.')}, {row['function']}"
            verdict = verdict or "not judged"
            lines.append(f"| {place} | {row['line']} | `{change}` | {verdict} |")
    mended = [v for v in verdicts if v["verdict"].startswith("mended")]
    if mended:
        lines += ["", "## What survived before a test was added or sharpened", ""]
        lines += ["| module, function | change | verdict |", "|---|---|---|"]
        for v in mended:
            change = v["mutation"].replace("|", "\\|")
            place = f"{v['module'].removeprefix('pyrobma.')}, {v['function']}"
            lines.append(f"| {place} | `{change}` | {v['verdict']} |")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run the mutants that are asked for, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="full names; none: all")
    parser.add_argument("--most", type=int, help="mutants per module; none: all")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of mutants")
    parser.add_argument("--function", default="", help="only those of one function")
    parser.add_argument("--seconds", type=float, help="start no module after these")
    parser.add_argument(
        "--again", action="store_true", help="only survivors that are in the table"
    )
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args()
    known = {target.module: target for target in TARGETS}
    if unknown := [m for m in options.modules if m not in known]:
        parser.error(f"modules: expected some of {', '.join(known)}; got {unknown}")
    FOLDER.mkdir(exist_ok=True)
    if not options.report:
        _run_all([known[m] for m in options.modules or known], options)
    PAGE.write_text(page(_read(TABLE), _read(VERDICTS)), encoding="utf-8")


def _run_all(targets: Sequence[Target], options: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", tempfile.gettempdir())
    sys.dont_write_bytecode = True
    # Imported once, with all that it and the tests need; children import only the
    # package anew.
    for name in [*(target.module for target in TARGETS), *_USED]:
        importlib.import_module(name)
    began = time.monotonic()
    rows = _read(TABLE)
    for target in targets:
        if options.seconds and time.monotonic() - began > options.seconds:
            print(f"{target.module}: no time left")
            continue
        again = None
        if options.again:
            again = [
                r for r in rows
                if r["module"] == target.module and r["outcome"] != "killed"
            ]  # fmt: skip
            if not again:
                continue
        for row in probe(target, options.most, options.seed, options.function, again):
            print(*row.values(), sep="  ", flush=True)
            same = [r for r in rows if all(r[k] == row[k] for k in (*_KEY, "kind"))]
            rows = [r for r in rows if r not in same] + [row]
            _write(rows)


def _write(rows: Sequence[dict[str, str]]) -> None:
    place = {target.module: k for k, target in enumerate(TARGETS)}
    rows = sorted(rows, key=lambda r: (place.get(r["module"], 99), int(r["line"])))
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
