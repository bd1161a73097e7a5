#!/usr/bin/env python3
"""What a reload and a scrape cost the loop of a server with many sites, by the server's own measure of its turns.

    benches/sites.py [--sites N] [--rounds N] [--threads N] [--server target/release/lwsws]

The configuration has N sites at one port, each with a folder and a protocol. Each round changes one of them, has the configuration read
again, and reads `lws_loop_turn_seconds` of every thread before and after: says the loop time of a reload, the bound of its longest turn, and
how long it took as a whole. Then does the same for scrapes alone. A reading costs the loop a scrape, which is in the figures of reloads.
Turns are measured by the clock: where others want the cores, a turn is also as long as it waits for one. So the processor time of the first
thread is beside them, which holds all of its turns.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "peers"))

from checks import accepts, free_port  # noqa: E402 - the path is set above

#: Scrapes in a row.
SCRAPES = 200
#: Seconds that anything may take.
PATIENCE = 60

Turns = tuple[float, dict[str, int]]


def host(folder: Path, port: int, index: int, location: str) -> str:
    mounts = (
        f'{{ "mountpoint": "/", "origin": "file://{folder}/www" }}, '
        f'{{ "mountpoint": "/old", "origin": ">http://{location}.example/" }}'
    )
    return f'{{ "name": "site-{index}.example", "port": {port}, "mounts": [ {mounts} ], "ws-protocols": [ {{ "lws-echo": {{}} }} ] }}'


class Serving:
    def __init__(self, folder: Path, server: Path, sites: int, threads: int) -> None:
        self.folder, self.port, self.admin = folder, free_port(), free_port()
        (folder / "www").mkdir()
        (folder / "conf.d").mkdir()
        (folder / "conf").write_text(f'{{ "global": {{ "count-threads": {threads} }} }}')
        hosts = ",\n".join(host(folder, self.port, index, "there") for index in range(1, sites))
        (folder / "conf.d" / "many").write_text(f'{{ "vhosts": [ {hosts} ] }}')
        self.change(0)
        self.log = open(folder / "log", "wb")
        command = [server, "--config", folder, "--admin", f"127.0.0.1:{self.admin}"]
        self.child = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.until(lambda: accepts(self.port) and accepts(self.admin))

    def change(self, round_: int) -> None:
        changing = host(self.folder, self.port, 0, f"round-{round_}")
        (self.folder / "conf.d" / "changing").write_text(f'{{ "vhosts": [ {changing} ] }}')

    def reload(self, round_: int) -> float:
        """Changes one site and has the configuration read again. Answers how long that took, in seconds."""
        self.change(round_)
        begun = time.perf_counter()
        self.child.send_signal(signal.SIGHUP)
        self.until(lambda: (self.folder / "log").read_bytes().count(b"~ site-0.example") == round_)
        return time.perf_counter() - begun

    def turns(self) -> Turns:
        """What all threads have taken for turns, in seconds, and how many there were by bound."""
        text = self.scrape()
        total = sum(float(value) for value in re.findall(r"^lws_loop_turn_seconds_sum\S* (\S+)", text, re.M))
        counts: dict[str, int] = {}
        for bound, value in re.findall(r'^lws_loop_turn_seconds_bucket\{.*le="([^"]+)".*\} (\d+)', text, re.M):
            counts[bound] = counts.get(bound, 0) + int(value)
        return total, counts

    def processor_seconds(self) -> float:
        """Processor time of the first thread, which has a loop of the server and nothing else."""
        return int(Path(f"/proc/{self.child.pid}/task/{self.child.pid}/schedstat").read_text().split()[0]) / 1e9

    def scrape(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=PATIENCE) as response:
            return response.read().decode()

    @staticmethod
    def until(is_so) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.0005)


def longest(before: Turns, after: Turns) -> str:
    """The smallest bound that no turn in between exceeded."""
    counts = {bound: after[1][bound] - before[1].get(bound, 0) for bound in after[1]}
    every = counts["+Inf"]
    return next(bound for bound, count in counts.items() if count == every)


def summary(name: str, values: list[float]) -> str:
    millis = sorted(value * 1_000 for value in values)
    return f"{name:<30} median {statistics.median(millis):8.3f} ms, at most {millis[-1]:8.3f} ms"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--server", type=Path, default=Path("target/release/lwsws"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        serving = Serving(Path(name), arguments.server, arguments.sites, arguments.threads)
        try:
            loops, processor, elapsed, bounds = [], [], [], []
            for round_ in range(1, arguments.rounds + 1):
                before, ran = serving.turns(), serving.processor_seconds()
                elapsed.append(serving.reload(round_))
                processor.append(serving.processor_seconds() - ran)
                after = serving.turns()
                loops.append(after[0] - before[0])
                bounds.append(longest(before, after))
            print(f"{arguments.sites} sites on {arguments.threads} threads, of which one changes, {arguments.rounds} times")
            print(summary("reload, time of the loops", loops))
            print(summary("reload, first loop on its core", processor))
            print(summary("reload, from signal to end", elapsed))
            print(f"{'longest turn of a reload':<30} within {max(bounds, key=float)} s; by round: {' '.join(bounds)}")
            scrapes = []
            before = serving.turns()
            for _ in range(SCRAPES):
                begun = time.perf_counter()
                serving.scrape()
                scrapes.append(time.perf_counter() - begun)
            after = serving.turns()
            print(f"{'scrape, time of the loops':<30} mean   {(after[0] - before[0]) / (SCRAPES + 1) * 1_000:8.3f} ms")
            print(summary("scrape, from ask to answer", scrapes))
            print(f"{'longest turn of a scrape':<30} within {longest(before, after)} s")
        finally:
            serving.child.terminate()
            serving.child.wait(PATIENCE)


if __name__ == "__main__":
    main()
