#!/usr/bin/env python3
"""Gives every tenant a mailbox: a Maildir with a quota and aliases, as mail servers read them.

One request comes on stdin, the answer goes to stdout, one JSON object a line; worker.py runs it. In the
folder that MAIL_DIR names (`mail/` beside this file if unset) there are:

  boxes/<name>/                the Maildir: cur, new and tmp hold the messages, and beside them are
  boxes/<name>/maildirsize     the quota, first line `<bytes>S,<messages>C`, as in Maildir++
  boxes/<name>/aliases         `<address> <name>`, one a line
  boxes/<name>/tenure-tenant   whose it is
  fences/<id>.json             the newest operation of a tenant; it outlives the tenant

A suspended mailbox can be read, but nothing can be delivered: `new` and `tmp` have the mode 0500.
"""

from __future__ import annotations

import fcntl
import json
import mailbox
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

CONTRACT = "tenure.provisioner/v1"
MAIL = Path(os.environ.get("MAIL_DIR") or Path(__file__).parent / "mail").resolve()
BOXES, FENCES = MAIL / "boxes", MAIL / "fences"
DOMAIN = "mail.example"
BUSY_SECONDS = 8
MEGABYTE = 1 << 20
RUNNING, SUSPENDED = 0o700, 0o500


class Failure(Exception):
    def __init__(self, reason: str, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.reason, self.permanent = reason, permanent


class Request(NamedTuple):
    operation: str
    operation_id: str
    tenant_id: str
    name: str
    fence: int
    desired: dict[str, Any]
    running: bool

    @property
    def box(self) -> Path:
        return BOXES / self.name

    def address(self, alias: str) -> str:
        return f"{alias}@{self.name}.{DOMAIN}"


def say(operation_id: Any, result: str, **fields: Any) -> None:
    answer = {"contract": CONTRACT, "operation_id": operation_id, "result": result, **fields}
    print(json.dumps(answer), flush=True)


# --- What may be asked --------------------------------------------------------------------------


def read(document: Any) -> Request:
    """Checks the fields that are used; others are of a later contract, and tolerated."""
    if not isinstance(document, dict) or document.get("contract") != CONTRACT:
        raise Failure("UnsupportedContract", f"This program speaks {CONTRACT} only.", permanent=True)
    tenant = document.get("tenant")
    tenant = tenant if isinstance(tenant, dict) else {}
    tenant_id, name, fence = str(tenant.get("id")), str(tenant.get("name")), document.get("fence")
    # Ids and names become names of files, so nothing but these characters may pass.
    fields = {
        "/operation": document.get("operation") in ("apply", "observe", "destroy"),
        "/operation_id": isinstance(document.get("operation_id"), str),
        "/tenant/id": re.fullmatch(r"tnt_[A-Za-z0-9-]{1,60}", tenant_id),
        "/tenant/name": re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name),
        "/fence": type(fence) is int and 0 <= fence < 2**63,
        "/desired": isinstance(document.get("desired"), dict),
        "/running": isinstance(document.get("running"), bool),
    }
    wrong = ", ".join(field for field, good in fields.items() if not good)
    if wrong:
        raise Failure("InvalidRequest", f"The request breaks the contract at {wrong}.", permanent=True)
    return Request(document["operation"], document["operation_id"], tenant_id, name, document["fence"],
                   document["desired"], document["running"])


def check(desired: dict[str, Any]) -> None:
    """Refuses what can't be, by field and never by value."""
    wrong = [f"/{key} is not a field" for key in desired if key not in ("quota_mb", "messages", "aliases")]
    for key, high in (("quota_mb", 102_400), ("messages", 1_000_000)):
        value = desired.get(key)
        if type(value) is not int or not 1 <= value <= high:
            wrong.append(f"/{key} must be a whole number from 1 to {high}")
    aliases = desired.get("aliases")
    good = isinstance(aliases, list) and len(aliases) <= 50 and all(
        isinstance(a, str) and re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", a) and aliases.count(a) == 1
        for a in aliases)
    if not good:
        wrong.append("/aliases must be a list of at most 50 names in small letters, each once")
    if wrong:
        raise Failure("InvalidDesired", f"Correct `desired`: {'; '.join(wrong)}.", permanent=True)


