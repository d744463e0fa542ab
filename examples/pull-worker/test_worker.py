"""Runs worker.py as a program of its own, against a server that speaks the API of work and nothing else.

    python3 -m unittest discover examples/pull-worker
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

WORKER = Path(__file__).with_name("worker.py")
CONTRACT = "tenure.provisioner/v1"
TOKEN = "a-token-that-is-only-a-test"

# What the worker runs in these tests: it does what `desired` says.
PROGRAM = textwrap.dedent('''
    import json, os, subprocess, sys, time
    request = json.load(sys.stdin)
    def say(**fields):
        answer = {"contract": "tenure.provisioner/v1", "operation_id": request["operation_id"], **fields}
        print(json.dumps(answer), flush=True)
    do = request["desired"]
    assert os.environ["TENURE_OPERATION_ID"] == request["operation_id"]
    open(f"{do['folder']}/pid-{request['tenant']['id']}", "w").write(str(os.getpid()))
    if "leaves" in do:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
        open(f"{do['folder']}/pid-child", "w").write(str(child.pid))
    if "progress" in do:
        say(result="progress", message="half", steps=[{"name": "a", "state": "running"}])
    if "until" in do:
        while not os.path.exists(do["until"]):
            time.sleep(0.02)
    if "writes" in do:
        print(do["writes"], flush=True)
    if "ends" in do:
        sys.exit(do["ends"])
    say(result="done", observed={"seen": True}, resources=["r"], message="")
''')


class Server:
    """Speaks exactly the API: hands out what a test queues, keeps leases, and notes what it was told."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self.queue: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.leases: dict[str, int] = {}
        self.seconds = 30.0
        self.interfere: Optional[Callable[[str, int], Optional[tuple[int, str]]]] = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = server.answer(self.path, self.headers["authorization"], body)
                text = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # The worker hung up.

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # Workers are killed here.
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        call = path.rsplit("/", 1)[1]
        with self.change:
            self.calls.append((call, body))
            self.change.notify_all()
            assert path == f"/v1/work/{call}", path
            if token != f"Bearer {TOKEN}":
                return 401, {"code": "unauthenticated", "detail": "the token is not known"}
            refusal = self.interfere and self.interfere(call, self.count(call))
            if refusal:
                return refusal[0], {"code": refusal[1], "detail": "as the test wants it"}
            if call == "claim":
                self.change.wait_for(lambda: self.queue, body["wait_seconds"])
                items, self.queue = self.queue[:body["limit"]], self.queue[body["limit"]:]
                return 200, {"items": items}
            if self.leases.get(body["tenant"]) != body["fence"]:
                return 409, {"code": "lease_lost", "detail": "another worker has it"}
            if call == "renew":
                return 200, {"seconds": self.seconds}
            if body["answer"]["result"] != "progress":
                del self.leases[body["tenant"]]
            return 200, {"state": "ready"}

    def count(self, call: str) -> int:
        return sum(1 for name, _ in self.calls if name == call)

    def give(self, tenant: str, **desired: Any) -> None:
        request = {"contract": CONTRACT, "operation": "apply", "operation_id": f"{tenant}/1/7", "generation": 1,
                   "tenant": {"id": tenant, "name": "acme", "class": "mailbox"}, "fence": 7, "desired": desired,
                   "running": True, "observed": None, "resources": []}
        with self.change:
            self.leases[tenant] = 7
            self.queue.append({"lease": {"tenant": tenant, "fence": 7, "seconds": self.seconds}, "request": request})
            self.change.notify_all()

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        with self.change:
            if not self.change.wait_for(condition, 30):
                raise AssertionError(f"waited in vain for {what}: {self.calls}")

    def answers(self, result: str = "") -> list[dict[str, Any]]:
        found = [body["answer"] for call, body in self.calls if call == "report"]
        return [answer for answer in found if result in ("", answer["result"])]


