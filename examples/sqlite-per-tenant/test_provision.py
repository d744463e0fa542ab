"""Runs provision.py as Tenure does, as a program of its own, through all that may happen to it.

    python3 -m unittest discover examples/sqlite-per-tenant
"""

from __future__ import annotations

import copy
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("provision.py")
CONTRACT = "tenure.provisioner/v1"

SHARED: dict[str, Any] = {
    "plan": "team",
    "seats": 3,
    "storage_mb": 1,
    "locale": "en-GB",
    "timezone": "Europe/London",
    "currency": "GBP",
    "features": {"time_tracking": True, "client_portal": False},
}
DEDICATED: dict[str, Any] = {
    **SHARED,
    "plan": "enterprise",
    "features": {"time_tracking": True, "client_portal": True, "audit_export": True},
    "region": "eu-central-1",
    "retention_days": 365,
    "sso": {"protocol": "oidc", "issuer": "https://login.acme.example", "enforced": True},
    "limits": {"projects": 2, "requests_per_minute": 600},
}


class Provisioner(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "acme-tnt_01.db"

    # --- Calling it ---

    def request(self, operation: str = "apply", **changes: Any) -> dict[str, Any]:
        return {
            "contract": CONTRACT,
            "operation": operation,
            "operation_id": "tnt_01/1/1",
            "tenant": {"id": "tnt_01", "name": "acme", "class": "shared", "labels": {}, "annotations": {}},
            "generation": 1,
            "fence": 1,
            "desired": SHARED,
            "running": True,
            "observed": None,
            "resources": [],
            **changes,
        }

    def start(self, stdin: bytes) -> subprocess.Popen[bytes]:
        """Starts the program with its input already there, so it never waits for this test."""
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            return subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                env={"PATH": os.environ["PATH"], "TENANTS_DIR": str(self.folder)},
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def answer_to(self, stdin: bytes) -> dict[str, Any]:
        return self.answer_of(self.start(stdin))

    def answer_of(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stderr), (0, b""))
        answers: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines()]
        *progress, final = answers
        for line in progress:
            self.assertEqual(line["result"], "progress")
        self.assertEqual(final["contract"], CONTRACT)
        self.assertIn(final["result"], ("done", "failed"))
        return final

    def call(self, operation: str = "apply", **changes: Any) -> dict[str, Any]:
        final = self.answer_to(json.dumps(self.request(operation, **changes)).encode())
        self.assertEqual(final["operation_id"], "tnt_01/1/1")
        return final

    def succeed(self, operation: str = "apply", **changes: Any) -> dict[str, Any]:
        final = self.call(operation, **changes)
        self.assertEqual(final["result"], "done", final)
        return final

    def fail_with(self, reason: str, permanent: bool, operation: str = "apply", **changes: Any) -> str:
        final = self.call(operation, **changes)
        self.assertEqual((final["result"], final.get("reason")), ("failed", reason), final)
        self.assertEqual(final["permanent"], permanent)
        return str(final["message"])

    # --- Looking at what it made ---

    def forget(self) -> None:
        """Removes all there is, the memory of fences too, as if the tenant had never been."""
        for file in [*self.folder.glob("fences/*"), *self.folder.glob("*.*")]:
            file.unlink()

    def sql(self, *statements: str) -> list[Any]:
        """Runs statements on the tenant's database as its application would; answers the last one."""
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA foreign_keys = ON")
            rows: list[Any] = []
            for statement in statements:
                rows = db.execute(statement).fetchall()
            return rows

    def assert_refused(self, message: str, statement: str) -> None:
        with self.assertRaisesRegex(sqlite3.IntegrityError, message):
            self.sql(statement)

    def setting(self, key: str) -> Any:
        return json.loads(self.sql(f"SELECT value FROM settings WHERE key = '{key}'")[0][0])

    def assert_no_seat_is_free(self) -> None:
        self.assert_refused(
            "all seats are taken",
            "INSERT INTO accounts (email, display_name) VALUES ('zoe@acme.example', 'zoe')",
        )

    def add_accounts(self, *names: str) -> None:
        for name in names:
            self.sql(f"INSERT INTO accounts (email, display_name) VALUES ('{name}@acme.example', '{name}')")


