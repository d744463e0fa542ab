"""Runs server.js as a program of its own, on a free port, through all that may happen to it.

    python3 -m unittest discover examples/http-provisioner

Needs Node 18 or newer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Optional

PROGRAM = Path(__file__).with_name("server.js")
CONTRACT = "tenure.provisioner/v1"
SECRET = b"0123456789abcdef0123456789abcdef"
OLD_SECRET = b"fedcba9876543210fedcba9876543210"
DESIRED: dict[str, Any] = {
    "title": "Acme & <Sons>",
    "theme": "light",
    "features": {"search": True, "comments": False, "newsletter": True},
}


class Provisioner(unittest.TestCase):
    def setUp(self) -> None:
        if not shutil.which("node"):
            self.fail("these tests need Node 18 or newer: `apt-get install nodejs` on Debian")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        secrets = [f"whsec_{base64.b64encode(secret).decode()}\n" for secret in (SECRET, OLD_SECRET)]
        (self.folder / "secret").write_text("".join(secrets))
        self.site = self.folder / "data/sites/acme"
        self.sent = 0
        self.start()
        self.addCleanup(self.kill)

    # --- Calling it ---

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(PROGRAM)], stdout=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "SITES_DIR": str(self.folder / "data"), "PORT": "0",
                 "SIGNING_SECRET_FILE": str(self.folder / "secret")})
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        self.assertTrue(ready, "the server did not start")
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def http(self, method: str, path: str, body: bytes = b"", headers: Optional[dict[str, str]] = None) -> Any:
        """The status, the headers and the body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def signed(self, body: bytes, *, secret: bytes = SECRET, at: float = 0, id: str = "") -> dict[str, str]:
        self.sent += 1
        id, stamp = id or f"msg_{self.sent}", str(int(time.time() + at))
        digest = hmac.new(secret, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}

    def request(self, operation: str = "apply", **changes: Any) -> bytes:
        return json.dumps({
            "contract": CONTRACT, "operation": operation, "operation_id": "op/1",
            "tenant": {"id": "tnt_01", "name": "acme", "class": "site", "labels": {}, "annotations": {}},
            "generation": 1, "fence": 1, "desired": DESIRED, "running": True, "observed": None, "resources": [],
            "a_later_field": {}, **changes}).encode()

    def answers(self, body: bytes, **signing: Any) -> list[dict[str, Any]]:
        status, headers, text = self.http("POST", "/provision", body, self.signed(body, **signing))
        self.assertEqual((status, headers["content-type"]), (200, "application/x-ndjson"), text)
        return [json.loads(line) for line in text.splitlines()]

    def call(self, operation: str = "apply", **changes: Any) -> dict[str, Any]:
        *progress, final = self.answers(self.request(operation, **changes))
        self.assertEqual({line["result"] for line in progress} - {"progress"}, set())
        self.assertEqual((final["contract"], final["operation_id"]), (CONTRACT, "op/1"))
        return final

    def succeed(self, operation: str = "apply", **changes: Any) -> dict[str, Any]:
        final = self.call(operation, **changes)
        self.assertEqual(final["result"], "done", final)
        return final

    def fail_with(self, reason: str, permanent: bool, operation: str = "apply", **changes: Any) -> str:
        final = self.call(operation, **changes)
        self.assertEqual((final.get("reason"), final.get("permanent")), (reason, permanent), final)
        return str(final["message"])

    def files(self) -> set[str]:
        """What is in the folder, with the random part of a version's name left out."""
        return {f"{path.parent.name.split('.')[0]}/{path.name}" for path in (self.folder / "data").rglob("*")
                if path.is_file() and not any(part.is_symlink() for part in path.parents)}

    WHOLE = {"tnt_01/config.json", "tnt_01/index.html", "fences/tnt_01.json"}


