"""The page of the retrieval benchmark: every number of it is a measurement."""

from typing import Any

from retrieval_vectors import CLUSTERED

_TARGETS = {"recall": 0.99, "p50_ms": 5.0, "cold_start_s": 2.0, "memory": 1.2}
_OURS = ("ScannRetriever", "FaissRetriever")


def as_page(report: dict[str, Any]) -> str:
    """The report in Markdown."""
    machine = report["machine"]
    lines = [
        "# Retrieval, measured",
        "",
        f"Written by `{report['command']}` on {machine['date']}; not edited by hand.",
        f"{machine['processor']}, {machine['cores']} cores, load average {_loads(report)}, this "
        f"benchmark included; {machine['packages']}. Where that is above 1, the clock tells of "
        "other programs, too: CPU time is what they change least, and what is held against the "
        "targets.",
        "",
        "Recall is the share of the ten nearest rows that was found. The retrievers run at their "
        "defaults, from an encoded prompt to ten assets. Peers, and the retrievers as `tuned`, run "
        "at the smallest setting (partitions looked into, or `efSearch`) that reaches 0.99, from a "
        "vector to ten row numbers. One OpenMP thread answers; all cores build. Cold start is a "
        "new process, from nothing to the first answer, with the files not in the system's cache. "
        "The times of a query are taken after all were asked once, or for forty seconds. "
        "Memory is the peak of the process that answers, with Python, and for ours PyTorch (mapped "
        "files count where they were read). CPU is processor time. Kept is what lies beside the "
        "float16 vectors.",
        "",
    ]
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for each in report["results"]:
        groups.setdefault((each["data"], each["rows"], each["dimension"]), []).append(each)
    for (data, rows, dimension), members in groups.items():
        what = (
            "different captions of 549 CC0 assets in Objaverse's layout"
            if data == "captions"
            else "clustered vectors"
        )
        size = members[0]["vectors_bytes"] / 1e6
        lines += [f"## {rows:,} {what}, {dimension} dimensions", ""]
        lines += [f"The vectors are {size:,.1f} MB as float16.", ""]
        lines += _table(members)
        if data == "clustered" and rows >= 100_000:
            lines += ["", *_verdicts(members)]
        if all(each["contender"] != "faiss HNSW" for each in members):
            lines += ["", "faiss HNSW was left out: it takes long to build (`--hnsw-up-to`)."]
        lines.append("")
    lines += ["## The clustered vectors", "", CLUSTERED, ""]
    return "\n".join(lines)


def as_section(report: dict[str, Any]) -> str:
    """The measurements alone in Markdown, for a page that has more to say."""
    machine = report["machine"]
    lines = [
        f"Made by `{report['command']}` on {machine['date']}, on {machine['cores']} cores with a "
        f"load average of {_loads(report)}, this benchmark included: CPU time is what "
        "other programs change least, and what is held against the targets.",
    ]
    for rows in dict.fromkeys(each["rows"] for each in report["results"]):
        members = [each for each in report["results"] if each["rows"] == rows]
        size = members[0]["vectors_bytes"] / 1e6
        what = (
            f"{rows:,} vectors of {members[0]['dimension']} dimensions, {size:,.1f} MB as float16"
        )
        lines += ["", f"{what}:", "", *_table(members)]
        if rows >= 100_000:
            lines += ["", *_verdicts(members)]
    return "\n".join(lines)


def _table(members: list[dict[str, Any]]) -> list[str]:
    header = (
        "| | recall@10 | p50 ms | p50 CPU ms | p99 ms | cold start s | cold start CPU s "
        "| memory MB | kept MB | build s | build memory MB | setting |"
    )
    rows = [header, "|---" * 12 + "|"]
    for each in members:
        rows.append(
            f"| {each['contender']} | {each['recall']:.3f} | {each['p50_ms']:.2f} "
            f"| {each['p50_cpu_ms']:.2f} | {each['p99_ms']:.2f} "
            f"| {each['cold_start_s']:.1f} | {each['cold_start_cpu_s']:.1f} "
            f"| {each['peak_bytes'] / 1e6:,.0f} | {each['kept_bytes'] / 1e6:,.0f} "
            f"| {each['build_s']:.1f} | {each['build_peak_bytes'] / 1e6:,.0f} "
            f"| {each['setting'] or ''} |"
        )
    return rows


def _loads(report: dict[str, Any]) -> str:
    """The load average while all this was measured."""
    loads = [each["load"] for each in report["results"]]
    return " to ".join(dict.fromkeys(f"{each:.1f}" for each in (min(loads), max(loads))))


def _verdicts(members: list[dict[str, Any]]) -> list[str]:
    """Each target and whether ours meet it, by processor time."""
    lines = []
    for each in members:
        name = each["contender"].removesuffix(", tuned")
        if name not in _OURS or each["rows"] < 1_000_000:  # the targets are of this size
            continue
        p50, cold = each["p50_cpu_ms"], each["cold_start_cpu_s"]
        memory = each["peak_bytes"] / each["vectors_bytes"]
        met = {
            f"recall@10 {each['recall']:.3f} (at least {_TARGETS['recall']:g})": each["recall"]
            >= _TARGETS["recall"],
            f"p50 {p50:.1f} ms of CPU (under {_TARGETS['p50_ms']:g})": p50 < _TARGETS["p50_ms"],
            f"cold start {cold:.1f} s of CPU (under {_TARGETS['cold_start_s']:g})": cold
            < _TARGETS["cold_start_s"],
            f"memory {memory:.2f} of the vectors (at most {_TARGETS['memory']:g})": memory
            <= _TARGETS["memory"],
        }
        stated = ", ".join(
            f"{what}: {'met' if is_met else 'MISSED'}" for what, is_met in met.items()
        )
        lines.append(f"- {each['contender']}: {stated}.")
    peers = [
        each
        for each in members
        if each["contender"].startswith(("faiss", "ScaNN")) and each["recall"] >= 0.99
    ]
    if peers:
        for each in [
            min(peers, key=lambda each: float(each["p50_cpu_ms"])),
            *(one for one in members if "tuned" in one["contender"]),
        ]:
            lines.append(
                f"- {'Fastest peer: ' if each in peers else ''}{each['contender']} reaches "
                f"{each['recall']:.3f} with a p50 of {each['p50_cpu_ms']:.2f} ms of CPU "
                f"({each['p50_ms']:.2f} by the clock), in "
                f"{each['peak_bytes'] / each['vectors_bytes']:.2f} times the memory of the vectors."
            )
    return lines
