#!/usr/bin/env python3
"""Runs the Autobahn cases in one of both roles, and keeps a report.

    autobahn.py server --url ws://127.0.0.1:9200/echo [--start "COMMAND"] [--report FILE.md]
    autobahn.py client --client "COMMAND {url}" [--report FILE.md]

`server`: the suite is a client and tests a server; `--start` starts that server and stops it again.
`client`: the suite is a server on a free port and tests the client that `--client` starts.

The cases and the verdicts are those of the Autobahn test suite, driven by the package `kosoku`. A case
passes when its behaviour is OK, NON-STRICT or INFORMATIONAL and its close is OK or INFORMATIONAL. A
case without a result has failed. Ends with `N passed, N failed`.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import shlex
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import kosoku
import websockets
from kosoku._report import write_reports
from kosoku.cases import CASES

from checks import running

#: Everything of RFC 6455. Groups 12 and 13, with `--cases`, are permessage-deflate, RFC 7692.
RFC6455_GROUPS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
PASSING = {"OK", "NON-STRICT", "INFORMATIONAL"}
PASSING_CLOSE = {"OK", "INFORMATIONAL"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["server", "client"], help="the role of the program under test")
    parser.add_argument("--url", help="server role: where the server under test echoes")
    parser.add_argument("--start", help="server role: the command that starts it")
    parser.add_argument("--backend", nargs=2, metavar=("PORT", "COMMAND"), help="server role: what is started before, if --start is a proxy")
    parser.add_argument("--client", help="client role: the command, `{url}` stands for the suite's address")
    parser.add_argument("--cases", nargs="+", default=RFC6455_GROUPS, metavar="GLOB", help="default: all of RFC 6455")
    parser.add_argument("--title", default="", help="what is added to the title of the report")
    parser.add_argument("--expect", type=int, metavar="N", help="fail unless exactly N cases are selected")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the table of verdicts here")
    parser.add_argument("--stored", type=Path, metavar="FILE.md", help="say so if the table differs from this one")
    parser.add_argument("--details", type=Path, metavar="DIR", help="write the suite's own pages and wire logs here")
    parser.add_argument("--seconds", type=float, default=900, help="give up after this time (%(default)s)")
    parser.set_defaults(client_failed=False)
    options = parser.parse_args()
    if not (options.url if options.role == "server" else options.client):
        parser.error("--url is needed in the server role, --client in the client role")
    return options


def selected(globs: list[str]) -> list[str]:
    """The case ids that `globs` name, in the suite's order."""
    return [case for case in CASES if any(fnmatch.fnmatch(case, glob) for glob in globs)]


def hand_text_to_cases_as_octets() -> None:
    """Works around kosoku 0.1.0: a text message that the peer did not compress reaches the cases of
    groups 12 and 13 as `str`, and they hash octets."""

    def octets_first(on_message):
        def on_octets(self, message, binary):
            if isinstance(message, str):
                message = message.encode("latin-1" if binary else "utf-8")
            return on_message(self, message, binary)

        return on_octets

    for case, kind in CASES.items():
        if case.split(".")[0] in ("12", "13"):
            kind.onMessage = octets_first(kind.onMessage)


async def test_server(options: argparse.Namespace) -> list[kosoku._kosoku.CaseResult]:
    started, backend = nullcontext(), nullcontext()
    if options.backend:
        port, command = options.backend
        backend = running(shlex.split(command), int(port))
    if options.start:
        started = running(shlex.split(options.start), urlsplit(options.url).port)
    with backend, started:
        try:
            return await kosoku.run_fuzzingclient(options.url, options.cases)
        except kosoku.FailureError as failure:
            return failure.results


async def test_client(options: argparse.Namespace) -> list[kosoku._kosoku.CaseResult]:
    async with kosoku.run_fuzzingserver(options.cases, port=0) as suite:
        url = f"ws://127.0.0.1:{suite.port}"
        results = asyncio.ensure_future(suite.get_result())
        command = shlex.split(options.client.replace("{url}", url))
        client = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            status = await client.wait()
            if status != 0:
                print(f"FAIL autobahn client: the client ended with {status}", flush=True)
                options.client_failed = True
            done, _ = await asyncio.wait([results], timeout=5)
            if not done:
                print("the client did not ask for /updateReports; asking in its place", flush=True)
                async with websockets.connect(f"{url}/updateReports", compression=None):
                    pass
            return await results
        except kosoku.FailureError as failure:
            return failure.results
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()


def passed(result: kosoku._kosoku.CaseResult) -> bool:
    return result.behavior.value in PASSING and result.behavior_close.value in PASSING_CLOSE


def report(role: str, title: str, cases: list[str], results: dict[str, kosoku._kosoku.CaseResult]) -> str:
    """The table that is kept. It holds no times and no dates, so it changes when a verdict does."""
    verdicts = Counter(result.behavior.value for result in results.values())
    closes = Counter(result.behavior_close.value for result in results.values())

    def total(counter: Counter) -> str:
        return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counter.items()))

    lines = [
        f"# Autobahn, our {role}{title}",
        "",
        f"Written by `tests/peers/autobahn.py {role}`; kosoku 0.1.0 drives the cases.",
        "",
        f"- Cases: {len(cases)}, with a result: {len(results)}",
        f"- Behaviour: {total(verdicts)}",
        f"- Closing: {total(closes)}",
        "",
        "| case | behaviour | closing | peer's code |",
        "|---|---|---|---|",
    ]
    for case in cases:
        result = results.get(case)
        if result is None:
            lines.append(f"| {case} | no result | | |")
        else:
            code = "" if result.remote_close_code is None else result.remote_close_code
            lines.append(f"| {case} | {result.behavior.value} | {result.behavior_close.value} | {code} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = arguments()
    cases = selected(options.cases)
    if options.expect is not None and len(cases) != options.expect:
        sys.exit(f"{len(cases)} cases are selected, {options.expect} were expected")
    hand_text_to_cases_as_octets()
    run = test_server if options.role == "server" else test_client
    begin = time.monotonic()
    try:
        found = asyncio.run(asyncio.wait_for(run(options), options.seconds))
    except TimeoutError:
        print(f"gave up after {options.seconds} s", flush=True)
        found = []

    results = {}
    good = 0
    for result in found:
        # A case that ran twice counts once, with its worse verdict.
        known = results.get(result.case_id)
        if known is None or passed(known):
            results[result.case_id] = result
    for case in cases:
        result = results.get(case)
        if result is None:
            print(f"FAIL autobahn {options.role} {case}: no result")
        elif passed(result):
            good += 1
        else:
            print(
                f"FAIL autobahn {options.role} {case}: {result.behavior.value}, closing {result.behavior_close.value}:"
                f" {result.result} {result.result_close}"[:300]
            )
    table = report(options.role, options.title, cases, results)
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(table)
    known = set(options.stored.read_text().splitlines()) if options.stored and options.stored.exists() else set()
    # A run of some of the cases is compared with the report of all.
    if options.stored and any(row not in known for row in table.splitlines() if row.startswith("| ")):
        print(f"note: the verdicts differ from {options.stored}; the new table is {options.report}")
    if options.details:
        write_reports(found, str(options.details))
    slowest = sorted(results.values(), key=lambda result: -result.duration)[:3]
    print(
        f"autobahn {options.role}: {time.monotonic() - begin:.1f} s; slowest: "
        + ", ".join(f"{result.case_id} {result.duration} ms" for result in slowest)
    )
    bad = len(cases) - good + options.client_failed
    print(f"{good} passed, {bad} failed", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
