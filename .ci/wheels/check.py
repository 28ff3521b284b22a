"""Check wheels for other machines, as far as one Linux machine can.

Looks at the files of each: kind of machine, shared libraries and versions of symbols
that they need, symbols that they show. Those for Linux then run with the C library of
Debian 11 (glibc 2.31) or musl, on an emulated ARM or an x86-64 of 2008: a C program
asks the libraries for the densities of the examples, and the executables sample. Draws
are compared with those of the manylinux x86-64 wheel beside the wheel, which itself is
installed where there is no compiler. Usage, with Debian's apt-get and qemu-user-static:

    python .ci/wheels/check.py dist/*.whl
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import lief
import ziglang

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pyrobma"
PROGRAMS = ("normal", "selection", "counts")
# A given step size: adaptation makes other draws of a last bit that differs.
SAMPLING = ["num_samples=50", "num_warmup=0", "adapt", "engaged=0", "algorithm=hmc"]
SAMPLING += ["stepsize=0.2"]
# Rounding differs by 1e-15 between processors and grows along trajectories.
TOLERANCE = 1e-9
SYSTEM_LIBRARIES = re.compile(
    r"lib(c|m|pthread|dl|rt)\.so(\.\d)?$|ld-linux-.*\.so\.\d$|libc\.musl-.*\.so\.1$"
    r"|/usr/lib/libSystem\.B\.dylib$"
)
# Zig's linker for macOS takes no list of symbols to show: its own ones stay, and the
# operators new and delete of its C++ library, which are malloc and free anywhere.
SHOWN_BY_ZIG = re.compile(r"_Z(nw|na|dl|da)|_mh_dylib_header$|__dso_handle$")


@dataclass(frozen=True)
class Machine:
    """What a wheel's tag says: C library or system, its version, processor."""

    system: str
    version: tuple[int, int]
    processor: str

    @classmethod
    def of(cls, wheel: Path) -> Machine:
        """Return what a wheel's name says."""
        name = re.search(r"-py3-none-([a-z]+)_(\d+)_(\d+)_(\w+)\.whl$", wheel.name)
        if name is None:
            raise SystemExit(f"{wheel}: expected a wheel of one platform")
        return cls(name[1], (int(name[2]), int(name[3])), name[4])

    @property
    def debian(self) -> str:
        """Return what Debian calls the processor."""
        return {"x86_64": "amd64", "aarch64": "arm64"}[self.processor]


