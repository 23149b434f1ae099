"""A server that serves is not stopped by the interpreter's own work."""

import subprocess
import sys
from pathlib import Path

SERVER = """
import gc, sys
from local_server import app

real = app.make_server
pauses = app.keep_pauses_short

def watched(*given):
    server = real(*given)
    def keep_and_end():
        pauses()
        print(gc.get_freeze_count(), len(gc.get_objects()), sys.getswitchinterval(), flush=True)
        server.should_exit = True
    app.keep_pauses_short = keep_and_end
    return server

app.make_server = watched
sys.exit(app.serve(port=0, engine="process", home=app.Path(sys.argv[1])))
"""


def test_what_a_server_keeps_is_never_looked_through_again(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SERVER, str(tmp_path / "home")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept, looked_through, switch_s = done.stdout.split()
    assert int(kept) > 50_000
    assert int(looked_through) < 1_000
    assert float(switch_s) <= 0.001
