"""Finds the cases, runs them one after another, and says how each one went."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import cases
from lab.commands import LabError
from lab.lab import Lab

Function = Callable[[Lab], None]
Release = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    function: Function
    theme: str
    ours_only: str
    nodes: int
    package: bool
    figures: bool
    since: Release
    before: Release

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def purpose(self) -> str:
        return " ".join((inspect.getdoc(self.function) or "").split())

    @property
    def releases(self) -> list[str]:
        """The releases of Ganeti that it applies to, if not all."""
        since, before = ".".join(map(str, self.since)), ".".join(map(str, self.before))
        return [f"since {since}"] * (self.since > (0,)) + [f"before {before}"] * (self.before < (sys.maxsize,))

    def why_not(self, lab: Lab) -> str:
        """The reason to skip this case, or nothing."""
        if self.ours_only and lab.settings.original:
            return f"not what the original does: {self.ours_only}"
        if self.package and lab.settings.under_test.package is None:
            return "needs a package; --watcher names a program alone"
        if lab.settings.nodes < self.nodes:
            return f"needs {self.nodes} nodes"
        if not self.since <= lab.ganeti < self.before:
            return f"not about Ganeti {'.'.join(map(str, lab.ganeti))}"
        return ""


_registered: list[Case] = []


def case(
    *,
    ours_only: str = "",
    nodes: int = 2,
    package: bool = False,
    figures: bool = False,
    since: Release = (0,),
    before: Release = (sys.maxsize,),
) -> Callable[[Function], Function]:
    """Makes a function a case. `ours_only` says where we differ from the original on purpose; a `package` is what some
    cases need; `since` and `before` say which releases of Ganeti it applies to, such as (3, 1)."""

    def register(function: Function) -> Function:
        theme = function.__module__.rpartition(".")[2]
        _registered.append(Case(function, theme, ours_only, nodes, package, figures, since, before))
        return function

    return register


def all_cases() -> list[Case]:
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"cases.{module.name}")
    return list(_registered)


def show_list() -> int:
    for each in all_cases():
        marks = [each.theme] + ["ours only"] * bool(each.ours_only) + ["--figures"] * each.figures + each.releases
        print(f"{each.name} ({', '.join(marks)})\n    {each.purpose}")
    return 0


def select(names: list[str], figures: bool) -> list[Case]:
    known = {each.name: each for each in all_cases()}
    for name in names:
        if name not in known:
            raise LabError(f"no such case: {name} (tests/lab/run --list)")
    if names:
        return [known[name] for name in names]
    return [each for each in known.values() if each.figures == figures]


def run_all(lab: Lab, selected: list[Case], keep: bool) -> int:
    """Runs the cases; returns the number of failed ones."""
    who = "Debian's original watcher" if lab.settings.original else f"the watcher of {lab.settings.watcher_source}"
    size = f"{lab.settings.nodes} nodes with {lab.settings.instances} DRBD instances"
    print(f"{who} on {lab.settings.suite}'s Ganeti, {size}", flush=True)
    passed = failed = skipped = 0
    began = time.monotonic()
    for each in selected:
        reason = each.why_not(lab)
        if reason:
            skipped += 1
            print(f"skipped {each.name}: {reason}", flush=True)
            continue
        case_began = time.monotonic()
        ok = _run(lab, each)
        passed, failed = passed + ok, failed + (not ok)
        _report(lab, each, ok, time.monotonic() - case_began)
        if not ok:
            if keep:
                break
            lab.drop()
    not_run = len(selected) - passed - failed - skipped
    print(f"in {time.monotonic() - began:.0f} s" + (f"; {not_run} not run" if not_run else ""))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return failed


def _run(lab: Lab, each: Case) -> bool:
    lab.failures, lab.facts, lab.last_run = [], [], None
    try:
        lab.calm()
        each.function(lab)
    except LabError as error:
        lab.failures.append(str(error))
    except Exception:
        lab.failures.append(traceback.format_exc().rstrip())
    return not lab.failures


def _report(lab: Lab, each: Case, ok: bool, seconds: float) -> None:
    print(f"{'ok     ' if ok else 'FAILED '} {each.name} {seconds:.1f} s")
    details = list(lab.facts)
    if not ok:
        details += lab.failures
        if lab.last_run is not None:
            run = lab.last_run
            details.append(f"last run: exit code {run.code}, jobs: {', '.join(map(str, run.jobs)) or 'none'}")
            details += ["the end of stderr:", *run.errors.splitlines()[-25:]] if run.errors.strip() else []
        details += ["watcher.log:", *lab.log_tail()]
    for detail in details:
        for line in detail.splitlines():
            print(f"    {line}")
    print(end="", flush=True)