class Signing(Provisioner):
    def refused(self, headers: dict[str, str], body: bytes = b"") -> None:
        status, _, text = self.http("POST", "/provision", body or self.request(), headers)
        self.assertEqual(status, 401, text)
        self.assertFalse(self.site.exists())

    def test_only_what_is_signed_with_a_known_secret_is_done(self) -> None:
        body = self.request()
        self.refused({})
        self.refused(self.signed(body, secret=b"x" * 32))
        self.refused(self.signed(b"{}"))
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            headers = self.signed(body)
            self.refused({key: value for key, value in headers.items() if key != name})
        for signature in ("v1,", "v1,AAAA", "v1a," + self.signed(body)["webhook-signature"][3:], "x" * 500):
            self.refused({**self.signed(body), "webhook-signature": signature})
        self.refused({**self.signed(body), "webhook-id": "another"})
        self.assertEqual(self.answers(body)[-1]["result"], "done")

    def test_while_secrets_are_replaced_both_are_good(self) -> None:
        body = self.request()
        self.assertEqual(self.answers(body, secret=OLD_SECRET)[-1]["result"], "done")
        headers = self.signed(body)
        headers["webhook-signature"] = f"v1a,AAAA v1,AAAA {headers['webhook-signature']}"
        self.assertEqual(self.http("POST", "/provision", body, headers)[0], 200)

    def test_what_is_old_or_from_the_future_is_refused(self) -> None:
        for at in (-320, 320):
            self.refused(self.signed(self.request(), at=at))
        for at in (-280, 280):
            self.answers(self.request(), at=at)

    def test_a_replay_hears_the_same_and_does_nothing(self) -> None:
        body = self.request()
        headers = self.signed(body, id="msg_once")
        first = self.http("POST", "/provision", body, headers)
        self.succeed("destroy", fence=2)
        again = self.http("POST", "/provision", body, headers)
        self.assertEqual((first[0], first[2]), (again[0], again[2]))
        self.assertIn(b'"created"', again[2])
        self.assertFalse(self.site.exists())
        other = self.request("destroy", fence=3)
        self.assertEqual(self.http("POST", "/provision", other, self.signed(other, id="msg_once"))[0], 409)

    def test_a_secret_that_is_none_stops_the_start(self) -> None:
        for text in ("", "whsec_c2hvcnQ=", base64.b64encode(SECRET).decode()):
            (self.folder / "secret").write_text(text)
            run = subprocess.run(["node", str(PROGRAM)], capture_output=True, text=True, timeout=30,
                                 env={"PATH": os.environ["PATH"], "SITES_DIR": str(self.folder / "data"), "PORT": "0",
                                      "SIGNING_SECRET_FILE": str(self.folder / "secret")})
            self.assertEqual(run.returncode, 1)
            self.assertIn("must hold whsec_", run.stderr)


class Applying(Provisioner):
    def test_apply_makes_a_site_that_is_served(self) -> None:
        final = self.succeed()
        self.assertEqual(final["observed"], {**DESIRED, "running": True})
        self.assertEqual(final["resources"], ["site:acme"])
        self.assertEqual(self.files(), self.WHOLE)
        status, headers, text = self.http("GET", "/sites/acme/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"<h1>Acme &#38; &#60;Sons&#62;</h1>", text)
        self.assertEqual(json.loads(self.http("GET", "/sites/acme/config.json")[2]), {**DESIRED, "running": True})
        self.assertEqual(self.http("GET", "/sites/acme")[1]["location"], "/sites/acme/")

    def test_steps_are_reported_as_they_go(self) -> None:
        steps = [[step["state"] for step in line["steps"]] for line in self.answers(self.request())[:-1]]
        self.assertEqual(steps[0], ["running", "pending", "pending"])
        self.assertEqual(steps[-1], ["done", "done", "skipped"])
        self.assertEqual(self.answers(self.request())[-2]["steps"][1], {"name": "publish", "state": "skipped"})

    def test_a_repeat_changes_nothing_and_a_change_replaces_the_whole(self) -> None:
        self.succeed()
        before = os.readlink(self.site)
        self.assertEqual(self.succeed(fence=2)["message"], "nothing to change")
        self.assertEqual(os.readlink(self.site), before)
        self.assertEqual(self.succeed(desired={**DESIRED, "theme": "dark"}, fence=2)["observed"]["theme"], "dark")
        self.assertNotEqual(os.readlink(self.site), before)
        self.assertEqual(self.files(), self.WHOLE)

    def test_a_suspended_site_answers_503_until_it_is_resumed(self) -> None:
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)
        status, _, text = self.http("GET", "/sites/acme/")
        self.assertEqual(status, 503)
        self.assertIn(b"suspended", text)
        self.assertEqual(self.http("GET", "/sites/acme/config.json")[0], 503)
        self.succeed()
        self.assertEqual(self.http("GET", "/sites/acme/")[0], 200)

    def test_nothing_else_is_served(self) -> None:
        self.succeed()
        for path in ("/", "/sites/", "/sites/none/", "/sites/acme/folder", "/sites/acme/owner", "/sites/acme/x/y", "//",
                     "/sites/../data/fences/tnt_01.json", "/sites/%2e%2e/", "/sites/acme/..%2f..",
                     "/sites/acme/toString"):
            self.assertEqual(self.http("GET", path)[0], 404, path)
        self.assertEqual(self.http("POST", "/sites/acme/")[0], 405)
        self.assertEqual(self.http("GET", "/provision")[0], 405)


