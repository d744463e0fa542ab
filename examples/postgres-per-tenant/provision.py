#!/usr/bin/env python3
"""An exec provisioner for Tenure that gives every tenant a PostgreSQL database and a role of its own.

One request comes on stdin, the answer goes to stdout, one JSON object a line. The server is the one
that PGHOST, PGPORT, PGUSER and PGPASSFILE lead to, as for any client. It is reached through `psql`.

- Role and database carry the tenant's id in their comment; what carries another is never touched.
- A tenant's operations take turns, and an operation older than one already seen is refused (`turn`).
- Each step looks first and changes only what differs, for CREATE DATABASE fits into no transaction.
- Of a password, only its SCRAM verifier leaves this program.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional

from contract import Failure, Request, check, read, say
from psql import LOCK_SECONDS, Session, is_of, verifier

FENCES = "tenure_provisioner"  # A database of this program's own, to keep the newest fences in.
STEPS = ("role", "database", "limits", "extensions", "settings", "access")


# --- Taking turns -------------------------------------------------------------------------------


def maintenance() -> Session:
    return Session(os.environ.get("PGDATABASE") or "postgres")


def prepare() -> None:
    """Makes the database of the fences, as often as it takes; others do so at the same time."""
    with maintenance() as server:
        server.run("SELECT pg_advisory_lock(7310)")
        if not server.run("SELECT 1 FROM pg_database WHERE datname = :'fences'", fences=FENCES):
            server.run("CREATE DATABASE :\"fences\" TEMPLATE template0 ENCODING 'UTF8'", fences=FENCES)
        with Session(FENCES) as own:
            own.run(
                "BEGIN; REVOKE ALL ON DATABASE :\"fences\" FROM PUBLIC;"
                "CREATE TABLE IF NOT EXISTS public.fences (tenant_id text PRIMARY KEY,"
                " fence bigint NOT NULL, destroyed boolean NOT NULL); COMMIT", fences=FENCES)


@contextmanager
def turn(request: Request) -> Iterator[Session]:
    """Holds the tenant's turn, if no newer operation has had it.

    The newest fence is kept apart from the tenant, for it has to outlive it: without it, a late apply
    would bring a destroyed tenant back. It is durable before anything is touched. The session that holds
    the lock is the one that does the work: even when this program is killed, the lock stays until the
    statement that runs is over.
    """
    with maintenance() as server:
        ready = server.run("SELECT 1 FROM pg_database WHERE datname = :'fences'", fences=FENCES)
    own = Session(FENCES) if ready else None
    if own is None or not own.one("SELECT to_json(to_regclass('public.fences') IS NOT NULL)"):
        prepare()
    with own or Session(FENCES) as session:
        values = {"id": request.tenant_id, "fence": request.fence, "destroyed": request.operation == "destroy"}
        session.run("SELECT pg_advisory_lock(hashtextextended(:'id', 0))", **values)
        taken = session.run(
            "INSERT INTO public.fences AS f VALUES (:'id', :fence, :destroyed) ON CONFLICT (tenant_id) DO UPDATE"
            " SET fence = EXCLUDED.fence, destroyed = EXCLUDED.destroyed"
            " WHERE (f.fence, f.destroyed) <= (EXCLUDED.fence, EXCLUDED.destroyed) RETURNING 1", **values)
        if not taken:
            newest = session.one("SELECT to_json(f) FROM public.fences f WHERE tenant_id = :'id'", **values)
            message = (
                f"Fence {request.fence} comes too late: the tenant was "
                f"{'destroyed' if newest['destroyed'] else 'changed'} under fence {newest['fence']}; "
                "leave it to its holder."
            )
            raise Failure("StaleFence", message, permanent=False)
        yield session


# --- Looking ------------------------------------------------------------------------------------

LOOK = """SELECT json_build_object(
  'role', (SELECT json_build_object('mark', shobj_description(oid, 'pg_authid'), 'login', rolcanlogin,
      'connections', rolconnlimit, 'verifier', rolpassword,
      'plain', NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls))
    FROM pg_authid WHERE rolname = :'name'),
  'database', (SELECT json_build_object('mark', shobj_description(oid, 'pg_database'),
      'owned', pg_get_userbyid(datdba) = :'name', 'open', datallowconn, 'whole', datconnlimit > -2,
      'private', NOT has_database_privilege('public', oid, 'CONNECT'))
    FROM pg_database WHERE datname = :'name'),
  'settings', (SELECT coalesce(json_object_agg(lower(split_part(line, '=', 1)),
      substr(line, strpos(line, '=') + 1)), '{}')
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(setconfig) line
    WHERE datname = :'name' AND pg_get_userbyid(setrole) = :'name'),
  'sessions', (SELECT count(*) FROM pg_stat_activity WHERE usename = :'name'))"""

INSTALLED = "SELECT coalesce(json_agg(extname ORDER BY extname), '[]') FROM pg_extension WHERE extname <> 'plpgsql'"


class Found(NamedTuple):
    role: Optional[dict[str, Any]]
    database: Optional[dict[str, Any]]
    settings: dict[str, Any]
    sessions: int


def look(session: Session, request: Request) -> Found:
    """Reads the catalogs; refuses to go on if what is there belongs to somebody else."""
    found = Found(**session.one(LOOK.replace("\n", " "), name=request.name))
    role, database = found.role, found.database
    # Killed between CREATE DATABASE and its comment, it has none yet, but its owner tells whose it is.
    ours = database is None or database["mark"] == request.mark or (
        database["mark"] is None and role is not None and database["owned"])
    if role is not None and role["mark"] != request.mark or not ours:
        message = (
            f"A role or database {request.name} exists, and its comment does not say {request.mark!r}: "
            "it is not this tenant's. Rename it, or set the comment if it is."
        )
        raise Failure("WrongTenant", message, permanent=True)
    settings = {key: int(value) if re.fullmatch(r"\d{1,15}", value) else value
                for key, value in found.settings.items()}
    return found._replace(settings=settings)


def done(session: Session, request: Request, message: str) -> None:
    """Reports what is in force. What is there but not in force, because it can be evaded, is null."""
    role, database, settings, sessions = look(session, request)
    desired, wrong = request.desired, []
    observed: dict[str, Any] = {"connections": 0, "running": None}
    if role is None:
        wrong.append("there is no role")
    else:
        observed["connections"] = role["connections"] if role["plain"] else None
        # Neither running nor suspended: it may not log in, yet somebody is still in.
        observed["running"] = True if role["login"] else None if sessions else False
        if not role["plain"]:
            wrong.append("the role has more rights than a tenant's")
    extensions: Optional[list[str]] = []
    if database is None:
        wrong.append("there is no database")
    elif not (database["owned"] and database["private"] and database["open"] and database["whole"]):
        wrong.append("the database is not the tenant's alone, or takes no connections")
        settings, extensions = {}, None
    else:
        with Session(request.name) as own:
            installed = own.one(INSTALLED)
        wanted = [name for name in desired.get("extensions", []) if name in installed]
        extensions = wanted + [name for name in installed if name not in wanted]
    observed["extensions"] = extensions
    observed["settings"] = {**dict.fromkeys(desired.get("settings", {})), **settings}
    made = [("role", role), ("database", database)]
    resources = [f"postgres:{kind}:{request.name}" for kind, there in made if there]
    message = f"{message}; {', '.join(wrong)}" if wrong else message
    say(request.operation_id, "done", observed=observed, resources=resources, message=message)


def observe(request: Request) -> None:
    with maintenance() as server:
        done(server, request, "looked at the catalogs")


# --- Changing -----------------------------------------------------------------------------------


def set_up_role(session: Session, request: Request) -> list[str]:
    changes, role, name = [], look(session, request).role, request.name
    if role is None:  # It may log in once all is done, not into half a tenant.
        session.run("BEGIN; CREATE ROLE :\"name\" NOLOGIN; COMMENT ON ROLE :\"name\" IS :'mark'; COMMIT",
                    name=name, mark=request.mark)
        changes.append("created")
        role = {"plain": True, "login": False, "verifier": None}
    if not role["plain"]:
        session.run('ALTER ROLE :"name" NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS', name=name)
        changes.append("rights")
    password = request.desired.get("password")
    if password is not None and not is_of(password, role["verifier"]):
        secret = verifier(password, os.urandom(16), 4096)
        session.run("ALTER ROLE :\"name\" PASSWORD :'secret'", name=name, secret=secret)
        changes.append("password")
    if role["login"] and not request.running:
        session.run('ALTER ROLE :"name" NOLOGIN', name=name)
        changes.append("no login")
    return changes


def set_up_database(session: Session, request: Request) -> list[str]:
    database, name = look(session, request).database, request.name
    if database is None:
        session.run("CREATE DATABASE :\"name\" OWNER :\"name\" TEMPLATE template0 ENCODING 'UTF8'"
                    " ALLOW_CONNECTIONS false", name=name)
    elif not database["whole"]:
        message = f"Dropping {name} was interrupted, its data is gone; drop it to have an empty one made."
        raise Failure("DatabaseLost", message, permanent=True)
    elif database["mark"] and database["owned"] and database["private"] and database["open"]:
        return []
    session.run(
        "BEGIN; COMMENT ON DATABASE :\"name\" IS :'mark'; ALTER DATABASE :\"name\" OWNER TO :\"name\";"
        'REVOKE ALL ON DATABASE :"name" FROM PUBLIC; ALTER DATABASE :"name" ALLOW_CONNECTIONS true; COMMIT',
        name=name, mark=request.mark)
    return ["created" if database is None else "put right"]


def set_limits(session: Session, request: Request) -> list[str]:
    role, wanted = look(session, request).role, request.desired["connections"]
    if role and role["connections"] == wanted:
        return []
    session.run('ALTER ROLE :"name" CONNECTION LIMIT :wanted', name=request.name, wanted=wanted)
    return [f"{wanted} connections"]


def set_up_extensions(session: Session, request: Request) -> list[str]:
    wanted = request.desired.get("extensions", [])
    with Session(request.name) as own:
        # Advisory locks are a database's own: this one makes a successor wait for a session that a kill
        # of this program left behind. Asking the first session proves that the turn is still ours.
        own.run("BEGIN; SELECT pg_advisory_xact_lock(7310)")
        session.run("SELECT 1")
        installed = own.one(INSTALLED)
        missing = [name for name in wanted if name not in installed]
        surplus = [name for name in installed if name not in wanted]
        for name in missing:
            if not own.run("SELECT 1 FROM pg_available_extensions WHERE name = :'name'", name=name):
                message = f"The server lacks the extension {name}: install postgresql-contrib there."
                raise Failure("ExtensionUnavailable", message, permanent=True)
            own.run('CREATE EXTENSION :"name" SCHEMA public', name=name)
        for name in surplus:
            try:
                own.run('DROP EXTENSION :"name"', name=name)
            except Failure as error:
                if error.code != "2BP01":
                    raise
                message = f"The tenant's data uses the extension {name}; leave it in /extensions."
                raise Failure("ExtensionInUse", message, permanent=True) from None
        own.run("COMMIT")
    return [f"+{name}" for name in missing] + [f"-{name}" for name in surplus]


def set_settings(session: Session, request: Request) -> list[str]:
    wanted = request.desired.get("settings", {})
    stored = look(session, request).settings
    if stored == wanted:
        return []
    change = 'ALTER ROLE :"name" IN DATABASE :"name"'
    lines = "".join(f"{change} SET {key} TO :'{key}';" for key in wanted)  # `check` knows the keys.
    try:
        session.run(f"BEGIN; {change} RESET ALL; {lines} COMMIT", name=request.name, **wanted)
    except Failure as error:
        if error.code != "22023":
            raise
        message = "Correct `desired`: the server refuses a value of /settings."
        raise Failure("InvalidDesired", message, permanent=True) from None
    return [key for key in {**wanted, **stored} if wanted.get(key) != stored.get(key)]


def terminate(session: Session, request: Request) -> int:
    """Ends the tenant's sessions, also those that were logging in when the door was shut."""
    ended, deadline = 0, time.monotonic() + LOCK_SECONDS
    while alive := session.one(
            "SELECT to_json(count(pg_terminate_backend(pid))) FROM pg_stat_activity WHERE usename = :'name'",
            name=request.name):
        ended = max(ended, alive)
        if time.monotonic() > deadline:
            raise Failure("Busy", "The tenant's sessions do not end; look at pg_stat_activity.", permanent=False)
        time.sleep(0.05)
    return ended


