"""Readings of the machine, from the real kernel; a small fake only for what this machine does not do."""

import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from collectors import host
from collectors.host import CpuTimes
from collectors.unavailable import Unavailable


class Machine:
    """A fake psutil: the real one, with some answers replaced. For states a test machine cannot be put into."""

    def __init__(self, **answers):
        self._answers = answers

    def __getattr__(self, name):
        return self._answers.get(name, getattr(psutil, name))


class Mount(NamedTuple):
    device: str
    mountpoint: str
    fstype: str


class Times(NamedTuple):
    user: float
    nice: float
    system: float
    idle: float
    iowait: float
    guest: float
    guest_nice: float


def fails(why: Exception):
    def answer(*args):
        raise why

    return answer


def test_memory_is_what_the_kernel_says():
    lines = Path("/proc/meminfo").read_text().splitlines()
    told = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    seen = host.read()
    assert seen.memory_total_bytes == told["MemTotal"]
    assert seen.memory_used_bytes == seen.memory_total_bytes - seen.memory_available_bytes
    assert seen.memory_available_bytes == pytest.approx(told["MemAvailable"], rel=0.05)
    assert seen.swap_total_bytes == told["SwapTotal"]


def test_cpu_percent_needs_an_earlier_look_and_is_none_without_one():
    assert host.read().cpu_percent is None


def test_cpu_percent_is_the_busy_share_between_two_looks():
    earlier = host.read().cpu_times
    end = time.monotonic() + 0.4
    while time.monotonic() < end:  # one core really busy
        pass
    seen = host.read(earlier)
    assert seen.cpu_percent is not None
    assert seen.cpu_percent >= 50 / (os.cpu_count() or 1)
    assert seen.cpu_percent <= 100


def test_two_looks_within_one_tick_are_unknown_not_zero():
    times = psutil.cpu_times()
    machine = Machine(cpu_times=lambda: times)
    earlier = host.read(psutil=machine).cpu_times
    assert host.read(earlier, psutil=machine).cpu_percent is None


def test_guest_time_is_not_counted_twice():
    machine = Machine(cpu_times=lambda: Times(60.0, 0.0, 0.0, 30.0, 10.0, 60.0, 0.0))
    assert host.read(CpuTimes(0.0, 0.0), psutil=machine).cpu_percent == 60


def test_the_root_file_system_is_there_with_its_size():
    [root] = [disk for disk in host.read().disks if disk.mount_point == "/"]
    usage = shutil.disk_usage("/")
    assert root.total_bytes == usage.total
    assert root.used_bytes == pytest.approx(usage.used, rel=0.05)


def test_bind_mounts_and_pseudo_file_systems_are_not_counted_again(tmp_path):
    (tmp_path / "resolv.conf").write_text("")
    data = Mount("/dev/sdb", str(tmp_path), "xfs")
    everything = [
        Mount("overlay", "/", "overlay"),
        Mount("proc", "/proc", "proc"),
        Mount("tmpfs", "/dev/shm", "tmpfs"),
        data,
        Mount("/dev/sdb", str(tmp_path / "bound" / "again"), "xfs"),
        Mount("/dev/sdc", str(tmp_path / "resolv.conf"), "ext4"),
        Mount("/dev/loop0", "/snap/core", "squashfs"),
    ]
    physical = [mount for mount in everything if mount.device.startswith("/dev/")]
    machine = Machine(disk_partitions=lambda **asked: everything if asked["all"] else physical)
    assert [disk.mount_point for disk in host.read(psutil=machine).disks] == ["/", str(tmp_path)]


def test_a_file_system_that_does_not_answer_is_listed_with_its_reason():
    machine = Machine(disk_usage=fails(OSError(5, "Input/output error")))
    disks = host.read(psutil=machine).disks
    assert {(disk.total_bytes, disk.trouble) for disk in disks} == {(None, "EIO")}


def test_a_kernel_that_tells_no_swap_reads_none():
    seen = host.read(psutil=Machine(swap_memory=fails(RuntimeError("no /proc/vmstat"))))
    assert (seen.swap_used_bytes, seen.swap_total_bytes) == (None, None)


def test_a_machine_without_proc_is_unavailable():
    with pytest.raises(Unavailable) as why:
        host.read(psutil=Machine(virtual_memory=fails(FileNotFoundError("/proc/meminfo"))))
    assert why.value.kind == "no-proc"


def test_our_own_memory_is_resident_bytes():
    assert host.read().process_resident_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
