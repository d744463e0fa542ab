"""Runs psql, safely, and makes of a password what PostgreSQL keeps of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile
from typing import Any, Optional

from contract import Failure

LOCK_SECONDS = 8


class Session:
    """A psql that is kept running, so that a lock taken in it lasts until it is closed or killed.

    Values reach SQL only as psql variables, :'x' for a literal and :"x" for an identifier.
    """

    END = "-- end --"  # Rows are JSON, and no JSON value reads like this.

    def __init__(self, database: str) -> None:
        # A tenant owns its database: nothing that it put there may stand in for what is called here.
        options = f"-c search_path=pg_catalog -c client_min_messages=error -c lc_messages=C"
        options += f" -c lock_timeout={LOCK_SECONDS}s -c statement_timeout=0 -c synchronous_commit=on"
        environment = {"PGCONNECT_TIMEOUT": "8", **os.environ, "PGCLIENTENCODING": "UTF8", "LC_ALL": "C",
                       "PGOPTIONS": f"{os.environ.get('PGOPTIONS', '')} {options}"}
        command = ["psql", "-XqAtw", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-d", database]
        self.stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        try:
            self.psql = subprocess.Popen(command, env=environment, encoding="utf-8", stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=self.stderr)
        except OSError:
            message = "There is no `psql`: install the PostgreSQL client (`apt-get install postgresql-client`)."
            raise Failure("PsqlMissing", message, permanent=False) from None
        version = self.one("SELECT current_setting('server_version_num')::int")
        if version < 130_000:
            message = f"The server has version {version}; use PostgreSQL 13 or newer."
            raise Failure("ServerTooOld", message, permanent=True)

    def run(self, sql: str, **values: Any) -> list[Any]:
        escaped = {key: re.sub(r"([\\'])", r"\\\1", str(value)) for key, value in values.items()}
        script = "".join(f"\\set {key} '{value}'\n" for key, value in escaped.items())
        rows: list[Any] = []
        assert self.psql.stdin and self.psql.stdout
        try:
            self.psql.stdin.write(f"{script}{sql};\n\\echo '{self.END}'\n")
            self.psql.stdin.flush()
        except BrokenPipeError:
            pass  # Why it ended is read below.
        for line in self.psql.stdout:
            if line.rstrip("\n") == self.END:
                return rows
            if line.strip():
                rows.append(json.loads(line))
        self.psql.wait()
        self.stderr.seek(0)
        said = self.stderr.read()
        error = re.search(r"(?:ERROR|FATAL): +(?:([0-9A-Z]{5}): )?(.*)", said)
        code, message = (error[1] or "", error[2]) if error else ("", said.strip().split("\n")[0] or "it hung up")
        if code == "55P03":
            message = "Another operation of this tenant still runs; try again."
            raise Failure("Busy", message, permanent=False, code=code)
        reason = "ServerRefused" if code else "ServerUnavailable"
        raise Failure(reason, f"PostgreSQL says: {message}.", permanent=False, code=code)

    def one(self, sql: str, **values: Any) -> Any:
        return self.run(sql, **values)[0]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it; returns once psql, and so the lock, is gone."""
        try:
            self.psql.communicate()
        finally:
            self.stderr.close()


def verifier(password: str, salt: bytes, iterations: int) -> str:
    """What PostgreSQL keeps of a password (RFC 5803), so that it reads no password and logs none."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    keys = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored, server = (base64.b64encode(part).decode() for part in (salt, *keys))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored}:{server}"


def is_of(password: str, stored: Optional[str]) -> bool:
    parts = re.match(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$", stored or "")
    if stored is None or parts is None:
        return False
    return hmac.compare_digest(stored, verifier(password, base64.b64decode(parts[2]), int(parts[1])))
