"""What confines the process of a candidate: limits, a filter of system calls, a filter of files.

All of it needs no privilege and is one-way. Linux has every layer; elsewhere the limits of files
and of processor time alone hold.
Sources: prctl(2), seccomp(2), landlock(7), the system call tables of Linux 6.9 (x86_64, and the
generic one of aarch64), include/uapi/linux/{filter,seccomp,landlock}.h.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSYS, EPERM
from pathlib import Path

LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_MM = 35
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent ends, also when that has happened already."""
    if LINUX:
        _prctl(PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(1)


def hide_memory() -> None:
    """Other processes of this user can neither trace this one nor read its memory."""
    if LINUX:
        _prctl(PR_SET_DUMPABLE, 0)


def close_descriptors(keep: Sequence[int]) -> None:
    """Leaves open `keep` and the first three, which become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    listing = "/proc/self/fd" if LINUX else "/dev/fd"
    for name in os.listdir(listing):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            with suppress(OSError):  # the listing's own descriptor is gone
                os.close(descriptor)


def prefer_for_oom_kill() -> None:
    """When the machine runs out of memory, the kernel ends this process before any other."""
    if not LINUX:
        return
    _prctl(PR_SET_DUMPABLE, 1)  # else the file belongs to root
    with suppress(OSError):  # where /proc is not writable, the limits still hold
        Path("/proc/self/oom_score_adj").write_text("1000")
    _prctl(PR_SET_DUMPABLE, 0)


@dataclass(frozen=True)
class Memory:
    """Of a process, in bytes: what it may write to privately (`data`), and what is resident of that
    and of memory shared with nobody else's files (`resident`)."""

    data: int
    resident: int


def memory_of(pid: int | str = "self") -> Memory:
    """Read from /proc; raises OSError where there is none, or no such process."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmData", "RssAnon", "RssShmem"):
            fields[name] = int(value.split()[0]) << 10
    return Memory(fields.get("VmData", 0), fields.get("RssAnon", 0) + fields.get("RssShmem", 0))


def limit_resources(memory: int, threads: int) -> None:
    """No core, no byte written to any file, few descriptors; `memory` bytes on top of what is held.

    The memory limit is RLIMIT_DATA, not RLIMIT_AS: address space alone costs nothing, and CUDA and
    the allocator's arenas reserve a lot of it. Shared mappings escape it; the parent's watch on
    resident memory catches those.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, 1024)
    if LINUX:
        stacks = 8 * threads << 20
        _lower(resource.RLIMIT_DATA, memory_of().data + stacks + memory)


def limit_cpu(seconds: int) -> None:
    """CPU seconds from the start of the process; the backstop of the parent's wall clock."""
    _lower(resource.RLIMIT_CPU, seconds)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


@dataclass(frozen=True)
class _Architecture:
    audit: int
    numbers: dict[str, int]
    denied: tuple[int, ...]


# Answered with EPERM. Unlisted system calls newer than NEWEST are answered with ENOSYS.
_DENIED_X86_64 = (
    # new processes and programs (clone has a rule of its own): fork vfork execve execveat
    *(57, 58, 59, 322),
    # other processes: kill tkill rt_sigqueueinfo rt_tgsigqueueinfo ptrace kcmp process_vm_readv
    # process_vm_writev pidfd_send_signal pidfd_open pidfd_getfd process_madvise process_mrelease
    # move_pages migrate_pages setpriority ioprio_set sched_setparam sched_setscheduler
    # sched_setaffinity sched_setattr
    *(62, 200, 129, 297, 101, 312, 310, 311, 424, 434, 438, 440, 448),
    *(279, 256, 141, 251, 142, 144, 203, 314),
    # network: socket connect accept sendto bind listen socketpair accept4
    *(41, 42, 43, 44, 49, 50, 53, 288),
    # memory outside the account, and what outlives the process: shmget shmat shmctl shmdt semget
    # semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink memfd_create
    # memfd_secret
    *(29, 30, 31, 67, 64, 65, 66, 220, 68, 69, 70, 71, 240, 241, 319, 447),
    # changes to files: creat truncate ftruncate rename renameat renameat2 mkdir mkdirat rmdir link
    # linkat unlink unlinkat symlink symlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown
    # fchownat utime utimes futimesat utimensat mknod mknodat setxattr lsetxattr fsetxattr
    # removexattr lremovexattr fremovexattr open_by_handle_at name_to_handle_at
    *(85, 76, 77, 82, 264, 316, 83, 258, 84, 86, 265, 87, 263, 88, 266, 90, 91, 268, 452),
    *(92, 93, 94, 260, 132, 235, 261, 280, 133, 259, 188, 189, 190, 197, 198, 199, 304, 303),
    # namespaces and mounts: unshare setns mount umount2 pivot_root chroot open_tree move_mount
    # fsopen fsconfig fsmount fspick mount_setattr
    *(272, 308, 165, 166, 155, 161, 428, 429, 430, 431, 432, 433, 442),
    # kernel interfaces with a history: bpf perf_event_open io_uring_setup io_uring_enter
    # io_uring_register userfaultfd add_key request_key keyctl fanotify_init lookup_dcookie
    # modify_ldt personality
    *(321, 298, 425, 426, 427, 323, 248, 249, 250, 300, 212, 154, 135),
    # the machine: init_module finit_module delete_module kexec_load kexec_file_load reboot swapon
    # swapoff sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime acct
    # quotactl syslog iopl ioperm
    *(
        175,
        313,
        176,
        246,
        320,
        169,
        167,
        168,
        170,
        171,
        164,
        227,
        159,
        305,
        163,
        179,
        103,
        172,
        173,
    ),
    # identity: setuid setgid setreuid setregid setgroups setresuid setresgid
    *(105, 106, 113, 114, 116, 117, 119),
)

