import os
from pathlib import Path

import pytest

from training.runtime.path_problems import file_problem, folder_problem, read_error_text


def test_a_file_and_a_folder_that_can_be_read_have_no_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert file_problem(tmp_path / "a.txt") is None
    assert folder_problem(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nowhere", "does not exist"), (".", "is a folder, and a file is needed"), ("empty", "is empty")],
)
def test_what_keeps_a_path_from_being_a_file_is_said(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert file_problem(tmp_path / name) == problem


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert file_problem(tmp_path / "pipe") == "is not a regular file"


def test_what_keeps_a_path_from_being_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert folder_problem(tmp_path / "a.txt") == "is a file, and a folder is needed"
    assert folder_problem(tmp_path / "nowhere") == "does not exist"


def test_an_error_says_the_same_as_a_look_before(tmp_path: Path) -> None:
    for path, error in ((tmp_path / "nowhere", FileNotFoundError()), (tmp_path, IsADirectoryError())):
        assert read_error_text(error) == file_problem(path)
