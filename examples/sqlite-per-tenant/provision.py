#!/usr/bin/env python3
"""An exec provisioner for Tenure that gives every tenant a SQLite database of its own.

One request comes on stdin, the answer goes to stdout, one JSON object a line. The databases live in
the folder that TENANTS_DIR names (`tenants/` beside this file if unset), each as `<name>-<id>.db`.

Three rules keep it safe to repeat, to kill at any instant and to run twice at once:

- A tenant's operations take turns, and an operation older than one already seen is refused (`turn`).
- A new database appears whole, by a rename; a change of one is a single transaction.
- What is reported is read from the file, never copied from the request.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Union

CONTRACT = "tenure.provisioner/v1"
TENANTS = Path(os.environ.get("TENANTS_DIR") or Path(__file__).parent / "tenants").resolve()

# An operation waits for three locks at most: together less than the shortest deadline in tenure.toml.
BUSY_SECONDS = 8

# The application runs in the same group as this program; others never see a customer's data.
MODE_RUNNING = 0o640
MODE_SUSPENDED = 0o440


# --- What the database is made of -------------------------------------------------------------

SCHEMA_VERSION = 1

TABLES = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")

# Quotas are triggers, for they bind whoever opens the file. PRAGMA max_page_count would bind only the
# connection that sets it, and its pragma_* functions are refused in triggers where the schema is not
# trusted, as in the sqlite3 shell. They look after the write, so a replaced row is counted once. A
# missing setting means none is allowed, but for limits, which not every class has.
SETTING = "(SELECT CAST(value AS INTEGER) FROM settings WHERE key = '{}')"
SEATS_OVER = f"(SELECT count(*) FROM accounts) > ifnull({SETTING.format('/seats')}, 0)"
STORAGE_OVER = f"(SELECT sum(bytes) FROM files) > ifnull({SETTING.format('/storage_mb')}, 0) * 1048576"
PROJECTS_OVER = f"(SELECT count(*) FROM projects) > {SETTING.format('/limits/projects')}"
SUSPENDED = "(SELECT value FROM meta WHERE key = 'running') IS NOT 'true'"

# Which triggers put which part of `desired` in force, as `(name, when, condition, message)`.
GUARDS: dict[str, list[tuple[str, str, str, str]]] = {
    "/seats": [
        ("accounts_seats", "AFTER INSERT ON accounts", SEATS_OVER, "all seats are taken"),
    ],
    "/storage_mb": [
        ("files_storage", "AFTER INSERT ON files", STORAGE_OVER, "the storage is full"),
        ("files_storage_grown", "AFTER UPDATE OF content ON files",
         f"NEW.bytes > OLD.bytes AND {STORAGE_OVER}", "the storage is full"),
    ],
    "/limits/projects": [
        ("projects_limit", "AFTER INSERT ON projects", PROJECTS_OVER, "no more projects are allowed"),
    ],
    # The file's mode stops most writers, but not root, nor one that has the file open.
    "/running": [
        (f"{table}_suspended_{write.lower()}", f"BEFORE {write} ON {table}", SUSPENDED,
         "the tenant is suspended")
        for table in ("accounts", "projects", "files", "invoices", "invoice_lines")
        for write in ("INSERT", "UPDATE", "DELETE")
    ],
}

SCHEMA = TABLES + "".join(
    f"CREATE TRIGGER {name} {when} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END;\n"
    for guards in GUARDS.values()
    for name, when, condition, message in guards
)


# --- What `desired` may hold --------------------------------------------------------------------


class Rule(NamedTuple):
    accepts: Callable[[Any], bool]
    expected: str


Shape = Union[Rule, dict[str, Any]]


def whole(low: int, high: int) -> Rule:
    # `type` and not `isinstance`: Python takes true for the integer 1.
    return Rule(lambda v: type(v) is int and low <= v <= high, f"a whole number from {low} to {high}")


def one_of(*words: str) -> Rule:
    return Rule(lambda v: v in words, "one of " + ", ".join(words))


def matching(pattern: str, expected: str) -> Rule:
    return Rule(lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None, expected)


FLAG = Rule(lambda v: isinstance(v, bool), "true or false")
LOCALE = matching(r"[a-z]{2}-[A-Z]{2}", "a locale such as en-GB")
TIMEZONE = matching(r"[A-Za-z_]+(/[A-Za-z_-]+)*", "a time zone such as Europe/Vienna")
CURRENCY = matching(r"[A-Z]{3}", "a currency such as EUR")

CLASSES: dict[str, dict[str, Any]] = {
    "shared": {
        "plan": one_of("starter", "team", "business"),
        "seats": whole(1, 250),
        "storage_mb": whole(1, 4096),
        "locale": LOCALE,
        "timezone": TIMEZONE,
        "currency": CURRENCY,
        "features": {"time_tracking": FLAG, "client_portal": FLAG},
    },
    "dedicated": {
        "plan": one_of("enterprise"),
        "seats": whole(1, 20_000),
        "storage_mb": whole(1, 1_048_576),
        "locale": LOCALE,
        "timezone": TIMEZONE,
        "currency": CURRENCY,
        "features": {"time_tracking": FLAG, "client_portal": FLAG, "audit_export": FLAG},
        "region": matching(r"[a-z]{2}-[a-z]+-[0-9]", "a region such as eu-central-1"),
        "retention_days": whole(30, 3660),
        "sso": {
            "protocol": one_of("saml", "oidc"),
            "issuer": matching(r"https://[^\s]{1,200}", "an https address"),
            "enforced": FLAG,
        },
        "limits": {"projects": whole(1, 100_000), "requests_per_minute": whole(1, 100_000)},
    },
}


def problems(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """Says what is wrong with a value, never the value itself: it may be secret."""
    if isinstance(shape, Rule):
        if not shape.accepts(value):
            yield f"{path} must be {shape.expected}"
    elif not isinstance(value, dict):
        yield f"{path} must be an object"
    else:
        for key in sorted(value.keys() - shape.keys()):
            yield f"{path}/{key} is not a field of this class"
        for key, part in shape.items():
            if key in value:
                yield from problems(part, value[key], f"{path}/{key}")
            else:
                yield f"{path}/{key} is missing"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not an object, with its JSON Pointer."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{path}/{key}")
    else:
        yield path, value


# --- The request and the answer -----------------------------------------------------------------


class Failure(Exception):
    def __init__(self, reason: str, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.permanent = permanent


class Request(NamedTuple):
    operation: str
    operation_id: str
    tenant_id: str
    name: str
    class_name: str
    fence: int
    desired: dict[str, Any]
    running: bool

    @property
    def path(self) -> Path:
        # The id keeps a name that is used again apart from the tenant that had it before.
        return TENANTS / f"{self.name}-{self.tenant_id}.db"


def say(operation_id: Any, result: str, **fields: Any) -> None:
    answer = {"contract": CONTRACT, "operation_id": operation_id, "result": result, **fields}
    print(json.dumps(answer), flush=True)


# Names and ids become file names, so nothing but these characters may pass.
ENVELOPE: dict[str, Shape] = {
    "operation": one_of("apply", "observe", "destroy"),
    "operation_id": Rule(lambda v: isinstance(v, str), "a string"),
    "tenant": {
        "id": matching(r"tnt_[A-Za-z0-9-]{1,60}", "an id such as tnt_01"),
        "name": matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a DNS label"),
        "class": Rule(lambda v: isinstance(v, str), "a string"),
    },
    "fence": whole(0, 2**63 - 1),
    "desired": Rule(lambda v: isinstance(v, dict), "an object"),
    "running": FLAG,
}


def known(shape: Shape, value: Any) -> Any:
    """The value without the fields that a later contract may add."""
    if isinstance(shape, Rule) or not isinstance(value, dict):
        return value
    return {key: known(part, value[key]) for key, part in shape.items() if key in value}


def read(document: Any) -> Request:
    if not isinstance(document, dict) or document.get("contract") != CONTRACT:
        raise Failure("UnsupportedContract", f"This program speaks {CONTRACT} only.", permanent=True)
    fields = known(ENVELOPE, document)
    wrong = "; ".join(problems(ENVELOPE, fields))
    if wrong:
        raise Failure("InvalidRequest", f"The request breaks the contract: {wrong}.", permanent=True)
    tenant = fields.pop("tenant")
    return Request(tenant_id=tenant["id"], name=tenant["name"], class_name=tenant["class"], **fields)


# --- Looking ------------------------------------------------------------------------------------


class Found(NamedTuple):
    in_force: dict[str, Any]
    schema_version: int | None
    message: str


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Opens a database; one that is closed without COMMIT is left as it was.

    Readers ask for "rw" too, for after a crash the next one to open the file rolls it back.
    """
    db = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    db.execute("PRAGMA synchronous = EXTRA")
    return db


