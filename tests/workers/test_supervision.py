"""Parts of the stack that end are started again, and all are stopped at the end."""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import pytest

from domain.errors import Unavailable
from workers.embedded.processes import ChildProcess
from workers.supervision import Program, kept_up

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def program(tmp_path):
    return Program("sleeper", SLEEPER, directory=tmp_path, env=os.environ)


async def _until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_part_that_is_killed_is_started_again(program):
    told: list[str] = []
    async with kept_up("sleeper", program, told.append):
        first = program.child.pid
        os.kill(first, signal.SIGKILL)
        await _until(lambda: program.child.pid not in {first, None})
        await _until(lambda: "sleeper is up again" in told)
    assert "killed by SIGKILL" in told[0]
    assert program.child.pid is None


async def test_a_part_that_does_not_stop_is_killed(tmp_path):
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    child = ChildProcess("stubborn", run_dir=tmp_path, log_file=tmp_path / "stubborn.log", stop_signal=signal.SIGTERM)
    child.start([sys.executable, "-c", stubborn], env=os.environ)
    await _until(lambda: "up" in child.log_tail())
    await child.stop(patience=timedelta(seconds=0.1))
    assert child.exit_code == -signal.SIGKILL


async def test_a_part_that_cannot_start_leaves_nothing_behind(tmp_path, program):
    class Broken:
        stopped = False

        async def start(self):
            raise Unavailable("no")

        async def wait(self):
            return 0

        async def stop(self):
            self.stopped = True

    broken = Broken()
    with pytest.raises(Unavailable):
        async with kept_up("sleeper", program, print), kept_up("broken", broken, print):
            pass
    assert broken.stopped
    assert program.child.pid is None


async def test_what_an_earlier_stack_left_running_is_stopped_first(tmp_path, program):
    await program.start()
    left = program.child.pid
    second = Program("sleeper", SLEEPER, directory=tmp_path, env=os.environ)
    await second.start()
    assert program.child.exit_code == -signal.SIGTERM
    assert second.child.pid not in {left, None}
    await second.stop()


async def test_the_output_of_a_part_is_in_its_log(tmp_path):
    child = ChildProcess("speaker", run_dir=tmp_path, log_file=tmp_path / "speaker.log", stop_signal=signal.SIGTERM)
    child.start([sys.executable, "-c", "print('hello')"], env=os.environ)
    assert await child.wait() == 0
    await child.stop()
    assert child.log_tail() == "hello"
