"""Runs provision.py as Tenure does, on a PostgreSQL of its own that lives as long as the tests.

    python3 -m unittest discover examples/postgres-per-tenant

Needs PostgreSQL 13 or newer: psql, and initdb and pg_ctl on PATH or where Debian puts them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("provision.py")
CONTRACT = "tenure.provisioner/v1"
PASSWORD = "correct horse ' battery \\ staple"
DESIRED: dict[str, Any] = {
    "connections": 5,
    "extensions": ["pgcrypto", "citext"],
    "settings": {"statement_timeout": 30_000, "timezone": "Europe/Vienna"},
    "password": PASSWORD,
}
OBSERVED = {**{key: DESIRED[key] for key in DESIRED if key != "password"}, "running": True}
STEPS = ["role", "database", "limits", "extensions", "settings", "access"]


def programs() -> Path:
    """The newest folder that holds initdb and pg_ctl."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    for folder in [*debian, *map(Path, os.environ["PATH"].split(os.pathsep))]:
        if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file() and shutil.which("psql"):
            return folder
    raise AssertionError("these tests need PostgreSQL 13 or newer: `apt-get install postgresql` on Debian")


class Server:
    """A PostgreSQL on a free loopback port, that lets everyone but its superuser in by password only."""

    def __init__(self) -> None:
        programs()
        self.folder = Path(tempfile.mkdtemp(prefix="tenure-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        self.user: list[str] = []
        if os.getuid() == 0:  # initdb and postgres refuse to run as root.
            self.user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]
            shutil.chown(self.folder, "postgres")
        self.environment: dict[str, str] = {}
        # Stops the server and removes its folder as soon as nobody holds its stdin, so also if we are killed.
        keep = 'trap "" HUP INT TERM; cat; "$0/pg_ctl" -D "$1/data" -m immediate -w stop; rm -rf -- "$1"'
        self.keeper = subprocess.Popen([*self.user, "sh", "-c", keep, str(programs()), str(self.folder)], cwd="/",
                                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       start_new_session=True)

    def start(self) -> None:
        self.command("initdb", "-D", str(self.data), "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
        (self.data / "pg_hba.conf").write_text(
            "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = f"-k {self.folder} -h 127.0.0.1 -p {self.port} -c fsync=off -c max_connections=60"
        self.command("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", options, "-w", "start")
        self.environment = {"PATH": os.environ["PATH"], "PGHOST": str(self.folder), "PGPORT": str(self.port),
                            "PGUSER": "postgres"}

    def command(self, *arguments: str) -> None:
        command = [*self.user, str(programs() / arguments[0]), *arguments[1:]]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
                             env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, stdin=subprocess.DEVNULL)
        assert run.returncode == 0, f"{arguments}: {run.stdout}"

    def stop(self) -> None:
        self.keeper.communicate()


SERVER: Server


def setUpModule() -> None:
    global SERVER
    SERVER = Server()
    unittest.addModuleCleanup(SERVER.stop)  # Before it starts: whatever happens, it is stopped.
    SERVER.start()


class Provisioner(unittest.TestCase):
    count = 0

    def setUp(self) -> None:
        Provisioner.count += 1  # A tenant of its own for each test, for the server is shared.
        self.tenant = {"id": f"tnt_{self.count:02}", "name": f"acme-{self.count}", "class": "database"}
        self.name = self.succeed()["resources"][0].split(":")[2]
        self.addCleanup(self.forget)

    def forget(self) -> None:
        for statement in (f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)", f"DROP ROLE IF EXISTS {self.name}"):
            self.sql(statement)

    def start(self, stdin: bytes) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            return subprocess.Popen([sys.executable, str(PROGRAM)], env=SERVER.environment, stdin=file,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def answers(self, process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stderr), (0, b""))
        self.assertNotRegex(stdout, b"battery|SCRAM")
        return [json.loads(line) for line in stdout.splitlines()]

    def request(self, operation: str = "apply", **changes: Any) -> bytes:
        return json.dumps({
            "contract": CONTRACT, "operation": operation, "operation_id": "op/1", "tenant": self.tenant,
            "generation": 1, "fence": 1, "desired": DESIRED, "running": True, "observed": None, "resources": [],
            "a_later_field": 1, **changes}).encode()

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
        self.assertEqual((final["result"], final.get("reason")), ("failed", reason), final)
        self.assertEqual(final["permanent"], permanent)
        return str(final["message"])

    def psql(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["psql", "-XqAtw", "-v", "ON_ERROR_STOP=1", *arguments], capture_output=True, text=True,
                              env={**SERVER.environment, **environment}, timeout=60)

    def sql(self, statement: str, database: str = "postgres") -> str:
        run = self.psql("-d", database, "-c", statement)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout.strip()

    def log_in(self, statement: str = "SELECT 1", password: str = PASSWORD, database: str = "") -> Any:
        """Runs a statement as the tenant's application would."""
        return self.psql("-d", database or self.name, "-c", statement,
                         PGUSER=self.name, PGPASSWORD=password, PGHOST="127.0.0.1")

    def stay(self, database: str, statement: str, **environment: str) -> subprocess.Popen[str]:
        """A session that has run a statement and stays until it is terminated."""
        live = subprocess.Popen(["psql", "-XqAtw", "-d", database, "-c", statement, "-c", "SELECT pg_sleep(60)"],
                                env={**SERVER.environment, **environment}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(live.stdout and live.stdout.readline())
        self.addCleanup(lambda: live.stdout.closed or live.communicate())  # type: ignore[union-attr]
        return live


class Applying(Provisioner):
    def test_apply_makes_a_role_and_a_database_and_reports_what_is_in_them(self) -> None:
        final = self.succeed("observe")
        self.assertEqual(final["observed"], OBSERVED)
        self.assertEqual(final["resources"], [f"postgres:role:{self.name}", f"postgres:database:{self.name}"])
        shown = self.log_in("SHOW statement_timeout; SHOW timezone; CREATE TABLE t (x citext); TABLE t")
        self.assertEqual((shown.stdout, shown.stderr), ("30s\nEurope/Vienna\n", ""))
        self.assertIn("authentication failed", self.log_in(password="correct horse").stderr)

    def test_a_database_is_closed_to_other_tenants(self) -> None:
        self.sql("CREATE ROLE neighbour LOGIN PASSWORD 'x'")
        self.addCleanup(self.sql, "DROP ROLE neighbour")
        for database in (self.name, "tenure_provisioner"):
            run = self.psql("-d", database, "-c", "SELECT 1", PGUSER="neighbour", PGPASSWORD="x", PGHOST="127.0.0.1")
            self.assertIn("permission denied for database", run.stderr)

    def test_steps_are_reported_as_they_go(self) -> None:
        self.succeed("destroy")
        self.tenant["id"] += "-new"
        *progress, final = self.answers(self.start(self.request()))
        self.name = final["resources"][0].split(":")[2]
        for line in progress:
            self.assertEqual([step["name"] for step in line["steps"]], STEPS)
        self.assertEqual([step["state"] for step in progress[0]["steps"]], ["running"] + ["pending"] * 5)
        self.assertEqual({step["state"] for step in progress[-1]["steps"]}, {"done"})

    def test_a_repeat_changes_nothing(self) -> None:
        before = self.sql("SELECT rolpassword, xmin FROM pg_authid")
        self.assertEqual(self.succeed()["message"], "nothing to change")
        self.succeed(fence=2)
        self.assertEqual(self.sql("SELECT rolpassword, xmin FROM pg_authid"), before)

    def test_a_change_is_made_and_the_data_is_kept(self) -> None:
        self.log_in("CREATE TABLE t AS SELECT 7 AS x")
        desired = {"connections": 1, "extensions": ["hstore"], "settings": {"work_mem": 8192}, "password": "p" * 12}
        final = self.succeed(desired=desired)
        self.assertEqual({**final["observed"], "password": "p" * 12}, {**desired, "running": True})
        self.assertEqual(self.log_in("TABLE t; SHOW work_mem", "p" * 12).stdout, "7\n8MB\n")
        self.assertNotEqual(self.log_in().returncode, 0)

    def test_an_extension_in_use_stays_and_is_named(self) -> None:
        self.log_in("CREATE TABLE t (x citext)")
        self.assertIn("citext", self.fail_with("ExtensionInUse", True, desired={**DESIRED, "extensions": []}))
        self.assertEqual(self.succeed("observe")["observed"]["extensions"], ["pgcrypto", "citext"])


class Observing(Provisioner):
    def tamper(self, *statements: str) -> dict[str, Any]:
        for statement in statements:
            self.sql(statement.format(n=self.name))
        observed: dict[str, Any] = self.succeed("observe")["observed"]
        self.assertEqual(self.succeed()["observed"], OBSERVED)
        self.assertEqual(self.log_in().returncode, 0)
        return observed

    def test_what_a_hand_altered_is_seen_and_put_right(self) -> None:
        observed = self.tamper(
            "ALTER ROLE {n} CONNECTION LIMIT 500", "ALTER ROLE {n} NOLOGIN", "ALTER ROLE {n} PASSWORD NULL",
            "ALTER ROLE {n} IN DATABASE {n} SET statement_timeout = '1h'",
            "ALTER ROLE {n} IN DATABASE {n} RESET timezone")
        self.assertEqual((observed["connections"], observed["running"]), (500, False))
        self.assertEqual(observed["settings"], {"statement_timeout": "1h", "timezone": None})

    def test_extensions_are_read_from_the_database_itself(self) -> None:
        self.sql("DROP EXTENSION pgcrypto; CREATE EXTENSION tablefunc", self.name)
        self.assertEqual(self.succeed("observe")["observed"]["extensions"], ["citext", "tablefunc"])
        self.assertEqual(self.succeed()["observed"], OBSERVED)

    def test_what_can_be_evaded_is_not_reported_as_in_force(self) -> None:
        self.assertIsNone(self.tamper("ALTER ROLE {n} SUPERUSER")["connections"])
        for statement in ("ALTER DATABASE {n} OWNER TO postgres", "GRANT CONNECT ON DATABASE {n} TO PUBLIC",
                          "ALTER DATABASE {n} ALLOW_CONNECTIONS false"):
            observed = self.tamper(statement)
            self.assertEqual((observed["extensions"], observed["settings"]["timezone"]), (None, None), statement)

    def test_a_lost_tenant_contradicts_what_is_wanted_and_is_made_again(self) -> None:
        observed = self.tamper("DROP DATABASE {n}", "DROP ROLE {n}")
        self.assertEqual((observed["connections"], observed["extensions"]), (0, []))

    def test_what_belongs_to_another_is_never_touched(self) -> None:
        for fence, mark in enumerate(("'tenure:tnt_99'", "NULL"), 2):
            self.sql(f"COMMENT ON ROLE {self.name} IS {mark}")
            for operation in ("apply", "observe", "destroy"):
                self.fail_with("WrongTenant", True, operation, fence=fence)
        self.sql(f"COMMENT ON ROLE {self.name} IS 'tenure:{self.tenant['id']}'")
        self.sql(f"COMMENT ON DATABASE {self.name} IS 'tenure:tnt_99'")
        self.fail_with("WrongTenant", True, "destroy", fence=4)
        self.assertEqual(self.log_in().returncode, 0)


class Suspending(Provisioner):
    def test_a_suspension_ends_live_sessions_and_refuses_new_ones(self) -> None:
        live = self.stay(self.name, "SELECT 1", PGUSER=self.name, PGPASSWORD=PASSWORD)
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)
        self.assertIn("terminating connection", live.communicate(timeout=20)[1])
        self.assertIn("not permitted to log in", self.log_in().stderr)
        self.assertIs(self.succeed()["observed"]["running"], True)
        self.assertEqual(self.log_in().stdout, "1\n")
        self.forget()  # A tenant may be made suspended.
        self.assertIs(self.succeed(running=False)["observed"]["running"], False)


class Destroying(Provisioner):
    def test_destroy_leaves_nothing_and_may_be_repeated(self) -> None:
        live = self.stay("postgres", "SELECT 1", PGUSER=self.name, PGPASSWORD=PASSWORD)
        final = self.succeed("destroy", desired={"of": "long ago"})
        self.assertIn("terminating connection", live.communicate(timeout=20)[1])
        self.assertEqual((final["observed"], final["resources"], final["message"]), ({}, [], "removed"))
        self.assertEqual(self.succeed("destroy")["message"], "was gone already")
        self.assertEqual(self.sql(f"SELECT 1 FROM pg_roles, pg_database WHERE '{self.name}' IN (rolname, datname)"), "")

    def test_a_role_that_owns_something_elsewhere_is_kept_and_the_place_named(self) -> None:
        self.sql(f"CREATE DATABASE elsewhere OWNER {self.name}")
        self.addCleanup(self.sql, "DROP DATABASE elsewhere")
        self.assertIn("elsewhere", self.fail_with("RoleOwnsObjects", True, "destroy"))
        self.sql("ALTER DATABASE elsewhere OWNER TO postgres")
        self.sql(f"CREATE TABLE t (); ALTER TABLE t OWNER TO {self.name}", "elsewhere")
        self.assertIn("elsewhere", self.fail_with("RoleOwnsObjects", True, "destroy"))
        self.sql("DROP TABLE t", "elsewhere")
        self.succeed("destroy")


class Fencing(Provisioner):
    def test_an_older_fence_is_refused_and_changes_nothing(self) -> None:
        self.succeed(fence=5)
        message = self.fail_with("StaleFence", False, fence=4, desired={**DESIRED, "connections": 9})
        self.assertIn("changed under fence 5", message)
        self.fail_with("StaleFence", False, "destroy", fence=4)
        self.assertEqual(self.succeed("observe")["observed"], OBSERVED)

    def test_nothing_brings_a_destroyed_tenant_back(self) -> None:
        self.succeed("destroy", fence=5)
        for fence in (4, 5):
            self.assertIn("destroyed under fence 5", self.fail_with("StaleFence", False, fence=fence))
        self.assertEqual(self.succeed("observe")["resources"], [])

    def test_an_operation_waits_for_the_one_that_runs(self) -> None:
        self.stay("tenure_provisioner", f"SELECT pg_advisory_lock(hashtextextended('{self.tenant['id']}', 0))")
        process = self.start(self.request("destroy", fence=2))
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(1)
        self.assertEqual(self.log_in().stdout, "1\n")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")
        self.assertEqual(self.answers(process)[-1]["message"], "removed")

    def test_of_many_at_once_the_newest_wins(self) -> None:
        order = [8, 3, 5, 1, 7, 2, 6, 4]
        processes = {fence: self.start(self.request(fence=fence, desired={**DESIRED, "connections": fence}))
                     for fence in order}
        finals = {fence: self.answers(process)[-1] for fence, process in processes.items()}
        self.assertEqual({final.get("reason") for final in finals.values()} - {None, "StaleFence"}, set(), finals)
        self.assertEqual(finals[8]["observed"]["connections"], 8)
        self.assertEqual(self.succeed("observe")["observed"]["connections"], 8)


class Crashing(Provisioner):
    KILLS = 8

    def kill_and_repeat(self, operation: str, **changes: Any) -> None:
        begin = time.monotonic()
        self.succeed(operation, **changes)
        duration = time.monotonic() - begin
        for attempt in range(self.KILLS):
            self.forget()
            if operation == "destroy":
                self.sql("DELETE FROM public.fences", "tenure_provisioner")
                self.succeed()
            process = self.start(self.request(operation, **changes))
            time.sleep(duration * (attempt + random.random()) / self.KILLS)
            process.kill()
            process.communicate()
            final = self.succeed(operation, **changes)
            if operation == "destroy":
                self.assertEqual(self.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{self.name}'"), "")
            else:
                self.assertEqual(final["observed"], OBSERVED)
                self.assertEqual(self.log_in().returncode, 0)

    def test_a_killed_creation_can_be_finished(self) -> None:
        self.forget()
        self.kill_and_repeat("apply")

    def test_a_killed_destroy_can_be_finished(self) -> None:
        self.kill_and_repeat("destroy", fence=2)

    def test_a_database_without_its_comment_is_taken_up_again(self) -> None:
        self.sql(f"COMMENT ON DATABASE {self.name} IS NULL")
        self.assertEqual(self.succeed()["message"], "changed database")


class Refusing(Provisioner):
    def test_input_that_breaks_the_contract_is_refused(self) -> None:
        for stdin in (b"", b"garbage", b"[" * 100_000, b"{} {}"):
            self.assertEqual(self.answers(self.start(stdin))[-1]["reason"], "InvalidRequest")
        self.fail_with("UnsupportedContract", True, contract="tenure.provisioner/v2")
        for field, changes in {
            "/operation": {"operation": "reboot"}, "/fence": {"fence": "1"}, "/running": {"running": 1},
            "/desired": {"desired": []}, "/tenant/id": {"tenant": None},
            "/tenant/name": {"tenant": {**self.tenant, "name": 'x"; DROP ROLE postgres; --'}},
        }.items():
            self.assertIn(field, self.fail_with("InvalidRequest", True, **changes))

    def test_values_that_try_to_break_out_are_refused_or_quoted(self) -> None:
        for evil in ("'; DROP DATABASE postgres; --", "x\n\\! touch /tmp/owned", '"', ":name"):
            for part in ({"extensions": [evil]}, {"settings": {"timezone": evil}}, {"settings": {evil: 1}}):
                message = self.fail_with("InvalidDesired", True, desired={**DESIRED, **part})
                self.assertNotIn(evil, message)
        evil = "'; ALTER ROLE postgres NOLOGIN; -- :'x' \\q"
        self.succeed(desired={**DESIRED, "password": evil})
        self.assertEqual(self.log_in(password=evil).stdout, "1\n")

    def test_desired_that_cannot_be_is_refused_by_field(self) -> None:
        for expected, part in {
            "/connections must": {"connections": True}, "/colour is not": {"colour": 1},
            "/extensions must": {"extensions": ["citext", "citext"]}, "/password must": {"password": "battery"},
            "/settings/work_mem must": {"settings": {"work_mem": 1}}, "/settings must": {"settings": 3},
            "a value of /settings": {"settings": {"timezone": "Europe/Nowhere"}},
        }.items():
            self.assertIn(expected, self.fail_with("InvalidDesired", True, desired={**DESIRED, **part}))
        self.assertEqual(self.succeed("observe")["observed"], OBSERVED)

    def test_a_server_that_is_away_is_a_failure_that_passes(self) -> None:
        self.addCleanup(SERVER.environment.update, PGPORT=SERVER.environment["PGPORT"])
        SERVER.environment["PGPORT"] = "1"
        self.assertIn("PostgreSQL says", self.fail_with("ServerUnavailable", False))

    def test_the_server_never_reads_the_password(self) -> None:
        self.sql("ALTER SYSTEM SET log_statement = 'all'")
        self.sql("SELECT pg_reload_conf()")
        self.succeed(desired={**DESIRED, "password": PASSWORD + "!"})
        log = (SERVER.folder / "log").read_text()
        self.assertIn("SCRAM-SHA-256$", log)
        self.assertNotIn("battery", log)