_DENIED_AARCH64 = (
    # execve execveat
    *(221, 281),
    # kill tkill rt_sigqueueinfo rt_tgsigqueueinfo ptrace kcmp process_vm_readv process_vm_writev
    # pidfd_send_signal pidfd_open pidfd_getfd process_madvise process_mrelease move_pages
    # migrate_pages setpriority ioprio_set sched_setparam sched_setscheduler sched_setaffinity
    # sched_setattr
    *(129, 130, 138, 240, 117, 272, 270, 271, 424, 434, 438, 440, 448),
    *(239, 238, 140, 30, 118, 119, 122, 274),
    # socket connect accept sendto bind listen socketpair accept4
    *(198, 203, 202, 206, 200, 201, 199, 242),
    # shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open
    # mq_unlink memfd_create memfd_secret
    *(194, 196, 195, 197, 190, 193, 191, 192, 186, 189, 188, 187, 180, 181, 279, 447),
    # truncate ftruncate renameat renameat2 mkdirat linkat unlinkat symlinkat fchmod fchmodat
    # fchmodat2 fchown fchownat utimensat mknodat setxattr lsetxattr fsetxattr removexattr
    # lremovexattr fremovexattr open_by_handle_at name_to_handle_at
    *(45, 46, 38, 276, 34, 37, 35, 36, 52, 53, 452, 55, 54, 88, 33, 5, 6, 7, 14, 15, 16, 265, 264),
    # unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount
    # fspick mount_setattr
    *(97, 268, 40, 39, 41, 51, 428, 429, 430, 431, 432, 433, 442),
    # bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd add_key
    # request_key keyctl fanotify_init lookup_dcookie personality
    *(280, 241, 425, 426, 427, 282, 217, 218, 219, 262, 18, 92),
    # init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff
    # sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime acct quotactl
    # syslog
    *(105, 273, 106, 104, 294, 142, 224, 225, 161, 162, 170, 112, 171, 266, 89, 60, 116),
    # setuid setgid setreuid setregid setgroups setresuid setresgid
    *(146, 144, 145, 143, 159, 147, 149),
)

_ARCHITECTURES = {
    "x86_64": _Architecture(
        0xC000003E,
        {"clone": 56, "clone3": 435, "tgkill": 234, "prctl": 157, "prlimit64": 302, "fcntl": 72}
        | {"open": 2, "openat": 257, "openat2": 437},
        _DENIED_X86_64,
    ),
    "aarch64": _Architecture(
        0xC00000B7,
        {"clone": 220, "clone3": 435, "tgkill": 131, "prctl": 167, "prlimit64": 261, "fcntl": 25}
        | {"openat": 56, "openat2": 437},
        _DENIED_AARCH64,
    ),
}

NEWEST = 462
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_TMPFILE = 0x00400000

# Classic BPF: (code, jump if true, jump if false, constant).
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_Instruction = tuple[int, int, int, int]


def _errno(value: int) -> _Instruction:
    return (_RETURN, 0, 0, 0x00050000 | value)