def check(wheel: Path) -> None:
    """Raise an error unless a wheel is what its name says, as far as can be seen."""
    machine = Machine.of(wheel)
    with tempfile.TemporaryDirectory() as folder:
        programs = unpack(wheel, Path(folder))
        for name in PROGRAMS:
            look(programs / name, machine)
            look(programs / f"{name}.so", machine)
        if machine.system == "macosx":
            print(f"{wheel.name}: looked at; it runs on a Mac only")
            return
        if machine.system == "manylinux":  # on glibc it takes libc.so for a script
            subprocess.run(["auditwheel", "show", str(wheel)], check=True)
        start = starter(machine)
        for name in PROGRAMS:
            ask_densities(name, programs, machine, start)
            own = sample(name, programs, start)
            print(f"{wheel.name}: {name}: {compare(own, name, wheel)}")
    if machine.system == "manylinux" and machine.processor == "x86_64":
        install(wheel)


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel with its permissions; return the folder of its programs."""
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            path = Path(archive.extract(item, folder))
            if path.is_file():
                path.chmod(item.external_attr >> 16)
    return folder / "pyrobma" / "programs" / "compiled"


def look(path: Path, machine: Machine) -> None:
    """Check the kind of a file and what it needs of the system."""
    binary = lief.parse(str(path))
    header = binary.header
    kind = header.cpu_type if machine.system == "macosx" else header.machine_type
    require(kind.name == machine.processor.upper(), path, f"is for {kind}")
    for name in map(str, needed(binary)):
        require(bool(SYSTEM_LIBRARIES.search(name)), path, f"needs {name}")
    if machine.system == "macosx":
        version = tuple(binary.build_version.minos[:2])
        require(version <= machine.version, path, f"needs macOS {version}")
        require(is_signed(binary, path), path, "has no ad hoc signature that fits")
        table = binary.dynamic_symbol_command  # lief leaves out symbols it cannot find
        found = len(table.indirect_symbols) == table.nb_indirect_symbols
        require(found, path, "has indirect symbols that are none")
    if machine.system == "manylinux":
        for version in glibc_versions(binary):
            require(version <= machine.version, path, f"needs glibc {version}")
    if path.suffix == ".so":
        shown = {
            s.name.removeprefix("_" * (machine.system == "macosx"))
            for s in binary.exported_symbols
        }
        other = {s for s in shown if not s.startswith("bs_")}
        if machine.system == "macosx":
            other = {s for s in other if not SHOWN_BY_ZIG.match(s)}
        require("bs_model_construct" in shown, path, "shows no bs_model_construct")
        require(not other, path, f"shows {sorted(other)[:5]}")


def needed(binary: lief.ELF.Binary | lief.MachO.Binary) -> list[str]:
    """Return the shared libraries that a file needs."""
    if isinstance(binary, lief.MachO.Binary):
        own = binary.get(lief.MachO.LoadCommand.TYPE.ID_DYLIB)
        return [lib.name for lib in binary.libraries if own is None or lib != own]
    return list(binary.libraries)


def glibc_versions(binary: lief.ELF.Binary) -> set[tuple[int, int]]:
    """Return the versions of glibc whose symbols a file needs."""
    names = (
        version.name
        for library in binary.symbols_version_requirement
        for version in library.get_auxiliary_symbols()
    )
    found = (re.match(r"GLIBC_(\d+)\.(\d+)", name) for name in names)
    return {(int(m[1]), int(m[2])) for m in found if m}


def is_signed(binary: lief.MachO.Binary, path: Path) -> bool:
    """Tell whether a file has the signature without which Apple silicon refuses it."""
    if not binary.has_code_signature:
        return False
    content = path.read_bytes()
    start = binary.code_signature.data_offset
    # A block of blocks, the first of which lists checksums of the pages before it. See
    # cs_blobs.h of Apple's kernel, where numbers are big-endian.
    magic, _, blocks, first, offset = struct.unpack_from(">5I", content, start)
    if (magic, first) != (0xFADE0CC0, 0) or blocks == 0:
        return False
    at = start + offset
    magic, _, _, flags, sums, _, _, pages, end = struct.unpack_from(">9I", content, at)
    size, kind, _, log_page = struct.unpack_from(">4B", content, at + 36)
    ad_hoc, sha256 = 2, 2
    if magic != 0xFADE0C02 or not flags & ad_hoc or (size, kind) != (32, sha256):
        return False
    expected = b"".join(
        hashlib.sha256(content[i : min(i + 2**log_page, end)]).digest()
        for i in range(0, end, 2**log_page)
    )
    listed = content[at + sums : at + sums + 32 * pages]
    return end == start and listed == expected


def require(true: bool, path: Path, fault: str) -> None:
    """Name the file and its fault unless it has none."""
    if not true:
        raise SystemExit(f"{path.name}: {fault}")


def starter(machine: Machine) -> list[str]:
    """Return the command before a program that runs it on the wheel's machine."""
    # An x86-64 without AVX: only the kernel may use that, and it has to ask.
    old = {"x86_64": ["-cpu", "Nehalem"], "aarch64": []}[machine.processor]
    root = debian_root(machine.debian)
    emulator = [f"qemu-{machine.processor}-static", *old, "-L", str(root)]
    if machine.system == "musllinux":
        return emulator
    libraries = root / f"lib/{machine.processor}-linux-gnu"
    (loader,) = libraries.glob("ld-2.*.so")
    return [*emulator, str(loader), "--library-path", str(libraries)]


