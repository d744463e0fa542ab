"""What Tenure asks of this program, and how it is answered."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple

CONTRACT = "tenure.provisioner/v1"
OPERATIONS = ("apply", "observe", "destroy")
FIELDS = ("connections", "extensions", "password", "settings")
EXTENSIONS = ("btree_gin", "btree_gist", "citext", "hstore", "ltree", "pg_trgm", "pgcrypto", "unaccent")
TIMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")  # In milliseconds.


class Failure(Exception):
    def __init__(self, reason: str, message: str, *, permanent: bool, code: str = "") -> None:
        super().__init__(message)
        self.reason, self.permanent, self.code = reason, permanent, code


class Request(NamedTuple):
    operation: str
    operation_id: str
    tenant_id: str
    name: str  # Of the role and of the database.
    fence: int
    desired: dict[str, Any]
    running: bool

    @property
    def mark(self) -> str:
        return f"tenure:{self.tenant_id}"


def say(operation_id: Any, result: str, **fields: Any) -> None:
    answer = {"contract": CONTRACT, "operation_id": operation_id, "result": result, **fields}
    print(json.dumps(answer), flush=True)


def read(document: Any) -> Request:
    if not isinstance(document, dict) or document.get("contract") != CONTRACT:
        raise Failure("UnsupportedContract", f"This program speaks {CONTRACT} only.", permanent=True)
    tenant = document.get("tenant")
    tenant = tenant if isinstance(tenant, dict) else {}
    tenant_id, name, fence = str(tenant.get("id")), str(tenant.get("name")), document.get("fence")
    fields = {
        "/operation": document.get("operation") in OPERATIONS,
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
    # The id keeps a name that is used again apart; together it is at most 63 bytes, PostgreSQL's limit.
    suffix = hashlib.sha256(tenant_id.encode()).hexdigest()[:8]
    return Request(
        document["operation"], document["operation_id"], tenant_id,
        f"t_{name.replace('-', '_')[:52]}_{suffix}", document["fence"], document["desired"], document["running"],
    )


def check(desired: dict[str, Any]) -> None:
    """Refuses what can't be, by field and never by value: it may be secret."""

    def whole(value: Any, low: int, high: int) -> bool:
        return type(value) is int and low <= value <= high

    def text(value: Any, pattern: str) -> bool:
        return isinstance(value, str) and re.fullmatch(pattern, value) is not None

    wrong = [f"/{key} is not a field" for key in desired if key not in FIELDS]
    if not whole(desired.get("connections"), 1, 1000):
        wrong.append("/connections must be a whole number from 1 to 1000")
    extensions = desired.get("extensions", [])
    if not isinstance(extensions, list) or any(e not in EXTENSIONS or extensions.count(e) > 1 for e in extensions):
        wrong.append(f"/extensions must be a list of {', '.join(EXTENSIONS)}, each once")
    if "password" in desired and not text(desired["password"], r"[\x20-\x7e]{12,200}"):
        wrong.append("/password must be 12 to 200 printable ASCII characters")
    settings = desired.get("settings", {})
    for key, value in settings.items() if isinstance(settings, dict) else [("", None)]:
        if key in TIMES:
            good, rule = whole(value, 0, 86_400_000), "milliseconds, from 0 to 86400000"
        elif key == "work_mem":
            good, rule = whole(value, 64, 1_048_576), "kilobytes, from 64 to 1048576"
        elif key == "timezone":
            good, rule = text(value, r"[A-Za-z_]+(/[A-Za-z_+0-9-]+)*"), "a time zone such as Europe/Vienna"
        else:
            good, rule = False, f"an object of {', '.join(TIMES)}, work_mem and timezone"
            key = ""
        if not good:
            wrong.append(f"/settings{'/' + key if key else ''} must be {rule}")
    if wrong:
        raise Failure("InvalidDesired", f"Correct `desired`: {'; '.join(wrong)}.", permanent=True)