class Observing(Provisioner):
    def test_a_file_edited_by_hand_is_drift_and_put_right(self) -> None:
        self.succeed()
        page, config = self.site / "index.html", self.site / "config.json"
        page.write_text(page.read_text().replace("<title>Acme", "<title>Evil"))
        observed = self.succeed("observe")["observed"]
        self.assertEqual((observed["title"], observed["theme"]), (None, "light"))
        page.write_text(page.read_text().replace("<li>search</li>", ""))
        self.assertEqual(self.succeed("observe")["observed"]["features"], dict.fromkeys(DESIRED["features"]))
        config.write_text(json.dumps({**DESIRED, "running": False}))
        self.assertIs(self.succeed("observe")["observed"]["running"], False)
        config.write_text("{broken")
        self.assertIsNone(self.succeed("observe")["observed"]["theme"])
        self.assertEqual(self.succeed()["observed"], {**DESIRED, "running": True})

    def test_a_lost_site_contradicts_what_is_wanted_and_is_made_again(self) -> None:
        self.succeed()
        self.site.unlink()
        final = self.succeed("observe")
        self.assertEqual(final["resources"], [])
        self.assertIs(final["observed"]["features"]["search"], False)
        self.assertEqual(self.succeed()["message"], "created")
        shutil.rmtree(self.site.resolve())
        self.assertIsNone(self.succeed("observe")["observed"]["title"])
        self.assertEqual(self.succeed()["observed"], {**DESIRED, "running": True})
        self.assertEqual(self.files(), self.WHOLE)

    def test_the_site_of_another_tenant_is_never_touched(self) -> None:
        self.succeed()
        other = {"id": "tnt_02", "name": "acme", "class": "site"}
        for operation in ("apply", "observe", "destroy"):
            self.assertIn("tnt_01", self.fail_with("WrongTenant", True, operation, tenant=other))
        self.assertEqual(self.succeed("observe")["observed"]["title"], DESIRED["title"])
        self.site.unlink()
        self.site.mkdir()
        self.fail_with("WrongTenant", True, "destroy")
        self.assertTrue(self.site.is_dir())


