#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs into an empty folder and builds a program against what is there.

    ring_install.py BUILD-FOLDER PROGRAM.c COMPILER...

The program is linked with the shared library, then with the static one, and both must say the same.
Nothing of the source tree is on the include path, and the header is tried as C++ too, if a C++
compiler is there.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def run(*command, **environment):
    result = subprocess.run(
        [str(part) for part in command],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stdout}")
    return result.stdout


def main():
    build, program, *compiler = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder, "root")
        meson = shutil.which("meson") or sys.exit("no meson")
        run(meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root)
        files = {path.name: path for path in root.rglob("*ring*") if path.is_file()}
        pc = files["ringhop-ring.pc"]
        here = {"PKG_CONFIG_LIBDIR": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}
        compile_flags = run("pkg-config", "--cflags", "ringhop-ring", **here).split()
        link_flags = run("pkg-config", "--libs", "ringhop-ring", **here).split()
        warnings = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]

        shared = pathlib.Path(folder, "shared")
        static = pathlib.Path(folder, "static")
        run(*compiler, *warnings, *compile_flags, program, "-o", shared, *link_flags)
        archive = files["libringhop-ring.a"]
        run(*compiler, *warnings, *compile_flags, program, "-o", static, archive)
        if shutil.which("c++"):
            header = files["ring.h"]
            run("c++", "-x", "c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", header)
        answer = run(shared, LD_LIBRARY_PATH=str(archive.parent))
        if answer.split()[0] != "user:42" or answer != run(static):
            sys.exit(f"unexpected answer: {answer}")

        exported = run("nm", "-D", "--defined-only", files["libringhop-ring.so"].resolve())
        names = [line.split()[-1] for line in exported.splitlines()]
        strange = [name for name in names if not name.startswith(("rh_ring_", "_"))]
        if strange or "rh_ring_create" not in names:
            sys.exit(f"exported: {names}")
        print(f"{answer.strip()}; {len(names)} functions exported")


if __name__ == "__main__":
    main()
