"""What schemathesis must know of Tenure beside its description."""

import re

import schemathesis

LINES = "application/x-ndjson"

# What these say of a request, no schema could have said before.
BEYOND_A_SCHEMA = {
    "answer_invalid",
    "cursor_invalid",
    "idempotency_key_reused",
    "revision_conflict",
    "schema_violation",
    "unknown_class",
}

PATTERNS = {
    "If-Match": r'"[1-9][0-9]*(\.tnt_.{26})?"$',
    "If-None-Match": r'\*$|(W/)?"[1-9][0-9]*(\.tnt_.{26})?"$',
    "Tenure-Actor": r"user:.",
}


@schemathesis.serializer(LINES)
def lines(context, value):
    """Sends lines as they are."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Waits for nothing for long, and keeps the rules that no schema can say of what should be good."""
    if isinstance(case.query.get("wait"), int):
        case.query["wait"] = min(case.query["wait"], 1)
    if isinstance(case.body, dict) and isinstance(case.body.get("wait_seconds"), (int, float)):
        case.body["wait_seconds"] = min(case.body["wait_seconds"], 0.1)
    if not is_positive(case):
        return
    if case.method == "PUT" and case.path_parameters["tenant"].startswith("tnt_"):
        case.path_parameters["tenant"] = "acme"
    if "revision" in case.query:
        case.query.pop("at", None)
    # Where a text has a pattern, the boundaries that are tried of its length may not keep it.
    for name, pattern in PATTERNS.items():
        if name in case.headers and not re.match(pattern, case.headers[name]):
            case.headers.pop(name)
    # Which revision a tenant is at can't be guessed: only dry runs try.
    if case.query.get("dry_run") not in (True, "true"):
        case.headers.pop("If-Match", None)
    if "If-Match" in case.headers:
        case.headers.pop("If-None-Match", None)
    if isinstance(case.body, dict):
        if "message" in case.body:
            case.query.pop("message", None)
        for name, value in case.body.items():
            if isinstance(value, float) and value.is_integer():
                case.body[name] = int(value)
        if "class" in case.body:
            case.body["class"] = "default"
        if case.body.get("expires_at"):
            case.body["expires_at"] = "2999-01-01T00:00:00Z"


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.check
def what_is_described_is_taken(context, response, case):
    """What the description allows is not refused as bad input."""
    if not is_positive(case) or response.status_code not in (400, 415, 422):
        return
    problem = response.json()
    # Nor could a schema have said what any part of any document may hold.
    of_documents = any(rule in problem["detail"] for rule in ("2^53", "U+0000"))
    if problem["code"] not in BEYOND_A_SCHEMA and not of_documents:
        raise AssertionError(f"{problem['code']}: {problem['detail']}")
