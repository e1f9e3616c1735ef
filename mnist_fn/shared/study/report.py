"""A study's JSON document: each published number and claim compared with our runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.storage import or_null
from mnist_fn.shared.study import joint, judging, protocol
from mnist_fn.shared.study.claims import Claim, claims
from mnist_fn.shared.study.experiments import Experiment
from mnist_fn.shared.study.published import PublishedNumber, numbers

SCHEMA = 3
# Keys of the schemas before, as they are now.
OLD_KEYS = {
    "the_study": "is_full_study",
    "printed": "published_text",
    "sds": "z_score",
    "passes": "largest_undetected_error",
    "share": "confidence_interval",
    "swaps": "sensitivity",
    "noticed": "detected",
    "tried": "total",
}
REST = {  # verdicts that are neither inside nor outside, as the sentence has them
    "undecidable": "that no number of seeds decides",
    "can't tell": "that more seeds could decide",
    "not decided": "with one seed",
    "no runs": "without runs",
}
QUICK_RUN = "QUICK RUN, NOT THE STUDY: one seed and few epochs; its figures mean nothing"
PROTOCOL = (
    "Every run is trained without some of its training examples, the validation split. For each "
    "seed, the validation split chooses one run among all widths, depths and λ, and one epoch of "
    "this run. We read the test set at that epoch only. For comparison, we let the test set itself "
    "choose a run and an epoch, as the study did. The optimism is the difference between the two "
    "test results."
)


def document(
    experiments: dict[str, Experiment],
    records: Mapping[str, Records],
    *,
    warning: str | None,
    **about: Any,
) -> dict[str, Any]:
    """Compare the published numbers and claims of some experiments with our runs: plain values.

    Args:
        experiments: those asked for.
        records: finished runs by backend.
        warning: why this is not the study, loud; None if it is.
        about: what else belongs into the document, by key.
    """
    honest, published = experiments.get("honest"), numbers(experiments)
    backends: dict[str, dict[str, Any]] = {}
    sensitivity: dict[str, dict[str, int]] = {}
    joint_verdicts: dict[str, dict[str, Any]] = {}
    comparisons: dict[str, list[dict[str, Any]]] = {}
    for name, of_backend in records.items():
        backends[name] = {"runs": len(of_backend.runs), "seeds": of_backend.seeds}
        detected, total = judging.swaps(published, of_backend)
        sensitivity[name] = {"detected": detected, "total": total}
        verdicts = joint.judge_jointly(published, of_backend)
        joint_verdicts[name] = {subject: asdict(verdict) for subject, verdict in verdicts.items()}
        if honest is not None:
            comparisons[name] = []
            for compared in protocol.compare(of_backend, honest.configs):
                comparisons[name].append({**asdict(compared), "optimism": compared.optimism})
    return {
        "schema": SCHEMA,
        "is_full_study": warning is None,
        "warning": warning,
        **about,
        "backends": backends,
        "rule": judging.RULE,
        "epochs_counted_from": 1,
        "numbers": [_number(number, records) for number in published],
        "sensitivity": sensitivity,
        "joint": joint_verdicts,
        "joint_rule": joint.RULE,
        "claims": [_claim(claim, records) for claim in claims(experiments)],
        "protocol": PROTOCOL,
        "honest": comparisons,
    }


def current(document: Any) -> Any:
    """Return a document of any schema under the present keys, at every depth."""
    if isinstance(document, list):
        return [current(value) for value in document]
    if not isinstance(document, dict):
        return document
    return {OLD_KEYS.get(key, key): current(value) for key, value in document.items()}


def _number(number: PublishedNumber, records: Mapping[str, Records]) -> dict[str, Any]:
    ours = {}
    for name, of_backend in records.items():
        ours[name] = _verdict(judging.judge(number, of_backend))
    return {
        "experiment": number.experiment,
        "what": number.what,
        "unit": number.unit,
        "statistic": number.statistic,
        "published": number.value,
        "published_text": number.printed,
        "ours": ours,
    }


def _verdict(verdict: judging.NumberVerdict) -> dict[str, Any]:
    return {
        **asdict(verdict),
        "n": verdict.n,
        "mean": or_null(verdict.mean),
        "sd": verdict.sd,
        "interval": None if verdict.interval is None else list(verdict.interval),
        "half_width": verdict.half_width,
        "values": list(verdict.values),
    }


def _claim(claim: Claim, records: Mapping[str, Records]) -> dict[str, Any]:
    return {
        "experiment": claim.experiment,
        "claim": claim.text,
        "number": claim.number,
        "holds_if": claim.rule,
        "ours": {name: claim.judge(of_backend) for name, of_backend in records.items()},
    }


def tally(document: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Count the published numbers with each verdict, by backend."""
    counts: dict[str, Counter[str]] = {}
    for name in document["backends"]:
        counts[name] = Counter(number["ours"][name]["verdict"] for number in document["numbers"])
    return counts


def outcome(document: Mapping[str, Any], backend: str) -> str:
    """Return how the published numbers came out on a backend, in a sentence."""
    counts = tally(document)[backend]
    # any of these could be outside
    judged = sum(counts[verdict] for verdict in judging.WITH_INTERVAL)
    verb = "lies" if counts["outside"] == 1 else "lie"
    parts = [
        f"of {counts.total()} published numbers {counts['outside']} {verb} outside our "
        f"99 % interval ({(1 - judging.LEVEL) * judged:.2f} expected by chance) and "
        f"{counts['inside']} inside"
    ]
    for verdict, words in REST.items():
        if counts[verdict]:
            parts.append(f"{counts[verdict]} {words}")
    if together := document["joint"].get(backend):
        parts.append(f"all together, {joint_sentence(together)}")
    swapped = document["sensitivity"][backend]
    if swapped["total"]:  # none with a single seed
        parts.append(
            f"a number swapped with another λ's is noticed in {swapped['detected']} of "
            f"{swapped['total']} swaps"
        )
    return "; ".join(parts)


def joint_sentence(verdicts: Mapping[str, Any]) -> str:
    """Return a backend's joint verdicts: `p = 0.47 for the study (l2 0.39, selection 0.77)`."""
    study = verdicts.get(joint.WHOLE_STUDY)
    if study is None:
        return "too few seeds"
    figures = {name: f"{name} {verdict['p']:.2g}" for name, verdict in verdicts.items()}
    del figures[joint.WHOLE_STUDY]
    return f"p = {study['p']:.2g} for {joint.WHOLE_STUDY} ({', '.join(figures.values())})"