class Applying(Provisioner):
    def test_apply_makes_a_whole_database_and_reports_what_is_in_it(self) -> None:
        final = self.succeed()
        self.assertEqual(final["observed"], {**SHARED, "running": True, "schema_version": 1})
        self.assertEqual(final["resources"], ["sqlite:acme-tnt_01.db"])
        self.assertEqual(self.setting("/features/time_tracking"), True)
        self.assertEqual(self.sql("PRAGMA integrity_check"), [("ok",)])
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["acme-tnt_01.db", "fences"])

    def test_a_dedicated_tenant_has_more_settings(self) -> None:
        tenant = {"id": "tnt_01", "name": "acme", "class": "dedicated"}
        final = self.succeed(tenant=tenant, desired=DEDICATED)
        self.assertEqual(final["observed"], {**DEDICATED, "running": True, "schema_version": 1})

    def test_a_repeat_changes_no_byte(self) -> None:
        self.succeed()
        before = self.path.read_bytes()
        self.assertEqual(self.succeed()["message"], "nothing to change")
        self.succeed(fence=2)
        self.assertEqual(self.path.read_bytes(), before)

    def test_a_new_generation_changes_settings_and_keeps_the_data(self) -> None:
        self.succeed()
        self.add_accounts("ada")
        desired = {**SHARED, "plan": "business", "seats": 7}
        final = self.succeed(desired=desired, generation=2)
        self.assertEqual(final["observed"]["seats"], 7)
        self.assertEqual(final["message"], "changed /plan, /seats")
        self.assertEqual((self.setting("/plan"), self.setting("/seats")), ("business", 7))
        self.assertEqual(self.sql("SELECT email FROM accounts"), [("ada@acme.example",)])

    def test_a_name_that_is_used_again_gets_a_database_of_its_own(self) -> None:
        self.succeed()
        self.succeed(tenant={"id": "tnt_02", "name": "acme", "class": "shared"})
        self.assertEqual(len(list(self.folder.glob("acme-*.db"))), 2)

    def test_suspension_stops_writers_and_can_be_undone(self) -> None:
        self.succeed()
        self.add_accounts("ada")
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o440)
        for statement in (
            "INSERT INTO projects (name) VALUES ('apollo')",
            "UPDATE accounts SET display_name = 'Ada'",
            "DELETE FROM accounts",
        ):
            with self.assertRaises(sqlite3.Error):
                self.sql(statement)
        self.path.chmod(0o640)  # Even one that gets past the mode is refused by the database.
        self.assert_refused("the tenant is suspended", "DELETE FROM accounts")
        self.path.chmod(0o440)
        self.assertEqual(self.succeed(running=False)["message"], "nothing to change")

        self.assertIs(self.succeed(running=True)["observed"]["running"], True)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)
        self.add_accounts("bo")
        self.assertEqual(self.sql("SELECT count(*) FROM accounts"), [(2,)])

    def test_a_tenant_can_be_created_suspended(self) -> None:
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o440)

    def test_a_journal_of_an_earlier_file_does_not_spoil_a_new_one(self) -> None:
        self.succeed()
        self.add_accounts("ada")
        # A transaction that stops half-way: it has written pages and leaves a journal to undo them.
        writer = "import os, sqlite3, sys\n" + (
            "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "db.execute('PRAGMA cache_size = 1')\n"
            "db.execute('BEGIN')\n"
            "db.execute('DELETE FROM accounts')\n"
            "db.execute('CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " WHERE i < 5000) SELECT i, zeroblob(100) FROM n')\n"
            "os._exit(0)\n"
        )
        subprocess.run([sys.executable, "-c", writer, str(self.path)], check=True)
        journal = self.path.with_name(self.path.name + "-journal")
        self.assertTrue(journal.exists())
        self.path.unlink()
        self.succeed()
        self.assertFalse(journal.exists())
        self.assertEqual(self.sql("PRAGMA integrity_check"), [("ok",)])
        self.assertEqual(self.sql("SELECT * FROM accounts"), [])


    def test_a_draft_that_a_crash_left_is_thrown_away(self) -> None:
        draft = self.path.with_name(".acme-tnt_01.db.new")
        draft.write_bytes(b"half a database")
        self.succeed()
        draft.write_bytes(b"half a database")
        self.succeed("destroy")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["fences"])