# --- Looking ------------------------------------------------------------------------------------


def text(path: Path) -> Optional[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def look(request: Request) -> bool:
    """Whether there is a mailbox; one that is not this tenant's is refused."""
    if not request.box.exists():
        return False
    owner = (text(request.box / "tenure-tenant") or "nobody").strip()
    if owner != request.tenant_id:
        message = f"The mailbox {request.name} belongs to {owner}; move it away, or put its tenure-tenant right."
        raise Failure("WrongTenant", message, permanent=True)
    return True


def quota(request: Request) -> tuple[Any, Any]:
    """Megabytes and messages, if the mailbox can hold messages at all and the quota is one."""
    first = (text(request.box / "maildirsize") or "").split("\n")[0]
    match = re.fullmatch(r"(\d{1,18})S,(\d{1,18})C", first)
    if match is None or not all((request.box / part).is_dir() for part in ("cur", "new", "tmp")):
        return None, None
    size = int(match[1])
    return (size // MEGABYTE if size % MEGABYTE == 0 else size / MEGABYTE), int(match[2])


def aliases(request: Request) -> list[str]:
    """The aliases that lead here, in the order of `desired`; what else is in the file is shown as it stands."""
    lines = [line for line in (text(request.box / "aliases") or "").splitlines() if line.strip()]
    ending = f"{request.address('')} {request.name}"
    found = [line[:-len(ending)] if line.endswith(ending) else line for line in lines]
    wanted = request.desired.get("aliases")
    wanted = wanted if isinstance(wanted, list) else []
    return [alias for alias in wanted if alias in found] + [alias for alias in found if alias not in wanted]


def running(request: Request) -> Optional[bool]:
    """Whether mail can be delivered; null if the two folders that it takes disagree."""
    folders = [request.box / "new", request.box / "tmp"]
    modes = {stat.S_IMODE(folder.stat().st_mode) if folder.is_dir() else None for folder in folders}
    return {RUNNING: True, SUSPENDED: False}.get(modes.pop() or 0) if len(modes) == 1 else None


def done(request: Request, message: str) -> None:
    observed: dict[str, Any] = {"quota_mb": 0, "messages": 0, "aliases": [], "running": None}
    resources = []
    if look(request):
        megabytes, messages = quota(request)
        observed = {"quota_mb": megabytes, "messages": messages, "aliases": aliases(request),
                    "running": running(request), "stored": usage(request.box)[1]}
        resources = [f"maildir:{request.name}"]
    say(request.operation_id, "done", observed=observed, resources=resources, message=message)


def observe(request: Request) -> None:
    done(request, "looked at the files")


# --- Changing -----------------------------------------------------------------------------------


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: str) -> None:
    """Replaces a file as a whole, so that nobody ever reads half of it."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(content, encoding="utf-8")
    flush(draft)
    draft.rename(path)
    flush(path.parent)


@contextmanager
def turn(request: Request) -> Iterator[None]:
    """Holds the tenant's turn, if no newer operation has had it.

    The fence is kept apart from the mailbox, for it has to outlive it: without it, a late apply would
    bring a destroyed tenant back. It is durable before anything is touched, and the lock, which a kill
    opens too, is held until everything is: two workers on one machine never meet in a mailbox.
    """
    FENCES.mkdir(mode=0o700, parents=True, exist_ok=True)
    BOXES.mkdir(mode=0o700, exist_ok=True)
    with (FENCES / f"{request.tenant_id}.lock").open("w") as lock:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = "Another operation of this tenant still runs; try again."
                    raise Failure("Busy", message, permanent=False) from None
                time.sleep(0.05)
        file = FENCES / f"{request.tenant_id}.json"
        fence, destroyed = json.loads(text(file) or "[0, false]")
        destroying = request.operation == "destroy"
        if (request.fence, destroying) < (fence, destroyed):
            message = (f"Fence {request.fence} comes too late: the tenant was "
                       f"{'destroyed' if destroyed else 'changed'} under fence {fence}; leave it to its holder.")
            raise Failure("StaleFence", message, permanent=False)
        write(file, json.dumps([request.fence, destroying]))
        yield


def usage(box: Path) -> tuple[int, int]:
    """Bytes and messages; others deliver and fetch at the same time, so a message may be gone already."""
    sizes = []
    for part in ("cur", "new"):
        for message in (box / part).iterdir() if (box / part).is_dir() else ():
            try:
                sizes.append(message.stat().st_size)
            except FileNotFoundError:
                pass
    return sum(sizes), len(sizes)


def remove(folder: Path) -> None:
    for part in ("new", "tmp"):
        if (folder / part).is_dir():
            (folder / part).chmod(RUNNING)  # A folder that can't be written can't be emptied.
    if folder.exists():
        shutil.rmtree(folder)


def make(request: Request) -> list[str]:
    """Makes the Maildir elsewhere and renames it, so that a mailbox is there as a whole or not at all."""
    draft = BOXES / f".{request.tenant_id}.new"
    remove(draft)  # What a kill left behind.
    if look(request):
        lost = [part for part in ("cur", "new", "tmp") if not (request.box / part).is_dir()]
        for part in lost:
            (request.box / part).mkdir(mode=RUNNING)
        return lost
    mailbox.Maildir(str(draft), create=True)
    write(draft / "tenure-tenant", f"{request.tenant_id}\n")
    for part in ("new", "tmp"):  # Nothing is delivered before the quota stands.
        (draft / part).chmod(SUSPENDED)
    draft.rename(request.box)
    flush(BOXES)
    return ["created"]


def set_quota(request: Request) -> list[str]:
    wanted = request.desired["quota_mb"], request.desired["messages"]
    if quota(request) == wanted:
        return []
    size, count = usage(request.box)
    write(request.box / "maildirsize", f"{wanted[0] * MEGABYTE}S,{wanted[1]}C\n{size} {count}\n")
    return [f"{wanted[0]} MB, {wanted[1]} messages"]


def set_aliases(request: Request) -> list[str]:
    wanted = request.desired["aliases"]
    if aliases(request) == wanted:
        return []
    write(request.box / "aliases", "".join(f"{request.address(alias)} {request.name}\n" for alias in wanted))
    return [f"{len(wanted)} aliases"]


def set_access(request: Request) -> list[str]:
    if running(request) == request.running:
        return []
    for part in ("new", "tmp"):
        (request.box / part).chmod(RUNNING if request.running else SUSPENDED)
    return ["open" if request.running else "shut"]


STEPS: dict[str, Callable[[Request], list[str]]] = {
    "mailbox": make, "quota": set_quota, "aliases": set_aliases, "access": set_access}


def apply(request: Request) -> None:
    check(request.desired)
    steps = [{"name": name, "state": "pending"} for name in STEPS]
    with turn(request):
        for step in steps:
            step["state"] = "running"
            say(request.operation_id, "progress", message=step["name"], steps=steps)
            changes = STEPS[step["name"]](request)
            step.update(state="done" if changes else "skipped", message=", ".join(changes) or "as wanted")
        say(request.operation_id, "progress", message="all steps are done", steps=steps)
        changed = [step["name"] for step in steps if step["state"] == "done"]
        done(request, f"changed {', '.join(changed)}" if changed else "nothing to change")


def destroy(request: Request) -> None:
    with turn(request):
        existed, doomed = look(request), BOXES / f".{request.tenant_id}.old"
        remove(doomed)
        remove(BOXES / f".{request.tenant_id}.new")
        if existed:
            request.box.rename(doomed)  # From here on it is gone for everybody, also if this is killed.
            flush(BOXES)
            remove(doomed)
        say(request.operation_id, "done", observed={}, resources=[],
            message="removed" if existed else "was gone already")


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
        return
    except Failure as error:
        failure = error
    except OSError as error:
        message = f"{error.strerror}: see that the disk has room and that {MAIL.name}/ can be written."
        failure = Failure("DiskUnavailable", message, permanent=False)
    say(operation_id, "failed", reason=failure.reason, message=str(failure), permanent=failure.permanent)


if __name__ == "__main__":
    main()