def debian_root(architecture: str) -> Path:
    """Return a folder with the C libraries of Debian 11, fetched once by apt-get."""
    base = CACHE / f"bullseye-{architecture}"
    root = base / "root"
    if root.is_dir():
        return root
    for folder in ("lists/partial", "cache/archives/partial"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    (base / "status").touch()
    (base / "sources.list").write_text(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://deb.debian.org/debian bullseye main\n"
    )
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::Etc::sourcelist": base / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": base,
        "Dir::State::status": base / "status",
        "Dir::Cache": base / "cache",
    }
    apt = ["apt-get", "-qq", *(f"-o{k}={v}" for k, v in settings.items())]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", "libc6", "musl"], check=True, cwd=base)
    for package in base.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(base / "new")], check=True)
    return (base / "new").rename(root)


def ask_densities(
    name: str, programs: Path, machine: Machine, start: list[str]
) -> None:
    """Let a C program compare a library with the examples' expected densities."""
    abi = "gnu.2.17" if machine.system == "manylinux" else "musl"
    target = f"{machine.processor}-linux-{abi}"
    asked = programs / f"ask_{name}"
    subprocess.run(
        [
            str(Path(ziglang.__file__).parent / "zig"), "cc", "-target", target,
            "-dynamic", "-std=c99", "-O2", "-I", str(ROOT / "stan/runtime/library"),
            str(ROOT / "stan/examples/call.c"), f"./{name}.so", "-lm",
            "-Wl,-rpath,$ORIGIN", "-o", str(asked),
        ],
        check=True, cwd=programs,
    )  # fmt: skip
    run([*start, str(asked), str(ROOT / "stan/examples" / name)], cwd=programs)


def sample(name: str, programs: Path, start: list[str]) -> list[list[float]]:
    """Return the draws of a short run."""
    out = programs / f"{name}.csv"
    data = ROOT / "stan/examples" / name / "data.json"
    run(
        [
            *start, str(programs / name), "sample", *SAMPLING,
            "data", f"file={data}", "random", "seed=1",
            "output", f"file={out}", "sig_figs=17",
        ],
        cwd=programs,
    )  # fmt: skip
    lines = [line for line in out.read_text().splitlines() if line[:1] not in "#l"]
    return [[float(number) for number in line.split(",")] for line in lines]


def compare(own: list[list[float]], name: str, wheel: Path) -> str:
    """Compare draws with those of the manylinux x86-64 wheel beside this one."""
    others = list(wheel.parent.glob("*-manylinux_*_x86_64.whl"))
    if not others or others[0] == wheel:
        return f"{len(own)} draws"
    with tempfile.TemporaryDirectory() as folder:
        programs = unpack(others[0], Path(folder))
        theirs = sample(name, programs, starter(Machine.of(others[0])))
    most = max(
        abs(a - b) / max(1, abs(b))
        for mine, other in zip(own, theirs, strict=True)
        for a, b in zip(mine, other, strict=True)
    )
    require(most < TOLERANCE, wheel, f"{name}: draws differ by {most:.0e}")
    return f"{len(own)} draws, which differ from those of x86-64 by {most:.0e}"


def install(wheel: Path) -> None:
    """Install a wheel where no compiler can be found, and analyse with it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        programs = Path(folder) / "bin"
        hidden = ("PATH", "CC", "CXX", "PYTHONPATH", "PYROBMA_PROGRAMS")
        environment = {k: v for k, v in os.environ.items() if k not in hidden}
        for command in (
            ["-m", "pip", "install", "-q", "--only-binary=:all:", str(wheel)],
            ["-m", "pyrobma", "versions"],
            ["-m", "pyrobma", "example"],
        ):
            subprocess.run(
                [str(programs / "python"), *command], check=True, cwd=folder,
                env=environment | {"PATH": str(programs)},
            )  # fmt: skip


def run(command: list[str], cwd: Path) -> None:
    """Run a program; show what it said if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        check(Path(argument).resolve())