class Quotas(Provisioner):
    def test_one_account_more_than_seats_is_refused(self) -> None:
        self.succeed()
        self.add_accounts("ada", "bo", "cy")
        self.assert_no_seat_is_free()
        self.sql("DELETE FROM accounts WHERE display_name = 'bo'")
        self.add_accounts("di")

    def test_files_beyond_the_storage_are_refused(self) -> None:
        self.succeed()
        self.sql(
            "INSERT INTO projects (id, name) VALUES (1, 'apollo')",
            "INSERT INTO files (project_id, path, content) VALUES (1, 'half', zeroblob(524288))",
        )
        self.assert_refused(
            "the storage is full",
            "INSERT INTO files (project_id, path, content) VALUES (1, 'rest', zeroblob(524289))",
        )
        self.assert_refused("the storage is full", "UPDATE files SET content = zeroblob(1048577)")
        self.sql("UPDATE files SET content = zeroblob(1048576)")

    def test_a_limit_of_projects_is_enforced_where_the_class_has_one(self) -> None:
        self.succeed(tenant={"id": "tnt_01", "name": "acme", "class": "dedicated"}, desired=DEDICATED)
        self.sql("INSERT INTO projects (name) VALUES ('apollo'), ('gemini')")
        self.assert_refused("no more projects are allowed", "INSERT INTO projects (name) VALUES ('vostok')")


class Observing(Provisioner):
    def test_observe_changes_nothing_and_matches_what_was_applied(self) -> None:
        applied = self.succeed()["observed"]
        before = self.path.read_bytes()
        self.assertEqual(self.succeed("observe")["observed"], applied)
        self.assertEqual(self.path.read_bytes(), before)

    def test_a_setting_changed_by_hand_is_seen_and_repaired(self) -> None:
        self.succeed()
        self.sql(
            "UPDATE settings SET value = '500' WHERE key = '/seats'",
            "UPDATE settings SET value = 'rubbish' WHERE key = '/plan'",
            "UPDATE settings SET value = 'NaN' WHERE key = '/storage_mb'",
            "UPDATE settings SET value = x'ff' WHERE key = '/locale'",
            "DELETE FROM settings WHERE key = '/features/client_portal'",
            "INSERT INTO settings VALUES ('/extra', 'true')",
        )
        observed = self.succeed("observe")["observed"]
        self.assertEqual((observed["seats"], observed["plan"]), (500, "rubbish"))
        self.assertEqual((observed["storage_mb"], observed["locale"]), ("NaN", "b'\\xff'"))
        self.assertIsNone(observed["features"]["client_portal"])
        self.assertEqual(self.succeed()["observed"], {**SHARED, "running": True, "schema_version": 1})
        self.assertEqual(self.sql("SELECT * FROM settings WHERE key = '/extra'"), [])

    def test_a_quota_that_nothing_enforces_is_not_reported(self) -> None:
        self.succeed()
        self.sql("DROP TRIGGER accounts_seats", "DROP TRIGGER files_storage", "DROP INDEX files_by_bytes")
        final = self.succeed("observe")
        self.assertEqual((final["observed"]["seats"], final["observed"]["storage_mb"]), (None, None))
        for name in ("files_by_bytes", "accounts_seats", "files_storage"):
            self.assertIn(name, final["message"])
        self.assertEqual(self.succeed()["observed"]["seats"], 3)
        self.add_accounts("ada", "bo", "cy")
        self.assert_no_seat_is_free()

    def test_a_suspension_lifted_by_hand_is_seen(self) -> None:
        self.succeed(running=False)
        self.path.chmod(0o640)
        self.assertIsNone(self.succeed("observe", running=False)["observed"]["running"])
        self.sql("UPDATE meta SET value = 'true' WHERE key = 'running'")
        self.assertIs(self.succeed("observe", running=False)["observed"]["running"], True)
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)

    def test_a_missing_file_contradicts_all_of_desired_and_is_made_again(self) -> None:
        self.succeed()
        self.path.unlink()
        final = self.succeed("observe")
        self.assertEqual(final["resources"], [])
        self.assertIsNone(final["observed"]["plan"])
        self.assertEqual(final["observed"]["features"], {"time_tracking": None, "client_portal": None})
        self.assertEqual(self.succeed()["observed"]["plan"], "team")

    def test_a_lost_table_is_reported_and_never_replaced_by_an_empty_one(self) -> None:
        self.succeed()
        self.sql("DROP TABLE invoices")
        self.assertIsNone(self.succeed("observe")["observed"]["plan"])
        self.assertIn("invoices", self.fail_with("SchemaChanged", True))
        self.assertEqual(self.sql("SELECT * FROM sqlite_master WHERE name = 'invoices'"), [])

    def test_a_failed_apply_leaves_the_mode_as_it_was(self) -> None:
        self.succeed()
        self.sql("DROP TABLE invoices")
        self.path.chmod(0o440)
        self.fail_with("SchemaChanged", True)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o440)

    def test_the_database_of_another_tenant_is_recognised(self) -> None:
        self.succeed()
        other = {"id": "tnt_02", "name": "acme", "class": "shared"}
        self.path.rename(self.folder / "acme-tnt_02.db")
        self.assertIsNone(self.succeed("observe", tenant=other)["observed"]["plan"])
        self.assertIn("tnt_01", self.fail_with("WrongTenant", True, tenant=other))

    def test_a_newer_schema_is_left_alone(self) -> None:
        self.succeed()
        self.sql("PRAGMA user_version = 2")
        self.assertEqual(self.succeed("observe")["observed"]["schema_version"], 2)
        self.fail_with("UnknownSchema", True)

    def test_a_file_that_is_no_database_is_reported_and_kept(self) -> None:
        self.succeed()
        self.path.write_bytes(b"not a database " * 100)
        self.fail_with("DatabaseUnreadable", True, "observe")
        self.fail_with("DatabaseUnreadable", True)
        self.assertTrue(self.path.exists())