def set_access(session: Session, request: Request) -> list[str]:
    if not request.running:
        ended = terminate(session, request)
        return [f"{ended} sessions ended"] if ended else []
    role = look(session, request).role
    if role and role["login"]:
        return []
    session.run('ALTER ROLE :"name" LOGIN', name=request.name)
    return ["may log in"]


def apply(request: Request) -> None:
    check(request.desired)
    works = (set_up_role, set_up_database, set_limits, set_up_extensions, set_settings, set_access)
    steps = [{"name": name, "state": "pending"} for name in STEPS]
    with turn(request) as session:
        for step, work in zip(steps, works):
            step["state"] = "running"
            say(request.operation_id, "progress", message=step["name"], steps=steps)
            try:
                changes = work(session, request)
            except Failure as error:
                step.update(state="failed", message=str(error))
                say(request.operation_id, "progress", message=step["name"], steps=steps)
                raise
            step.update(state="done" if changes else "skipped", message=", ".join(changes) or "as wanted")
        say(request.operation_id, "progress", message="all steps are done", steps=steps)
        changed = [step["name"] for step in steps if step["state"] == "done"]
        done(session, request, f"changed {', '.join(changed)}" if changed else "nothing to change")


def destroy(request: Request) -> None:
    with turn(request) as session:
        found = look(session, request)
        if found.role:
            session.run('ALTER ROLE :"name" NOLOGIN', name=request.name)
            terminate(session, request)
        session.run('DROP DATABASE IF EXISTS :"name" WITH (FORCE)', name=request.name)
        if found.role:
            session.run('DROP OWNED BY :"name"', name=request.name)  # What it was granted on the server itself.
            elsewhere = session.one(
                "SELECT coalesce(json_agg(DISTINCT coalesce(datname, 'the server itself')), '[]') FROM pg_shdepend"
                " LEFT JOIN pg_database d ON d.oid = CASE dbid WHEN 0 THEN objid ELSE dbid END"
                " WHERE refclassid = 'pg_authid'::regclass AND refobjid = :'name'::regrole", name=request.name)
            if elsewhere:
                message = f"Role {request.name} is still used in {', '.join(elsewhere)}: reassign or drop what it owns."
                raise Failure("RoleOwnsObjects", message, permanent=True)
            session.run('DROP ROLE :"name"', name=request.name)
        message = "removed" if found.role or found.database else "was gone already"
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
        operation_id = document.get("operation_id") if isinstance(document, dict) else None
        request = read(document)
        OPERATIONS[request.operation](request)
    except Failure as error:
        say(operation_id, "failed", reason=error.reason, message=str(error), permanent=error.permanent)


if __name__ == "__main__":
    main()