class Fencing(Provisioner):
    def test_destroy_leaves_nothing_and_nothing_brings_it_back(self) -> None:
        self.succeed(fence=4)
        self.assertEqual(self.succeed("destroy", fence=5)["message"], "removed")
        self.assertEqual(self.succeed("destroy", fence=5)["message"], "was gone already")
        for fence in (4, 5):
            self.assertIn("destroyed under fence 5", self.fail_with("StaleFence", False, fence=fence))
        self.assertEqual(self.files(), {"fences/tnt_01.json"})
        self.assertEqual(self.http("GET", "/sites/acme/")[0], 404)

    def test_an_older_fence_is_refused_also_by_the_next_process(self) -> None:
        self.succeed(fence=5)
        self.kill()
        self.start()
        self.fail_with("StaleFence", False, fence=4, desired={**DESIRED, "title": "late"})
        self.fail_with("StaleFence", False, "destroy", fence=4)
        self.assertEqual(self.succeed("observe")["observed"]["title"], DESIRED["title"])

    def test_of_many_at_once_the_newest_wins(self) -> None:
        finals: dict[int, dict[str, Any]] = {}

        def run(fence: int) -> None:
            finals[fence] = self.call(fence=fence, desired={**DESIRED, "title": str(fence)})

        threads = [threading.Thread(target=run, args=(fence,)) for fence in (5, 8, 3, 1, 7, 2, 6, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({final.get("reason") for final in finals.values()} - {None, "StaleFence"}, set())
        self.assertEqual(self.succeed("observe")["observed"]["title"], "8")
        self.assertEqual(self.files(), self.WHOLE)


class Stopping(Provisioner):
    def test_a_kill_at_any_moment_leaves_the_old_or_the_new(self) -> None:
        self.succeed()
        for attempt in range(1, 16):
            title = str(attempt)
            body = self.request(desired={**DESIRED, "title": title})
            with socket.create_connection(("127.0.0.1", self.port)) as client:
                head = {"host": "x", "content-length": str(len(body)), **self.signed(body)}
                lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
                client.sendall(f"POST /provision HTTP/1.1\r\n{lines}\r\n".encode() + body)
                time.sleep(random.random() * 0.02)
                self.kill()
            self.start()
            observed = self.succeed("observe")["observed"]
            self.assertIn(observed["title"], (DESIRED["title"], str(attempt - 1), title))
            self.assertEqual(self.succeed(desired={**DESIRED, "title": title})["observed"]["title"], title)
            self.assertEqual(self.files(), self.WHOLE)

    def test_sigterm_lets_the_answer_under_way_end(self) -> None:
        body = self.request()
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            head = {"host": "x", "content-length": str(len(body)), "connection": "close", "expect": "100-continue",
                    **self.signed(body)}
            lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
            client.sendall(f"POST /provision HTTP/1.1\r\n{lines}\r\n".encode())
            self.assertIn(b"100 Continue", client.recv(1000))  # The server has begun with it.
            self.process.send_signal(signal.SIGTERM)
            client.sendall(body)
            text = b"".join(iter(lambda: client.recv(65536), b""))
        self.assertIn(b'"result":"done"', text)
        self.assertEqual(self.process.wait(20), 0)


class Refusing(Provisioner):
    def test_a_body_that_is_too_large_is_refused(self) -> None:
        body = b" " * ((1 << 20) + 1)
        status = self.http("POST", "/provision", body, self.signed(body))[0]
        self.assertEqual(status, 413)
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:  # It says no length, has no end.
            client.sendall(b"POST /provision HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            client.sendall(b"200000\r\n" + body)
            self.assertIn(b" 413 ", client.recv(1000))

    def test_what_breaks_the_contract_is_refused_by_field(self) -> None:
        self.assertEqual(self.answers(b"garbage")[-1]["reason"], "InvalidRequest")
        self.assertEqual(self.answers(b"[]")[-1]["reason"], "UnsupportedContract")
        self.fail_with("UnsupportedContract", True, contract="tenure.provisioner/v2")
        tenant = {"id": "tnt_01", "name": "acme", "class": "site"}
        for field, changes in {
            "/operation": {"operation": "toString"}, "/fence": {"fence": 2**60}, "/running": {"running": 1},
            "/desired": {"desired": []}, "/tenant/id": {"tenant": {**tenant, "id": "tnt_../x"}},
            "/tenant/name": {"tenant": {**tenant, "name": "../../etc"}},
        }.items():
            self.assertIn(field, self.fail_with("InvalidRequest", True, **changes))
        self.assertEqual(self.files(), set())

    def test_desired_that_cannot_be_is_refused_by_field_and_never_by_value(self) -> None:
        for field, part in {
            "/title must": {"title": ""}, "/theme must": {"theme": "s3cr3t"}, "/colour is not": {"colour": "s3cr3t"},
            "/features must": {"features": {"search": True}}, "true or false": {"features": None},
        }.items():
            message = self.fail_with("InvalidDesired", True, desired={**DESIRED, **part})
            self.assertIn(field, message)
            self.assertNotIn("s3cr3t", message)
        self.assertEqual(self.files(), set())


if __name__ == "__main__":
    unittest.main()