def objects(db: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    rows = db.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    return {name: (kind, sql) for name, kind, sql in rows}


def schema() -> dict[str, tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        return objects(db)


def decoded(text: Any) -> Any:
    """A setting's value; what this program can't have written is shown as text, and so is drift."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return str(text)
    plain = isinstance(value, (str, bool)) or (type(value) is int and abs(value) < 2**53)
    return value if plain else str(text)


def look(request: Request) -> Found:
    """Reads what is in force in the file; what is written there but not in force is null."""
    path = request.path
    if not path.exists():
        return Found({}, None, f"{path.name} does not exist")
    with closing(connect(path)) as db:
        db.execute("BEGIN")  # All reads see one moment.
        version = db.execute("PRAGMA user_version").fetchone()[0]
        stored, expected = objects(db), schema()
        differ = [name for name in expected if stored.get(name) != expected[name]]
        message = f"changed or missing: {', '.join(differ)}" if differ else "looked at the file"
        if any(expected[name][0] == "table" for name in differ):
            return Found({}, version, message)
        meta = dict(db.execute("SELECT key, value FROM meta"))
        if meta.get("tenant_id") != request.tenant_id:
            return Found({}, version, f"{path.name} holds the data of {meta.get('tenant_id')}")
        in_force = {key: decoded(value) for key, value in db.execute("SELECT key, value FROM settings")}
    running = meta.get("running") == "true"
    writable = path.stat().st_mode & 0o200 != 0
    in_force["/running"] = running if running == writable else None
    for key, guards in GUARDS.items():
        if any(guard[0] in differ for guard in guards):
            in_force[key] = None
    return Found(in_force, version, message)


def shaped(desired: Any, in_force: dict[str, Any], path: str = "") -> Any:
    """What is in force, at the paths of `desired`: a part that is gone is null, so it shows as drift."""
    if isinstance(desired, dict):
        return {key: shaped(part, in_force, f"{path}/{key}") for key, part in desired.items()}
    return in_force.get(path)


def done(request: Request, found: Found, message: str) -> None:
    observed = shaped({**request.desired, "running": request.running}, found.in_force)
    observed["schema_version"] = found.schema_version
    resources = [f"sqlite:{request.path.name}"] if request.path.exists() else []
    say(request.operation_id, "done", observed=observed, resources=resources, message=message)


def observe(request: Request) -> None:
    found = look(request)
    done(request, found, found.message)


# --- Changing -----------------------------------------------------------------------------------


@contextmanager
def turn(request: Request) -> Iterator[None]:
    """Holds the tenant's turn, if no newer operation has had it.

    The newest fence is kept apart from the tenant's database, for it has to outlive it: without it, a
    late apply would bring a destroyed tenant back. It is durable before anything is touched, and the
    lock is held until everything is, so a paused operation can't wake up behind a newer one.
    """
    fences = TENANTS / "fences"
    fences.mkdir(mode=0o750, parents=True, exist_ok=True)
    destroying = int(request.operation == "destroy")
    with closing(connect(fences / f"{request.tenant_id}.db", "rwc")) as gate:
        gate.execute("BEGIN EXCLUSIVE")
        # Keeps the lock beyond COMMIT, until the file is closed; a kill closes it too. Asked for any
        # earlier, two that wait for their turn would keep each other from it.
        gate.execute("PRAGMA locking_mode = EXCLUSIVE")
        gate.execute("CREATE TABLE IF NOT EXISTS newest (fence INTEGER NOT NULL, destroyed INTEGER NOT NULL)")
        fence, destroyed = gate.execute("SELECT fence, destroyed FROM newest").fetchone() or (0, 0)
        if (request.fence, destroying) < (fence, destroyed):
            message = (
                f"Fence {request.fence} comes too late: the tenant was "
                f"{'destroyed' if destroyed else 'changed'} under fence {fence}; leave it to its holder."
            )
            raise Failure("StaleFence", message, permanent=False)
        gate.execute("DELETE FROM newest")
        gate.execute("INSERT INTO newest VALUES (?, ?)", (request.fence, destroying))
        gate.execute("COMMIT")
        yield


def repair_schema(db: sqlite3.Connection, *, fresh: bool) -> list[str]:
    stored, changes = objects(db), []
    for name, (kind, sql) in schema().items():
        if stored.get(name) == (kind, sql):
            continue
        # Making an empty table of a lost one would hide that a customer's data is gone.
        if kind == "table" and not fresh:
            message = f"Table {name} was changed or dropped by hand; restore the database from a backup."
            raise Failure("SchemaChanged", message, permanent=True)
        if name in stored:
            db.execute(f"DROP {kind} {name}")
        db.execute(sql)
        changes.append(name)
    return changes


def sync_rows(db: sqlite3.Connection, table: str, wanted: dict[str, str]) -> list[str]:
    """Makes a table hold exactly these rows; touches nothing where it does already."""
    stored = dict(db.execute(f"SELECT key, value FROM {table}"))
    changes = [key for key in {**wanted, **stored} if wanted.get(key) != stored.get(key)]
    for key in changes:
        db.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
        if key in wanted:
            db.execute(f"INSERT INTO {table} (key, value) VALUES (?, ?)", (key, wanted[key]))
    return changes


def write(db: sqlite3.Connection, request: Request) -> list[str]:
    """Makes the database what is wanted, in one transaction, and names what had to change."""
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION):
        message = f"The database has schema {version}, not {SCHEMA_VERSION}; use the program that made it."
        raise Failure("UnknownSchema", message, permanent=True)
    changes = repair_schema(db, fresh=version == 0)
    if version == 0:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    owner = dict(db.execute("SELECT key, value FROM meta")).get("tenant_id", request.tenant_id)
    if owner != request.tenant_id:
        message = f"{request.path.name} holds the data of {owner}; put the right file in its place."
        raise Failure("WrongTenant", message, permanent=True)
    changes += sync_rows(db, "settings", {key: json.dumps(value) for key, value in leaves(request.desired)})
    changes += sync_rows(db, "meta", {
        "tenant_id": request.tenant_id,
        "name": request.name,
        "class": request.class_name,
        "running": json.dumps(request.running),
    })
    db.execute("COMMIT")
    return changes


def draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def erase(path: Path) -> None:
    # The journal goes first: left alone, it would be played back into the next file of that name.
    for name in (f"{path.name}-journal", f"{path.name}-wal", f"{path.name}-shm", path.name, draft(path).name):
        path.with_name(name).unlink(missing_ok=True)
    flush(path.parent)


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(request: Request, mode: int) -> None:
    """Makes the file elsewhere and renames it, so nobody ever opens half a database."""
    erase(request.path)  # Nothing but what a crash or a hand left lying about.
    new = draft(request.path)
    with closing(connect(new, "rwc")) as db:
        db.execute("PRAGMA journal_mode = OFF")  # A draft that fails is thrown away.
        write(db, request)
    new.chmod(mode)
    flush(new)
    new.rename(request.path)
    flush(TENANTS)


def change(request: Request, mode: int) -> list[str]:
    mode_after = request.path.stat().st_mode
    request.path.chmod(MODE_RUNNING)  # A suspended file is read-only for this program too.
    try:
        with closing(connect(request.path)) as db:
            changes = write(db, request)
        mode_after = mode
    finally:
        request.path.chmod(mode_after)
    return changes


def apply(request: Request) -> None:
    shape = CLASSES.get(request.class_name)
    if shape is None:
        message = f"There is no class {request.class_name}; use one of {', '.join(CLASSES)}."
        raise Failure("UnknownClass", message, permanent=True)
    wrong = "; ".join(problems(shape, request.desired))
    if wrong:
        raise Failure("InvalidDesired", f"Correct `desired`: {wrong}.", permanent=True)
    mode = MODE_RUNNING if request.running else MODE_SUSPENDED
    with turn(request):
        if request.path.exists():
            changes = change(request, mode)
            message = f"changed {', '.join(changes)}" if changes else "nothing to change"
        else:
            say(request.operation_id, "progress", message=f"creating {request.path.name}")
            create(request, mode)
            message = "created"
        done(request, look(request), message)


def destroy(request: Request) -> None:
    with turn(request):
        existed = request.path.exists()
        erase(request.path)
        message = "removed" if existed else "was gone already"
        say(request.operation_id, "done", observed={}, resources=[], message=message)


OPERATIONS: dict[str, Callable[[Request], None]] = {"apply": apply, "observe": observe, "destroy": destroy}


def main() -> None:
    """Answers one request; whatever else goes wrong is a fault of this program and ends in a traceback."""
    operation_id: Any = None
    try:
        try:
            document = json.load(sys.stdin.buffer)
        except (ValueError, RecursionError):
            raise Failure("InvalidRequest", "Send one JSON object on stdin.", permanent=True) from None
        if isinstance(document, dict):
            operation_id = document.get("operation_id")
        request = read(document)
        OPERATIONS[request.operation](request)
        return
    except Failure as error:
        failure = error
    except (sqlite3.OperationalError, OSError) as error:
        message = f"{error}: see that the disk has room, and that nothing keeps the database locked."
        failure = Failure("DatabaseUnavailable", message, permanent=False)
    except sqlite3.DatabaseError as error:
        message = f"{error}: restore the database from a backup, or move it away to have a new one made."
        failure = Failure("DatabaseUnreadable", message, permanent=True)
    say(operation_id, "failed", reason=failure.reason, message=str(failure), permanent=failure.permanent)


if __name__ == "__main__":
    main()
