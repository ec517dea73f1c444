"""The turns: A B C, A B C, …, so that whatever else goes on on the machine hits all targets alike."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmark.figure import Case, Fresh, MeasureError, Scale
from benchmark.process import StartError
from benchmark.target import Target

Anew = Callable[[str, bool], AbstractContextManager[Target]]
"""Name, and whether only `raw` is asked → one more target of that name, which has done nothing yet.

It is stopped on leaving.
"""


@dataclass(frozen=True)
class Sample:
    """What one turn of one case has measured of one target."""

    round: int  # from 1
    case: str
    target: str
    values: dict[str, float]  # figure's key → value
    error: str = ""  # why there are no values


def measure(
    cases: Sequence[Case], targets: Sequence[Target], anew: Anew, scale: Scale, say: Callable[[str], None]
) -> list[Sample]:
    """Measure every case on every target, in every round; `say` is told how far it is."""
    samples = []
    for number in range(1, scale.rounds + 1):
        for case in cases:
            say(f"round {number} of {scale.rounds}: {case.name}")
            for target in targets:
                if target.name == "frontdoor" or not case.own:
                    sample = _sample(number, case, target, anew, scale)
                    samples.append(sample)
                    if sample.error:
                        say(f"FAILED: {case.name} on {target.name}: {sample.error}")
    return samples


def _sample(number: int, case: Case, target: Target, anew: Anew, scale: Scale) -> Sample:
    try:
        if isinstance(case, Fresh) and case.fresh:
            with anew(target.name, True) as another:
                values = case.measure(another, scale)
        else:
            values = case.measure(target, scale)
    except (MeasureError, StartError, OSError) as error:
        return Sample(number, case.name, target.name, {}, str(error) or type(error).__name__)
    return Sample(number, case.name, target.name, values)
