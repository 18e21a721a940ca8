# SPDX-License-Identifier: Apache-2.0
"""Clients from npm, at the versions that a package-lock.json pins."""
import subprocess


def install(folder):
    """Installs what `folder` names, once."""
    lock = folder / "package-lock.json"
    mark = folder / "node_modules" / ".installed"
    if mark.exists() and mark.read_text() == lock.read_text():
        return
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, text=True,
                          capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"npm ci: {done.stderr}"
    mark.write_text(lock.read_text())
