"""A provisioner for the kit's tests: tenants are files in $STATE. $FLAW names how it is broken; none if unset.

One request comes on stdin; with `--serve` it listens on a free port of loopback, and prints which.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTRACT = "tenure.provisioner/v1"
STATE = Path(os.environ["STATE"])
FLAW = os.environ.get("FLAW", "")
FIELDS = {"contract", "operation", "operation_id", "tenant", "generation", "fence", "desired", "running",
          "observed", "resources"}


class Refused(Exception):
    def __init__(self, reason, message, permanent=False):
        super().__init__(message)
        self.reason, self.permanent = reason, permanent


def read(path, default):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default


def write(path, value):
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(value))
    new.rename(path)


@contextlib.contextmanager
def turn(request, path):
    """Holds the tenant's turn, and refuses whoever comes too late."""
    name, operation, fence = path.name, request["operation"], request["fence"]
    with open(STATE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = read(STATE / f"{name}.fence", 0)
        is_careless = (FLAW == "ignores-old-fences" and operation == "apply" and path.exists()
                       or FLAW == "ignores-fences")
        if (fence < seen or FLAW == "refuses-equals" and fence == seen) and not is_careless:
            permanent = FLAW == "refuses-for-ever" and path.exists()
            raise Refused("StaleFence", f"fence {seen} was seen", permanent)
        write(STATE / f"{name}.fence", fence)
        if FLAW == "takes-no-turns":
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(0.15)
        yield
        if FLAW == "forgets-the-fence" and operation == "destroy":
            (STATE / f"{name}.fence").unlink()


def look(path):
    """What is said of what is there."""
    stored = read(path, None)
    if stored is None:
        return {"observed": {}, "resources": []}
    if FLAW == "says-nothing-seen":
        return {"resources": [f"file:{path.name}"]}
    observed = {**stored["desired"], "running": stored["running"]}
    return {"observed": observed, "resources": [f"file:{path.name}"]}


def apply(request, path, say):
    stored = read(path, {})
    desired = dict(request["desired"])
    if FLAW == "ignores-changes" and stored:
        desired = stored["desired"]
    if FLAW == "never-resumes" and stored.get("running") is False:
        raise Refused("NoWayBack", "it was suspended")
    if stored.get("half"):
        raise Refused("HalfMade", "a run before this one did not end")
    if FLAW == "half-made":
        write(path, {"half": True})
        # Most of the run, so that of ten moments some fall in here, however busy the machine.
        time.sleep(0.5)
    count = stored.get("count", 0) + 1
    if FLAW == "says-two-lines":
        write(path, {"half": True})
    if FLAW != "half-made":
        say("progress", message="writing")
    if FLAW == "says-two-lines":
        # Longer than a busy machine takes to kill it after the line above.
        time.sleep(1)
    write(path, {"desired": desired, "running": request["running"], "count": count})
    answer = look(path)
    if FLAW == "counts-applies":
        answer["observed"]["count"] = count
    say("done", **answer)


def observe(request, path, say):
    answer = look(path)
    if FLAW == "echoes":
        there = read(path, None) is not None
        answer["observed"] = {**request["desired"], "running": request["running"]} if there else {}
    if FLAW == "looks-differ":
        answer["observed"]["at"] = time.monotonic_ns()
    say("done", **answer)


def destroy(request, path, say):
    if FLAW == "fails-when-gone" and not path.exists():
        raise Refused("NotFound", "there is no such tenant")
    path.unlink(missing_ok=True)
    if FLAW == "comes-back":
        (STATE / f"{path.name}.fence").unlink(missing_ok=True)
    say("done", observed={}, resources=[])


def work(request, say):
    if request["contract"] != CONTRACT and FLAW != "any-version":
        raise Refused("UnknownContract", f"only {CONTRACT} is known", permanent=True)
    if FLAW == "chokes" and request.keys() - FIELDS:
        raise Refused("UnknownField", "the request has a field too many")
    if FLAW == "answers-nothing":
        return
    path = STATE / request["tenant"]["id"]
    operation = request["operation"]
    if operation == "observe":
        observe(request, path, say)
        return
    with turn(request, path):
        (apply if operation == "apply" else destroy)(request, path, say)


def answer(request, out):
    def say(result, **fields):
        line = {"contract": CONTRACT, "operation_id": request["operation_id"], "result": result, **fields}
        out.write(json.dumps(line).encode() + b"\n")
        out.flush()

    try:
        work(request, say)
    except Refused as error:
        say("failed", reason=error.reason, message=str(error), permanent=error.permanent)


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.end_headers()
        with contextlib.suppress(OSError):
            answer(request, self.wfile)

    def log_message(self, *_):
        pass


if "--serve" in sys.argv:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    print(server.server_address[1], flush=True)
    server.serve_forever()
answer(json.load(sys.stdin), sys.stdout.buffer)
