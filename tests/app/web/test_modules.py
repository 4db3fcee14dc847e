"""The page's modules that need no browser, in Node.js."""

import shutil
import subprocess
from pathlib import Path

from app.api.page import PAGE_FOLDER

TESTS = Path(__file__).with_name("modules.test.mjs")


def test_the_modules_of_the_page(tmp_path: Path) -> None:
    # Node.js takes a `.js` file for an ES module if the package.json beside it says so; the page itself needs none.
    copy = tmp_path / "app/web/page"
    shutil.copytree(PAGE_FOLDER, copy)
    (copy / "package.json").write_text('{"type": "module"}')
    tests = tmp_path / "tests/app/web" / TESTS.name
    tests.parent.mkdir(parents=True)
    shutil.copy(TESTS, tests)
    done = subprocess.run(["node", "--test", tests], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
