"""Runs provision.py as worker.py does, as a program of its own, and delivers mail to what it made.

    python3 -m unittest discover examples/pull-worker
"""

from __future__ import annotations

import fcntl
import json
import mailbox
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("provision.py")
CONTRACT = "tenure.provisioner/v1"
DESIRED: dict[str, Any] = {"quota_mb": 50, "messages": 1000, "aliases": ["sales", "info"]}
OBSERVED = {**DESIRED, "running": True, "stored": 0}


class Provisioner(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.box = self.folder / "boxes/acme"

    def request(self, operation: str = "apply", **changes: Any) -> bytes:
        return json.dumps({
            "contract": CONTRACT, "operation": operation, "operation_id": "op/1",
            "tenant": {"id": "tnt_01", "name": "acme", "class": "mailbox", "labels": {}}, "generation": 1, "fence": 1,
            "desired": DESIRED, "running": True, "observed": None, "resources": [], "a_later_field": 1,
            **changes}).encode()

    def start(self, stdin: bytes) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            return subprocess.Popen([sys.executable, str(PROGRAM)], stdin=file, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE,
                                    env={"PATH": os.environ["PATH"], "MAIL_DIR": str(self.folder)})

    def answers(self, process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stderr), (0, b""))
        return [json.loads(line) for line in stdout.splitlines()]

    def call(self, operation: str = "apply", **changes: Any) -> dict[str, Any]:
        *progress, final = self.answers(self.start(self.request(operation, **changes)))
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

    def delivers(self) -> bool:
        """Delivers a message, as a user that file modes bind: root would get in anywhere."""
        if os.getuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, 65534, 65534)
        child = os.fork()
        if child == 0:
            try:
                if os.getuid() == 0:
                    os.setuid(65534)
                mailbox.Maildir(str(self.box), create=False).add(b"Subject: hello\n\nhello\n")
                os._exit(0)
            except PermissionError:
                os._exit(1)
            finally:
                os._exit(2)
        status = os.WEXITSTATUS(os.waitpid(child, 0)[1])
        self.assertIn(status, (0, 1))
        return status == 0


class Applying(Provisioner):
    def test_apply_makes_a_mailbox_that_takes_mail(self) -> None:
        final = self.succeed()
        self.assertEqual((final["observed"], final["resources"]), (OBSERVED, ["maildir:acme"]))
        self.assertTrue(self.delivers())
        self.assertEqual(self.succeed("observe")["observed"]["stored"], 1)
        self.assertEqual((self.box / "maildirsize").read_text().split("\n")[0], "52428800S,1000C")
        lines = (self.box / "aliases").read_text().split("\n")
        self.assertEqual(lines, ["sales@acme.mail.example acme", "info@acme.mail.example acme", ""])

    def test_steps_are_reported_as_they_go(self) -> None:
        states = [[step["state"] for step in line["steps"]]
                  for line in self.answers(self.start(self.request()))[:-1]]
        self.assertEqual((states[0], states[-1]), (["running"] + ["pending"] * 3, ["done"] * 4))

    def test_a_repeat_changes_nothing_and_a_change_keeps_the_messages(self) -> None:
        self.succeed()
        self.delivers()
        self.assertEqual(self.succeed(fence=2)["message"], "nothing to change")
        desired = {"quota_mb": 1, "messages": 5, "aliases": []}
        self.assertEqual(self.succeed(desired=desired, fence=2)["observed"], {**desired, "running": True, "stored": 1})
        self.assertEqual((self.box / "maildirsize").read_text(), "1048576S,5C\n22 1\n")
        self.assertEqual(len(mailbox.Maildir(str(self.box))), 1)

    def test_a_suspended_mailbox_takes_no_mail_and_keeps_what_it_has(self) -> None:
        self.succeed()
        self.assertTrue(self.delivers())
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)
        self.assertFalse(self.delivers())
        self.assertEqual(self.succeed()["observed"], {**OBSERVED, "stored": 1})
        self.assertTrue(self.delivers())


class Observing(Provisioner):
    def test_what_a_hand_changed_is_seen_and_put_right(self) -> None:
        self.succeed()
        (self.box / "maildirsize").write_text("5242880S,9C\n0 0\n")
        (self.box / "aliases").write_text("info@acme.mail.example acme\nboss@elsewhere acme\n")
        (self.box / "new").chmod(0o500)
        observed = self.succeed("observe")["observed"]
        self.assertEqual((observed["quota_mb"], observed["messages"], observed["running"]), (5, 9, None))
        self.assertEqual(observed["aliases"], ["info", "boss@elsewhere acme"])
        self.assertEqual(self.succeed()["observed"], OBSERVED)

    def test_a_quota_that_is_none_and_a_folder_that_is_gone_are_not_in_force(self) -> None:
        self.succeed()
        (self.box / "maildirsize").write_text("plenty")
        self.assertIsNone(self.succeed("observe")["observed"]["quota_mb"])
        self.succeed()
        shutil.rmtree(self.box / "new")
        observed = self.succeed("observe")["observed"]
        self.assertEqual((observed["quota_mb"], observed["running"]), (None, None))
        self.assertEqual(self.succeed()["observed"], OBSERVED)

    def test_a_lost_mailbox_contradicts_what_is_wanted_and_is_made_again(self) -> None:
        self.succeed()
        shutil.rmtree(self.box)
        final = self.succeed("observe")
        self.assertEqual((final["observed"]["quota_mb"], final["observed"]["aliases"], final["resources"]), (0, [], []))
        self.assertEqual(self.succeed()["observed"], OBSERVED)

    def test_the_mailbox_of_another_is_never_touched(self) -> None:
        self.succeed()
        other = {"id": "tnt_02", "name": "acme", "class": "mailbox"}
        for operation in ("apply", "observe", "destroy"):
            self.assertIn("tnt_01", self.fail_with("WrongTenant", True, operation, tenant=other))
        self.assertEqual(self.succeed("observe")["observed"], OBSERVED)


