"""What a soak showed: when calls were normal again, and a picture of all of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soak_faults import Fault
from soak_load import LANGUAGES, Sample

CALM_SECONDS = 45.0
"""Before the first fault, and after the last one: what is normal."""
NORMAL_FACTOR, NORMAL_MORE = 2.0, 0.1
"""Back to normal is a 95th percentile of at most so many times that of the calm, and so many seconds more."""
WINDOW_SECONDS = 5.0
BACK_SECONDS = 30.0


def percentile(samples: Sequence[Sample], share: float) -> float:
    """Return the nearest rank of their seconds; 0 of none."""
    ordered = sorted(sample.seconds for sample in samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def judge(samples: Sequence[Sample], faults: Sequence[Fault]) -> float:
    """Find when calls were normal again after each fault; return the 95th percentile of the calm, in seconds."""
    calls = [sample for sample in samples if sample.what not in LANGUAGES]
    calm = percentile([sample for sample in calls if sample.at < CALM_SECONDS], 0.95)
    for fault in faults:
        for start in range(int(BACK_SECONDS) + 1):
            begin = fault.ready + start
            window = [sample for sample in calls if begin <= sample.at < begin + WINDOW_SECONDS]
            if window and percentile(window, 0.95) <= calm * NORMAL_FACTOR + NORMAL_MORE:
                fault.normal = begin
                break
    return calm


def by_kind(samples: Sequence[Sample], faults: Sequence[Fault]) -> dict[str, dict[str, float]]:
    """Sum up what calls met from the beginning of a fault until the pod was ready again."""
    calls = [sample for sample in samples if sample.what not in LANGUAGES]
    told = {}
    for kind in dict.fromkeys(fault.kind for fault in faults):
        alike = [fault for fault in faults if fault.kind == kind]
        met = [
            each
            for each in calls
            if any(fault.at <= each.at + each.seconds and each.at <= fault.ready for fault in alike)
        ]
        told[kind] = {
            "faults": len(alike),
            "longest_until_ready_seconds": round(max(fault.ready - fault.at for fault in alike), 1),
            "longest_from_ready_to_normal_seconds": round(
                max((fault.normal or fault.ready + BACK_SECONDS) - fault.ready for fault in alike), 1
            ),
            "calls": len(met),
            "errors": sum(each.code != "OK" for each in met),
            "p50_ms": round(percentile(met, 0.5) * 1e3, 1),
            "p95_ms": round(percentile(met, 0.95) * 1e3, 1),
            "longest_ms": round(percentile(met, 1.0) * 1e3, 1),
        }
    return told


def draw(report: dict[str, Any], file: Path) -> None:
    """Draw the latency of calls, their errors, the other languages, and the faults, over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    samples = [Sample(*each) for each in report["samples"]]
    figure, (top, middle, bottom) = pyplot.subplots(3, 1, sharex=True, figsize=(14, 8), height_ratios=[5, 1, 1])
    _draw_calls(top, middle, [each for each in samples if each.what not in LANGUAGES])
    top.axhline(report["calm_p95_ms"], linestyle=":", color="grey", label="95th percentile of the calm")
    top.legend(loc="lower right")
    for fault in report["faults"]:
        upgrade = fault["kind"] == "upgrade"
        top.axvspan(fault["at"], fault["ready"], alpha=0.15, color="tab:green" if upgrade else "red")
        text = f"{fault['kind']} {fault['pod']}"
        top.text(fault["at"], 1.01, text, transform=top.get_xaxis_transform(), rotation=60, fontsize=7)
    for number, name in enumerate(LANGUAGES):
        for fate, color in (("OK", "tab:blue"), ("ERROR", "firebrick")):
            runs = [(each.at, each.seconds) for each in samples if each.what == name and each.code == fate]
            bottom.broken_barh(runs, (number - 0.4, 0.8), color=color, edgecolor="white")
    bottom.set_yticks(range(len(LANGUAGES)), LANGUAGES)
    bottom.set_xlabel("seconds")
    figure.savefig(file, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def _draw_calls(latency: Any, refused: Any, calls: Sequence[Sample]) -> None:
    seconds = range(int(max(each.at for each in calls)) + 1)
    by_second: dict[int, list[Sample]] = {second: [] for second in seconds}
    for each in calls:
        by_second[int(each.at)].append(each)
    for share, label in ((0.5, "median"), (0.95, "95th percentile"), (1.0, "longest")):
        taken = [percentile(by_second[second], share) * 1e3 or None for second in seconds]
        latency.plot(seconds, taken, label=label, linewidth=1)
    latency.set_ylabel("ms a call")
    latency.set_yscale("log")
    refused.bar(seconds, [sum(each.code != "OK" for each in by_second[second]) for second in seconds], width=1.0)
    refused.set_ylabel("refused")
