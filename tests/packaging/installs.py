"""Build what is published, install it, and look at it from another folder.

Not called ``test_*``: these tests need a network and most of a minute, and
have an environment of their own, ``tox -e packaging``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent.parent
PLUGIN = "twisted/plugins/ngksock_plugin.py"
COMPLETIONS = {
    "bash-completion/completions/ngkctl",
    "bash-completion/completions/ngkhook",
    "zsh/site-functions/_ngkctl",
    "fish/vendor_completions.d/ngkctl.fish",
    "fish/vendor_completions.d/ngkhook.fish",
}


def run(*words: str | Path, cwd: str | Path = "/") -> str:
    """Run a command in an environment without our tree, and return what it prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "PYTHON"))}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@cache
def build() -> tuple[Path, Path]:
    """Build the source archive, and the wheel from it, as a release does; once."""
    made = Path("built").absolute()
    run(sys.executable, "-m", "build", "--outdir", made, ROOT)
    [sdist], [wheel] = made.glob("*.tar.gz"), made.glob("*.whl")
    return sdist, wheel


def pages() -> set[str]:
    """Return where the manual pages of the tree go."""
    man = ROOT / "docs" / "man"
    commands = {f"man/man8/{path.name}" for path in man.glob("*.8")}
    return commands | {f"man/man4/{path.name}" for path in (man / "man4").iterdir()}


class InstallTests(SynchronousTestCase):
    """A wheel, the source archive it comes from, and an editable install."""

    def install(self, *words: str | Path) -> Path:
        """Install in an empty virtual environment; return its folder of programs."""
        folder = Path(self.mktemp()).absolute()
        run(sys.executable, "-m", "venv", folder)
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", *words)
        return folder / "bin"

    def check(self, programs: Path) -> None:
        """Check from / that twistd lists the plugin, and that nothing fails behind it."""
        text = run(programs / "twistd", "--help")
        self.assertRegex(text, r"(?m)^ +ngksock +Host a netgraph graph")
        self.assertNotIn("Traceback", text)
        # Twisted's own plugins are there: nothing of ours hides them.
        self.assertRegex(text, r"(?m)^ +web +")
        self.assertRegex(run(programs / "twistd", "ngksock", "--version"), r"ngksock.* 0\.")
        for program in ("ngkctl", "ngkhook"):
            self.assertRegex(run(programs / program, "--version"), rf"{program} 0\.")

    def test_wheel_contents(self) -> None:
        """The wheel has the package and the plugin file, and no package under twisted/."""
        names = zipfile.ZipFile(build()[1]).namelist()
        self.assertIn(PLUGIN, names)
        self.assertIn("ngksock/packet.py", names)
        self.assertEqual([PLUGIN], [name for name in names if name.startswith("twisted/")])
        top = {name.split("/")[0] for name in names if ".dist-info" not in name}
        top = {name for name in top if not name.endswith(".data")}
        self.assertEqual({"ngksock", "twisted"}, top)

    def test_wheel_data(self) -> None:
        """The wheel has every manual page, and every completion, where they are looked for."""
        names = zipfile.ZipFile(build()[1]).namelist()
        data = {name.partition(".data/data/share/")[2] for name in names} - {""}
        self.assertEqual(pages() | COMPLETIONS, data)
        self.assertEqual(len(COMPLETIONS), len(list((ROOT / "docs" / "completions").iterdir())))

    def test_wheel_is_whole(self) -> None:
        """Every file of the package in the tree is in the wheel."""
        tree = {
            str(path.relative_to(ROOT))
            for path in (ROOT / "ngksock").rglob("*")
            if path.is_file() and not re.search(r"/(\.|__pycache__)", str(path.relative_to(ROOT)))
        }
        self.assertEqual(set(), tree - set(zipfile.ZipFile(build()[1]).namelist()))

    def test_sdist_contents(self) -> None:
        """The source archive has what is needed to build, test and read it."""
        with tarfile.open(build()[0]) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        wanted = {PLUGIN, "LICENSE", "README.md", "tox.ini", "tests/test_house.py", "docs/conf.py"}
        wanted |= {"docs/man/ngkctl.8", "docs/man/man4/ngk_tee.4", "docs/completions/ngkctl.bash"}
        self.assertEqual(set(), wanted - names)
        rubbish = (".venv/", ".tox/", "_trial_temp", "__pycache__", "dropin.cache")
        self.assertEqual([], [name for name in names if any(part in name for part in rubbish)])

    def test_wheel_installed(self) -> None:
        """Installed from the wheel, twistd has the plugin."""
        programs = self.install(build()[1])
        self.check(programs)
        share = programs.parent / "share"
        for name in COMPLETIONS | pages():
            self.assertTrue((share / name).is_file(), name)

    def test_editable_installed(self) -> None:
        """Installed for development, twistd has the plugin from any folder."""
        self.check(self.install("--editable", ROOT))

    def test_readme(self) -> None:
        """The README has two lines to paste; the first runs a file that exists."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        first, second = [line for line in text.splitlines() if line.startswith("apt-get ")]
        self.assertTrue((ROOT / first.split()[-1]).is_file(), first)
        self.assertEqual(".venv/bin/python -m twisted.trial tests", second.rpartition("&& ")[2])