class Destroying(Provisioner):
    def test_destroy_removes_the_file_and_may_be_repeated(self) -> None:
        self.succeed()
        final = self.succeed("destroy")
        self.assertEqual((final["observed"], final["resources"], final["message"]), ({}, [], "removed"))
        self.assertEqual(self.succeed("destroy")["message"], "was gone already")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["fences"])

    def test_destroy_needs_neither_a_file_nor_a_class_it_knows(self) -> None:
        tenant = {"id": "tnt_01", "name": "acme", "class": "retired"}
        self.succeed("destroy", tenant=tenant, desired={"of": "long ago"})


class Fencing(Provisioner):
    def test_an_older_fence_is_refused_and_changes_nothing(self) -> None:
        self.succeed(fence=5)
        before = self.path.read_bytes()
        message = self.fail_with("StaleFence", False, fence=4, desired={**SHARED, "seats": 9})
        self.assertIn("changed under fence 5", message)
        self.fail_with("StaleFence", False, "destroy", fence=4)
        self.assertEqual(self.path.read_bytes(), before)

    def test_nothing_brings_a_destroyed_tenant_back(self) -> None:
        self.succeed(fence=4)
        self.succeed("destroy", fence=5)
        for fence in (3, 4, 5):
            self.assertIn("destroyed under fence 5", self.fail_with("StaleFence", False, fence=fence))
        self.assertFalse(self.path.exists())

    def test_a_destroy_that_comes_before_anything_else_is_remembered(self) -> None:
        self.succeed("destroy", fence=2)
        self.fail_with("StaleFence", False, fence=1)

    def test_an_operation_waits_for_the_one_that_runs(self) -> None:
        self.succeed()
        with closing(sqlite3.connect(self.folder / "fences" / "tnt_01.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            process = self.start(json.dumps(self.request("destroy")).encode())
            time.sleep(0.5)
            self.assertIsNone(process.poll())
            self.assertTrue(self.path.exists())
            other.execute("ROLLBACK")
        self.assertEqual(self.answer_of(process)["result"], "done")

    def test_the_turn_lasts_until_the_work_is_done(self) -> None:
        self.succeed()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as application:
            application.execute("BEGIN IMMEDIATE")  # Holds the apply up, with its turn already taken.
            apply = self.start(json.dumps(self.request(desired={**SHARED, "seats": 9})).encode())
            time.sleep(0.5)
            destroy = self.start(json.dumps(self.request("destroy", fence=2)).encode())
            time.sleep(0.5)
            self.assertTrue(self.path.exists())
            application.execute("ROLLBACK")
        self.assertEqual(self.answer_of(apply)["observed"]["seats"], 9)
        self.assertEqual(self.answer_of(destroy)["message"], "removed")

    def test_of_many_at_once_the_newest_wins(self) -> None:
        for _ in range(3):
            processes = {}
            for fence in (8, 3, 5, 1, 7, 2, 6, 4):
                request = self.request(fence=fence, desired={**SHARED, "seats": fence})
                processes[fence] = self.start(json.dumps(request).encode())
            answers = {fence: self.answer_of(process) for fence, process in processes.items()}
            for answer in answers.values():
                self.assertIn(answer.get("reason"), (None, "StaleFence"), answer)
            self.assertEqual(answers[8]["observed"]["seats"], 8)
            self.assertEqual(self.setting("/seats"), 8)
            self.forget()

    def test_a_destroy_among_older_applies_leaves_no_file(self) -> None:
        for _ in range(3):
            requests = [self.request(fence=fence) for fence in range(1, 7)]
            requests.insert(3, self.request("destroy", fence=7))
            for process in [self.start(json.dumps(request).encode()) for request in requests]:
                self.assertIn(self.answer_of(process).get("reason"), (None, "StaleFence"))
            self.assertFalse(self.path.exists())
            self.forget()


class Crashing(Provisioner):
    KILLS = 40

    def kill_at_every_moment(
        self, prepare: Callable[[], object], request: dict[str, Any], check: Callable[[], None]
    ) -> None:
        """Kills the program ever later, from when it takes its turn to its end, and checks what it left."""
        stdin = json.dumps(request).encode()
        prepare()
        process = self.start_and_wait_for_its_turn(stdin)
        begin = time.monotonic()
        self.answer_of(process)
        duration = time.monotonic() - begin
        killed = 0
        for i in range(self.KILLS):
            prepare()
            process = self.start_and_wait_for_its_turn(stdin)
            time.sleep(duration * i / self.KILLS)
            process.kill()
            process.communicate()
            killed += process.returncode != 0
            check()
        self.assertGreater(killed, 0)

    def start_and_wait_for_its_turn(self, stdin: bytes) -> subprocess.Popen[bytes]:
        """Python needs far longer to start than the program to work, and a kill then would tell nothing."""
        journal = self.folder / "fences" / "tnt_01.db-journal"
        process = self.start(stdin)
        while not journal.exists() and process.poll() is None:
            pass
        return process

    def test_a_killed_creation_leaves_a_whole_file_or_none(self) -> None:
        def check() -> None:
            if self.path.exists():
                self.assertEqual(self.sql("PRAGMA integrity_check"), [("ok",)])
                self.assertEqual(self.setting("/seats"), 3)
            final = self.succeed()
            self.assertEqual(final["observed"], {**SHARED, "running": True, "schema_version": 1})
            self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["acme-tnt_01.db", "fences"])

        self.kill_at_every_moment(self.forget, self.request(), check)

    def test_a_killed_change_is_made_wholly_or_not_at_all(self) -> None:
        other = {**SHARED, "seats": 9, "storage_mb": 9, "plan": "business"}

        def check() -> None:
            observed = self.succeed("observe")["observed"]
            (running,) = self.sql("SELECT value FROM meta WHERE key = 'running'")[0]
            seen = (observed["seats"], observed["storage_mb"], observed["plan"], running)
            self.assertIn(seen, ((3, 1, "team", "true"), (9, 9, "business", "false")))
            self.assertIs(self.succeed(desired=other, running=False)["observed"]["running"], False)

        def prepare() -> None:
            self.forget()
            self.succeed()

        self.kill_at_every_moment(prepare, self.request(desired=other, running=False), check)

    def test_a_killed_destroy_can_be_finished_and_not_undone(self) -> None:
        def prepare() -> None:
            self.forget()
            self.succeed()

        def check() -> None:
            if not self.path.exists():
                self.fail_with("StaleFence", False)
            self.succeed("destroy", fence=2)
            self.assertEqual([p.name for p in self.folder.iterdir()], ["fences"])

        self.kill_at_every_moment(prepare, self.request("destroy", fence=2), check)


class Refusing(Provisioner):
    def test_input_that_is_not_json_is_refused(self) -> None:
        for stdin in (b"", b"garbage", b"\xff\xfe", b"[" * 100_000, b"{} {}"):
            final = self.answer_to(stdin)
            self.assertEqual((final["reason"], final["permanent"]), ("InvalidRequest", True), stdin[:10])

    def test_an_unknown_contract_is_refused(self) -> None:
        self.fail_with("UnsupportedContract", True, contract="tenure.provisioner/v2")
        self.assertEqual(self.answer_to(b"[]")["reason"], "UnsupportedContract")

    def test_a_request_that_breaks_the_contract_is_refused_by_field(self) -> None:
        tenant = self.request()["tenant"]
        broken: dict[str, dict[str, Any]] = {
            "/operation ": {"operation": "reboot"},
            "/fence ": {"fence": "1"},
            "/running ": {"running": 1},
            "/desired ": {"desired": []},
            "/tenant ": {"tenant": None},
            "/tenant/name ": {"tenant": {**tenant, "name": "../../etc/acme"}},
            "/tenant/id ": {"tenant": {**tenant, "id": "tnt_../x"}},
            "/tenant/class ": {"tenant": {"id": "tnt_01", "name": "acme"}},
        }
        for field, changes in broken.items():
            with self.subTest(field):
                self.assertIn(field, self.fail_with("InvalidRequest", True, **changes))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_fields_of_a_later_contract_are_tolerated(self) -> None:
        tenant = {**self.request()["tenant"], "parent": "tnt_00"}
        self.succeed(tenant=tenant, deadline_ms=30_000)

    def test_an_unknown_class_is_refused(self) -> None:
        tenant = {"id": "tnt_01", "name": "acme", "class": "gold"}
        message = self.fail_with("UnknownClass", True, tenant=tenant)
        self.assertIn("shared, dedicated", message)

    def test_desired_that_cannot_be_is_refused_by_field_and_nothing_is_made(self) -> None:
        def without(key: str) -> dict[str, Any]:
            return {k: v for k, v in SHARED.items() if k != key}

        nested = copy.deepcopy(SHARED)
        nested["features"]["client_portal"] = "yes"
        for expected, desired in {
            "/seats is missing": without("seats"),
            "/plan is missing": without("plan"),
            "/seats must be a whole number from 1 to 250": {**SHARED, "seats": "many"},
            "/storage_mb must be a whole number": {**SHARED, "storage_mb": 1.5},
            "/seats must be": {**SHARED, "seats": True},
            "/plan must be one of starter": {**SHARED, "plan": ["team"]},
            "/features must be an object": {**SHARED, "features": "all"},
            "/features/client_portal must be true or false": nested,
            "/colour is not a field": {**SHARED, "colour": "green"},
        }.items():
            with self.subTest(expected):
                self.assertIn(expected, self.fail_with("InvalidDesired", True, desired=desired))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_refusal_keeps_values_to_itself(self) -> None:
        desired = {**SHARED, "plan": "s3cr3t", "token": "s3cr3t"}
        message = self.fail_with("InvalidDesired", True, desired=desired)
        self.assertNotIn("s3cr3t", message)

    def test_a_locked_database_is_a_failure_that_passes(self) -> None:
        self.succeed()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as application:
            application.execute("BEGIN IMMEDIATE")
            message = self.fail_with("DatabaseUnavailable", False, desired={**SHARED, "seats": 9})
        self.assertIn("locked", message)
        self.succeed()


if __name__ == "__main__":
    unittest.main()
