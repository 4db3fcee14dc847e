"""The check of names and docstrings finds what it is for, and nothing else."""

import ast
import textwrap
from pathlib import Path

import pytest

from tools import check_names


@pytest.mark.parametrize("name", ["told", "known", "_served", "opened", "taken_up", "asked_for", "running", "written"])
def test_a_bare_participle_is_found(name: str) -> None:
    assert check_names.is_bare_participle(name)


@pytest.mark.parametrize(
    "name",
    ["feed", "seed", "recording", "read", "need", "string", "running_requests", "is_closed", "given_tokens", "bed"],
)
def test_a_name_that_says_what_comes_back_is_left_alone(name: str) -> None:
    assert not check_names.is_bare_participle(name)


def undocumented(source: str) -> list[str]:
    tree = ast.parse(textwrap.dedent(source))
    return [name for _, name in check_names.DocstringChecker([tree]).undocumented_definitions(tree)]


def test_everything_public_has_a_docstring() -> None:
    source = """
        class Public:
            def method(self): ...
            def _own(self): ...
            def __len__(self): ...
            @property
            def value(self):
                "What it is worth."
            @value.setter
            def value(self, new): ...
        class _Private:
            def method(self): ...
        def function():
            def inner(): ...
    """
    assert undocumented(source) == ["module", "Public", "Public.method", "function"]


def test_an_override_has_the_docstring_of_what_it_overrides() -> None:
    source = '''
        """Module."""
        class Base:
            """Base."""
            def documented(self):
                """Do it."""
            def undocumented(self): ...
        class Child(Base):
            """Child."""
            def documented(self): ...
            def undocumented(self): ...
    '''
    assert undocumented(source) == ["Base.undocumented", "Child.undocumented"]


def test_an_exception_has_a_reason_and_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in check_names.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "app" / "names.py").write_text('"""Names."""\n\ndef _told(): ...\n')
    assert list(check_names.violations(tmp_path, check_names.FOLDERS)) == [
        "app/names.py:3: a function is named by a bare participle: _told"
    ]
    monkeypatch.setattr(
        check_names, "NAME_EXCEPTIONS", {"app/names.py:_told": "a protocol names it", "app/x.py:y": "z"}
    )
    assert list(check_names.violations(tmp_path, check_names.FOLDERS)) == [
        "tools/check_names.py: the exception is not needed: app/x.py:y"
    ]
    assert all(map(str.strip, (check_names.NAME_EXCEPTIONS | check_names.DOCSTRING_EXCEPTIONS).values()))