class Fencing(Provisioner):
    def test_destroy_leaves_nothing_and_nothing_brings_it_back(self) -> None:
        self.succeed(fence=4, running=False)
        self.assertEqual(self.succeed("destroy", fence=5)["message"], "removed")
        self.assertEqual(self.succeed("destroy", fence=5)["message"], "was gone already")
        for fence in (4, 5):
            self.assertIn("destroyed under fence 5", self.fail_with("StaleFence", False, fence=fence))
        self.assertEqual(list((self.folder / "boxes").iterdir()), [])

    def test_an_older_fence_is_refused_and_changes_nothing(self) -> None:
        self.succeed(fence=5)
        self.assertIn("under fence 5", self.fail_with("StaleFence", False, fence=4, desired={**DESIRED, "quota_mb": 1}))
        self.fail_with("StaleFence", False, "destroy", fence=4)
        self.assertEqual(self.succeed("observe")["observed"], OBSERVED)

    def test_of_many_at_once_the_newest_wins(self) -> None:
        processes = {fence: self.start(self.request(fence=fence, desired={**DESIRED, "quota_mb": fence}))
                     for fence in (5, 8, 3, 1, 7, 2, 6, 4)}
        finals = {fence: self.answers(process)[-1] for fence, process in processes.items()}
        self.assertEqual({final.get("reason") for final in finals.values()} - {None, "StaleFence"}, set())
        self.assertEqual(self.succeed("observe")["observed"]["quota_mb"], 8)

    def test_a_turn_lasts_until_the_work_is_done(self) -> None:
        self.succeed()
        with (self.folder / "fences/tnt_01.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = self.start(self.request("destroy", fence=2))
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(0.5)
            self.assertTrue(self.box.exists())
        self.assertEqual(self.answers(process)[-1]["message"], "removed")

    def test_a_kill_at_any_moment_leaves_what_can_be_finished(self) -> None:
        for operation in ("apply", "destroy") * 8:
            shutil.rmtree(self.folder / "fences", ignore_errors=True)
            if operation == "destroy":
                self.succeed(running=False)
                shutil.rmtree(self.folder / "fences")
            process = self.start(self.request(operation))
            while not (self.folder / "fences").exists() and process.poll() is None:
                pass  # Python takes far longer to start than the program to work.
            time.sleep(random.random() * 0.03)
            process.kill()
            process.communicate()
            final = self.succeed(operation)
            self.assertEqual(final["observed"], OBSERVED if operation == "apply" else {})
            names = ["acme"] if operation == "apply" else []
            self.assertEqual([path.name for path in (self.folder / "boxes").iterdir()], names)


class Refusing(Provisioner):
    def test_input_that_breaks_the_contract_is_refused(self) -> None:
        for stdin in (b"", b"garbage", b"[" * 100_000, b"{} {}"):
            self.assertEqual(self.answers(self.start(stdin))[-1]["reason"], "InvalidRequest")
        self.fail_with("UnsupportedContract", True, contract="tenure.provisioner/v2")
        tenant = {"id": "tnt_01", "name": "acme"}
        for field, changes in {
            "/operation": {"operation": "reboot"}, "/fence": {"fence": True}, "/running": {"running": 1},
            "/desired": {"desired": []}, "/tenant/id": {"tenant": {**tenant, "id": "tnt_../x"}},
            "/tenant/name": {"tenant": {**tenant, "name": "../../etc"}},
        }.items():
            self.assertIn(field, self.fail_with("InvalidRequest", True, **changes))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_desired_that_cannot_be_is_refused_by_field_and_never_by_value(self) -> None:
        for field, part in {
            "/quota_mb must": {"quota_mb": "s3cr3t"}, "/messages must": {"messages": True},
            "/aliases must": {"aliases": ["a\nroot"]}, "/colour is not": {"colour": "s3cr3t"},
        }.items():
            message = self.fail_with("InvalidDesired", True, desired={**DESIRED, **part})
            self.assertIn(field, message)
            self.assertNotIn("s3cr3t", message)
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