def _filter(architecture: _Architecture, pid: int, device_files: bool) -> list[_Instruction]:
    """The program, over struct seccomp_data: number at 0, architecture at 4, arguments from 16."""
    allow: _Instruction = (_RETURN, 0, 0, _ALLOW)
    program: list[_Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        _errno(EPERM),
        (_AT_LEAST, 0, 1, NEWEST + 1),
        _errno(ENOSYS),
    ]
    for number in architecture.denied:
        program += [(_EQUAL, 0, 1, number), _errno(EPERM)]

    def rule(name: str, argument: int, test: list[_Instruction]) -> None:
        """`test` sees the low half of an argument and ends in a return on every path."""
        if name in architecture.numbers:
            number = architecture.numbers[name]
            body = [(_LOAD, 0, 0, 16 + 8 * argument), *test]
            program.append((_EQUAL, 0, len(body), number))
            program.extend(body)

    def deny_values(values: Iterable[int]) -> list[_Instruction]:
        tests: list[_Instruction] = []
        for value in values:
            tests += [(_EQUAL, 0, 1, value), _errno(EPERM)]
        return [*tests, allow]

    def only(value: int) -> list[_Instruction]:
        return [(_EQUAL, 0, 1, value), allow, _errno(EPERM)]

    creating = os.O_CREAT | os.O_TRUNC | _TMPFILE
    writing = creating if device_files else creating | os.O_WRONLY | os.O_RDWR
    deny_writing: list[_Instruction] = [(_ANY_BIT, 0, 1, writing), _errno(EPERM), allow]
    # The C library falls back to clone and openat, whose arguments a filter can see.
    for name in ("clone3", "openat2"):
        program += [(_EQUAL, 0, 1, architecture.numbers[name]), _errno(ENOSYS)]
    rule("clone", 0, [(_ANY_BIT, 0, 1, _CLONE_THREAD), allow, _errno(EPERM)])
    rule("tgkill", 0, only(pid))
    rule("prlimit64", 0, only(0))
    rule("prctl", 0, deny_values((PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_MM)))
    rule("fcntl", 1, deny_values((_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)))  # signals to others
    rule("open", 1, deny_writing)
    rule("openat", 2, deny_writing)
    return [*program, allow]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_system_calls(device_files: bool) -> bool:
    """Installs the filter in every thread to come; False where this machine has no such filter.

    `device_files`: files may be opened for writing (never created or truncated), which GPU drivers
    need for their devices.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if not LINUX or architecture is None:
        return False
    program = _filter(architecture, os.getpid(), device_files)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    argument = _Program(len(program), packed)
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
    return bool(libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(argument), zero, zero) == 0)


_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14  # those a rule on a file may name
_SCOPES_FROM = 6  # the version that can also scope signals and abstract sockets


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def filter_files(readable: Iterable[str], devices: Iterable[str]) -> bool:
    """From here on only `readable` can be read and only `devices` written; False if not available.

    Files that are open or mapped stay so. Of folders with answers no more than names can be read.
    """
    if not LINUX:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return False
    handled = (1 << (13 if version == 1 else 14 if version == 2 else 15)) - 1
    scoped = 0b11 if version >= _SCOPES_FROM else 0
    attributes = struct.pack("=QQQ", handled, 0, scoped)
    size = 24 if scoped else 8
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    try:
        hidden = answer_folders()
        for path in readable:
            for part, rights in _around(os.path.realpath(path), hidden):
                _allow(libc, ruleset, part, rights)
        for path in devices:
            _allow(libc, ruleset, path, _READ_FILE | _WRITE_FILE)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0)) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine
    try:
        if not os.path.isdir(path):
            rights &= _FILE_RIGHTS
        rule = _Rule(rights, parent)
        libc.syscall(_LANDLOCK_ADD, ruleset, ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint(0))
    finally:
        os.close(parent)


def answer_folders() -> list[str]:
    """Folders of this system that hold labels by which candidates are scored, under each name."""
    known = ["/usr/share/datasets", *(os.path.join(p, "sklearn/datasets/data") for p in sys.path)]
    there = [path for path in known if os.path.isdir(path)]
    return list(dict.fromkeys([*there, *map(os.path.realpath, there)]))


def _around(path: str, hidden: Sequence[str]) -> list[tuple[str, int]]:
    """What to allow so that all of `path` but the hidden folders can be read; a rule of Landlock
    holds for all that is below, so what lies beside them is named instead."""
    if path in hidden:
        return []
    if not any(folder.startswith(path.rstrip("/") + "/") for folder in hidden):
        return [(path, _READ)]
    rules = [(path, _READ_DIR)]
    with os.scandir(path) as entries:
        # What a symlink leads to is reached where it lies.
        beside = [entry.path for entry in entries if not entry.is_symlink()]
    for entry in beside:
        rules += _around(entry, hidden)
    return rules


def readable_paths() -> list[str]:
    """What a Python process with PyTorch goes on reading after its start."""
    own = [entry for entry in (*sys.path, sys.prefix, sys.base_prefix) if os.path.isabs(entry)]
    system = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"]
    kernel = ["/proc", "/sys", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"]
    return [*own, *system, *kernel]


def confine(memory: int, threads: int, devices: Sequence[str]) -> list[str]:
    """Applies every layer to this process for good; the names of those that hold.

    `memory` in bytes on top of what is held now; `devices` are the GPU's device files.
    """
    layers = ["rlimits"]
    if LINUX:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        prefer_for_oom_kill()
        if filter_files(readable_paths(), devices):
            layers.insert(0, "landlock")
    limit_resources(memory, threads)
    if filter_system_calls(device_files=bool(devices)):
        layers.insert(0, "seccomp")
    return layers


if __name__ == "__main__":  # `python -m netwright.sandbox`: which layers hold here
    print(json.dumps(confine(memory=64 << 20, threads=1, devices=())))