class Working(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "program.py").write_text(PROGRAM)
        (self.folder / "token").write_text(TOKEN + "\n")
        self.server = Server()
        self.addCleanup(self.server.stop)

    def start(self, *options: str, program: Optional[list[str]] = None) -> None:
        command = [sys.executable, str(WORKER), "--url", self.server.url, "--token-file", str(self.folder / "token"),
                   "--wait", "5", *options, "--", *(program or [sys.executable, str(self.folder / "program.py")])]
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.worker = subprocess.Popen(command, stderr=log, stdout=log)
        self.addCleanup(self.end)

    def end(self) -> None:
        self.worker.kill()
        self.worker.wait()
        # What a worker that was killed itself could not end any more.
        for noted in self.folder.glob("pid-*"):
            pid = int(noted.read_text() or 0)
            if pid and self.alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.assertNotIn(TOKEN, self.log.read_text())

    def give(self, tenant: str = "tnt_1", **desired: Any) -> None:
        self.server.give(tenant, folder=str(self.folder), **desired)

    def answer(self, count: int = 1) -> dict[str, Any]:
        self.server.wait(lambda: len(self.server.answers("done") + self.server.answers("failed")) >= count, "an answer")
        return (self.server.answers("done") + self.server.answers("failed"))[-1]

    def pid(self, name: str = "tnt_1") -> int:
        self.until(lambda: (self.folder / f"pid-{name}").exists() and (self.folder / f"pid-{name}").read_text())
        return int((self.folder / f"pid-{name}").read_text())

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, self.log.read_text())
            time.sleep(0.02)

    def alive(self, pid: int) -> bool:
        state = Path(f"/proc/{pid}/stat")
        if Path("/proc/self").exists():
            return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    def test_work_is_claimed_done_and_reported_with_its_progress(self) -> None:
        self.start("--concurrency", "3")
        self.give(progress=True)
        self.assertEqual(self.answer()["observed"], {"seen": True})
        (progress,) = self.server.answers("progress")
        self.assertEqual(progress["steps"], [{"name": "a", "state": "running"}])
        self.assertEqual(self.server.calls[0], ("claim", {"limit": 3, "wait_seconds": 5.0}))
        report = next(body for call, body in self.server.calls if call == "report")
        self.assertEqual((report["tenant"], report["fence"]), ("tnt_1", 7))
        self.assertEqual(report["answer"]["operation_id"], "tnt_1/1/7")

    def test_so_much_runs_at_once_and_no_more(self) -> None:
        go = self.folder / "go"
        for number in range(1, 4):
            self.give(f"tnt_{number}", until=str(go))
        self.start("--concurrency", "2")
        self.pid("tnt_1"), self.pid("tnt_2")
        self.assertEqual(self.server.count("claim"), 1)
        self.assertFalse((self.folder / "pid-tnt_3").exists())
        go.touch()
        self.answer(3)
        self.assertTrue(all(body["limit"] <= 2 for call, body in self.server.calls if call == "claim"))

    def test_a_lease_is_renewed_for_as_long_as_the_work_takes(self) -> None:
        self.server.seconds = 0.9
        self.start()
        self.give(until=str(self.folder / "go"))
        self.server.wait(lambda: self.server.count("renew") >= 5, "renewals")  # Longer than the first lease.
        (self.folder / "go").touch()
        self.assertEqual(self.answer()["result"], "done")

    def test_work_whose_lease_is_lost_is_killed_and_its_result_dropped(self) -> None:
        self.server.seconds = 0.9
        self.start()
        self.give(until=str(self.folder / "never"), leaves=True)
        program, child = self.pid(), self.pid("child")
        with self.server.change:
            self.server.leases["tnt_1"] = 8  # Another worker has it.
        self.until(lambda: not self.alive(program) and not self.alive(child))
        self.give("tnt_2")
        self.answer()
        self.assertEqual([answer["operation_id"] for answer in self.server.answers()], ["tnt_2/1/7"])
        self.assertIn("lease_lost", self.log.read_text())

    def test_work_is_killed_when_the_lease_runs_out_unrenewed(self) -> None:
        self.server.seconds = 0.9
        self.server.interfere = lambda call, _: (503, "unavailable") if call == "renew" else None
        self.start()
        self.give(until=str(self.folder / "never"))
        program = self.pid()
        self.until(lambda: not self.alive(program))
        self.assertEqual(self.server.answers(), [])
        self.assertGreaterEqual(self.server.count("renew"), 2)

    def test_an_answer_that_did_not_arrive_is_sent_again(self) -> None:
        self.server.interfere = lambda call, count: (503, "unavailable") if count <= 3 else None
        self.start()
        self.give()
        self.server.wait(lambda: self.server.leases == {}, "the report")
        self.assertEqual(self.server.answers(), [self.server.answers()[0]] * 4)
        self.assertGreaterEqual(self.server.count("claim"), 4)

    def test_what_the_program_leaves_running_is_killed(self) -> None:
        self.start()
        self.give(leaves=True)
        self.answer()
        child = self.pid("child")
        self.until(lambda: not self.alive(child))

    def test_a_program_that_fails_to_answer_is_reported_by_reason(self) -> None:
        self.start("--deadline", "2")
        other = json.dumps({"contract": CONTRACT, "operation_id": "another", "result": "done"})
        for number, (reason, desired) in enumerate([
            ("ProvisionerCrashed", {"ends": 3}), ("ProvisionerCrashed", {"ends": 0}),
            ("AnswerMalformed", {"writes": "garbage"}), ("AnswerMalformed", {"writes": "[1]"}),
            ("AnswerMalformed", {"writes": other}), ("OutputTooLarge", {"writes": "x" * (1 << 20)}),
            ("DeadlineExceeded", {"until": str(self.folder / "never")}),
        ]):
            with self.subTest(reason):
                self.give(f"tnt_{number}", **desired)
                final = self.answer(number + 1)
                self.assertEqual((final["reason"], final["permanent"]), (reason, False))

    def test_a_program_that_is_missing_is_reported(self) -> None:
        self.start(program=["/nowhere/at/all"])
        self.give()
        self.assertEqual(self.answer()["reason"], "ProvisionerNotStarted")

    def test_a_bad_token_or_a_class_that_is_not_allowed_ends_the_worker(self) -> None:
        (self.folder / "token").write_text("wrong")
        self.start()
        self.assertEqual(self.worker.wait(20), 1)
        self.assertIn("Correct the token", self.log.read_text())
        (self.folder / "token").write_text(TOKEN)
        self.server.interfere = lambda call, _: (403, "class_not_allowed")
        self.start()
        self.assertEqual(self.worker.wait(20), 1)
        self.assertEqual(self.server.count("claim"), 2)

    def test_the_token_never_crosses_a_network_in_clear(self) -> None:
        run = subprocess.run([sys.executable, str(WORKER), "--url", "http://tenure.example", "--token-file",
                              str(self.folder / "token"), "--", "true"], capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 1)
        self.assertIn("must be https", run.stderr)

    def test_sigterm_ends_a_waiting_claim_at_once(self) -> None:
        self.start("--wait", "60")
        self.server.wait(lambda: self.server.count("claim"), "a claim")
        self.worker.send_signal(signal.SIGTERM)
        self.assertEqual(self.worker.wait(20), 0)

    def test_sigterm_lets_work_end_and_claims_no_more(self) -> None:
        self.start()
        self.give(until=str(self.folder / "go"))
        self.pid()
        self.worker.send_signal(signal.SIGTERM)
        (self.folder / "go").touch()
        self.assertEqual(self.answer()["result"], "done")
        self.assertEqual(self.worker.wait(20), 0)
        self.assertLessEqual(self.server.count("claim"), 2)  # The one that waited when the signal came.

    def test_after_the_grace_period_work_is_killed_unreported(self) -> None:
        self.start("--grace", "0.3")
        self.give(until=str(self.folder / "never"))
        program = self.pid()
        self.worker.send_signal(signal.SIGTERM)
        self.assertEqual(self.worker.wait(20), 0)
        self.assertFalse(self.alive(program))
        self.assertEqual(self.server.answers(), [])


if __name__ == "__main__":
    unittest.main()
