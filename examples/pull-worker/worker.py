#!/usr/bin/env python3
"""Claims work from a Tenure server, has a program do it, and reports what the program says.

    python3 worker.py --url http://127.0.0.1:7310 --token-file worker.token -- python3 provision.py

The program is an exec provisioner: a request on stdin, answers on stdout, one JSON object a line. So the
worker is the same for every class of tenants, and work whose lease is lost can be killed, not just given up.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

CONTRACT = "tenure.provisioner/v1"
OUTPUT_BYTES = 1 << 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def pauses(base: float = 0.2, cap: float = 10.0) -> Iterator[float]:
    """How long to wait before each try: ever longer, and never in step with other workers."""
    for attempt in range(1_000_000):
        yield random.uniform(base / 4, min(cap, base * 2 ** min(attempt, 16)))


# --- The server ---------------------------------------------------------------------------------


class Unreachable(Exception):
    """Nobody knows what became of the call, or the server asks to come again: try again."""


class Refused(Exception):
    """The server understood, and said no."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code = status, code


class Api:
    def __init__(self, url: str, token_file: Path) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SystemExit(f"--url must be like https://tenure.example, not {url}")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise SystemExit("--url must be https: the token would cross the network in clear")
        self.secure, self.host, self.port = parts.scheme == "https", parts.hostname, parts.port
        self.path, self.token_file = parts.path.rstrip("/"), token_file
        self.waiting: Optional[http.client.HTTPConnection] = None
        self.stopping = False

    def post(self, call: str, body: dict[str, Any], timeout: float, *, waits: bool = False) -> Any:
        connection = (http.client.HTTPSConnection(self.host, self.port, timeout=timeout,
                                                  context=ssl.create_default_context())
                      if self.secure else http.client.HTTPConnection(self.host, self.port, timeout=timeout))
        try:
            # Read each time: a token that is replaced is good at once.
            headers = {"authorization": f"Bearer {self.token_file.read_text().strip()}",
                       "content-type": "application/json"}
            connection.connect()
            if waits:
                self.waiting = connection
                if self.stopping:
                    raise Unreachable("stopping")
            connection.request("POST", f"{self.path}/v1/work/{call}", json.dumps(body).encode(), headers)
            response = connection.getresponse()
            text = response.read()
            answer = json.loads(text) if text else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None
        finally:
            if waits:
                self.waiting = None
            connection.close()
        if response.status == 200 and isinstance(answer, dict):
            return answer
        problem = answer if isinstance(answer, dict) else {}
        if response.status in (408, 425, 429) or response.status >= 500:
            raise Unreachable(f"{response.status} {problem.get('code', '')}")
        raise Refused(response.status, str(problem.get("code", "")), str(problem.get("detail", "")))

    def hang_up(self) -> None:
        """Ends a claim that waits for work."""
        self.stopping = True
        connection = self.waiting
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


# --- One piece of work --------------------------------------------------------------------------


