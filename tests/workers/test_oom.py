"""Whether the kernel killed for want of memory, read from its own counts."""

import pytest

from flazy.workers import oom


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Give a function that sets the counts: of the cgroup, and of the machine."""
    monkeypatch.setattr(oom, "PROC", tmp_path)
    monkeypatch.setattr(oom, "CGROUPS", tmp_path / "cgroups")
    (tmp_path / "self").mkdir()

    def tell(line, file, cgroup, machine):
        (tmp_path / "self" / "cgroup").write_text(f"3:cpuset:/\n{line}\n")
        (tmp_path / "vmstat").write_text(f"nr_free_pages 5\noom_kill {machine}\n")
        path = tmp_path / "cgroups" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"oom 9\noom_kill {cgroup}\noom_group_kill 0\n")

    return tell


VERSIONS = {
    "version 2": ("0::/user/me", "user/me/memory.events"),
    "version 2 in a container": ("0::/host/path", "memory.events"),
    "version 1": ("4:cpu,memory:/user/me", "memory/user/me/memory.oom_control"),
    "version 1 in a container": ("4:memory:/host/path", "memory/memory.oom_control"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_kill_in_the_cgroup_is_told_once(kernel, version):
    kernel(*VERSIONS[version], 3, 7)
    kills = oom.OomKills()
    before = kills.look()
    kernel(*VERSIONS[version], 4, 8)

    assert ("", True, "") == (before, "the cgroup's oom_kill rose" in kills.look(), kills.look())


def test_kill_elsewhere_is_told_as_such(kernel):
    kernel(*VERSIONS["version 2"], 3, 7)
    kills = oom.OomKills()
    kernel(*VERSIONS["version 2"], 3, 8)

    assert "on this machine just then" in kills.look()


def test_without_counts_nothing_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(oom, "PROC", tmp_path)
    kills = oom.OomKills()

    assert not kills.look()