class Job(threading.Thread):
    """Runs the program for one request, for as long as the lease is ours."""

    def __init__(self, api: Api, item: dict[str, Any], program: list[str], deadline: float,
                 freed: threading.Event) -> None:
        super().__init__(daemon=True)
        self.api, self.program, self.deadline, self.freed = api, program, deadline, freed
        lease, self.request = item["lease"], item["request"]
        self.tenant, self.fence, self.seconds = lease["tenant"], lease["fence"], float(lease["seconds"])
        self.expires = time.monotonic() + self.seconds
        self.gone, self.lost = threading.Event(), threading.Event()
        self.overran = self.killed = False
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.guard = threading.Lock()

    def __str__(self) -> str:
        return f"{self.tenant} {self.request.get('operation')} under fence {self.fence}"

    def run(self) -> None:
        keeper = threading.Thread(target=self.keep, daemon=True)
        keeper.start()
        try:
            final = self.work()
            if not self.lost.is_set() and self.call("report", answer=final):
                log(f"{self}: {final['result']} {final.get('reason', '')}".rstrip())
        finally:
            self.kill()
            self.gone.set()
            keeper.join()
            self.freed.set()

    def call(self, call: str, *, once: bool = False, **fields: Any) -> Optional[dict[str, Any]]:
        """The server's answer; nothing if the lease is lost, or runs out before there is one."""
        for pause in pauses():
            left = self.expires - time.monotonic()
            if left <= 0:
                self.lose("it ran out")
            if self.lost.is_set():
                return None
            try:
                body = {"tenant": self.tenant, "fence": self.fence, **fields}
                answer: dict[str, Any] = self.api.post(call, body, max(0.1, min(10.0, left)))
                return answer
            except Refused as refused:
                self.lose(str(refused))
            except Unreachable as error:
                if once:
                    return None
                log(f"{self}: {call}: {error}; trying again")
                self.lost.wait(min(pause, max(0.0, self.expires - time.monotonic())))
        return None

    def keep(self) -> None:
        """Renews the lease at each third of it, until the work is reported."""
        while not self.gone.wait(min(self.seconds / 3, max(0.0, self.expires - time.monotonic()))):
            begun = time.monotonic()  # The new lease is counted from before it was asked for.
            answer = self.call("renew")
            if answer is None:
                return
            self.seconds = float(answer["seconds"])
            self.expires = begun + self.seconds

    def lose(self, why: str) -> None:
        """Stops at once: somebody else may be at work on this tenant."""
        if not self.gone.is_set() and not self.lost.is_set():
            log(f"{self}: the lease is lost, the work is dropped: {why}")
        self.lost.set()
        self.kill()

    def kill(self) -> None:
        with self.guard:
            if self.process and not self.killed:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.process.pid, signal.SIGKILL)  # Also what it left running behind it.
                self.process.wait()
                self.killed = True

    def overrun(self) -> None:
        self.overran = True
        self.kill()

    def work(self) -> dict[str, Any]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TENURE_")}
        environment["TENURE_OPERATION_ID"] = str(self.request.get("operation_id"))
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(self.request).encode())
            stdin.seek(0)
            try:
                with self.guard:
                    self.process = process = subprocess.Popen(
                        self.program, stdin=stdin, stdout=subprocess.PIPE, env=environment, start_new_session=True)
            except OSError as error:
                return self.failed("ProvisionerNotStarted", f"The worker can't run its program: {error.strerror}.")
        if self.lost.is_set():  # Before there was something to kill.
            self.kill()
        timer = threading.Timer(self.deadline, self.overrun)
        timer.daemon = True
        timer.start()
        try:
            final = self.listen(process)
        finally:
            timer.cancel()
        self.kill()
        if self.overran:
            return self.failed("DeadlineExceeded", f"The program took more than {self.deadline:g} seconds.")
        return final

    def listen(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout
        heard = 0
        with process.stdout as stdout:
            while line := stdout.readline(OUTPUT_BYTES + 1):
                heard += len(line)
                if heard > OUTPUT_BYTES:
                    return self.failed("OutputTooLarge", f"The program wrote more than {OUTPUT_BYTES} bytes.")
                try:
                    answer = json.loads(line)
                    known = (answer["contract"], answer["operation_id"]) == (CONTRACT, self.request["operation_id"])
                    result = answer["result"] if known else None
                except (ValueError, KeyError, TypeError, RecursionError):
                    result = None
                if result == "progress":
                    self.call("report", once=True, answer=answer)  # The next one says more.
                elif result in ("done", "failed"):
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(5)
                    return dict(answer)
                else:
                    return self.failed("AnswerMalformed", "The program wrote a line that answers nothing it was asked.")
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        return self.failed("ProvisionerCrashed", f"The program ended with {process.returncode} and without an answer.")

    def failed(self, reason: str, message: str) -> dict[str, Any]:
        return {"contract": CONTRACT, "operation_id": self.request.get("operation_id"), "result": "failed",
                "reason": reason, "message": message, "permanent": False}


# --- The loop -----------------------------------------------------------------------------------


class Worker(threading.Thread):
    """Claims as much as there is room for, until it is told to stop or the server refuses it."""

    def __init__(self, api: Api, options: argparse.Namespace, wake: int) -> None:
        super().__init__(daemon=True)
        self.api, self.options, self.wake = api, options, wake
        self.stop, self.freed, self.refused = threading.Event(), threading.Event(), False
        self.jobs: list[Job] = []

    def run(self) -> None:
        try:
            self.claim()
        finally:
            os.write(self.wake, b"x")

    def claim(self) -> None:
        wait, pause = self.options.wait, pauses()
        while not self.stop.is_set():
            self.freed.clear()
            self.jobs = [job for job in self.jobs if job.is_alive()]
            room = self.options.concurrency - len(self.jobs)
            if room <= 0:
                self.freed.wait(1)
                continue
            try:
                answer = self.api.post("claim", {"limit": room, "wait_seconds": wait}, wait + 10, waits=True)
                pause = pauses()
            except Refused as refused:
                log(f"The server refuses this worker: {refused}. Correct the token, or the classes that it may serve.")
                self.refused = True
                break
            except Unreachable as error:
                if not self.stop.is_set():
                    log(f"claim: {error}; trying again")
                    self.stop.wait(next(pause))
                continue
            for item in answer.get("items", []):
                job = Job(self.api, item, self.options.program, self.options.deadline, self.freed)
                self.jobs.append(job)
                job.start()

    def finish(self) -> None:
        """Lets what runs end, within the grace period, and drops the rest: its lease runs out, others do it."""
        self.stop.set()
        self.freed.set()
        self.api.hang_up()
        self.join()
        until = time.monotonic() + self.options.grace
        for job in self.jobs:
            job.join(max(0.0, until - time.monotonic()))
            if job.is_alive():
                job.lose("the worker stops")
                job.join(15)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:7310", help="the server")
    parser.add_argument("--token-file", type=Path, required=True, help="the file with this worker's token")
    parser.add_argument("--concurrency", type=int, default=4, help="how many operations run at once")
    parser.add_argument("--wait", type=float, default=20, help="seconds that a claim waits for work")
    parser.add_argument("--grace", type=float, default=20, help="seconds that work may take to end on SIGTERM")
    parser.add_argument("--deadline", type=float, default=300, help="seconds that one operation may take")
    parser.add_argument("program", nargs="+", help="the provisioner and its arguments, after --")
    options = parser.parse_args()
    if not options.token_file.is_file():
        raise SystemExit(f"--token-file: there is no {options.token_file}; README.md shows how to make it")
    # A signal becomes a byte in a pipe: nothing is done inside a handler.
    wait, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    worker = Worker(Api(options.url, options.token_file), options, wake)
    worker.start()
    os.read(wait, 1)
    worker.finish()
    return int(worker.refused)


if __name__ == "__main__":
    sys.exit(main())
