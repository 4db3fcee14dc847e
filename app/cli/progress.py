"""Shows on standard error what is being done and how long it will take. Without a terminal it shows nothing.

rich is imported when the first task begins. Threads may share one `Progress`.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

STAGES = {
    "received": "Sent",
    "decode": "Reading the recording",
    "speech": "Looking for speech",
    "template": "Choosing a template",
    "queue": "Waiting for its turn",
    "windows": "Taking notes on the parts of the recording",
    "merge": "Merging the notes",
    "sampling": "Writing several summaries",
    "choosing": "Choosing the best summary",
    "questions": "Answering the questions",
    "engine_transcribe": "Writing down what is said",
    "engine_prefill": "Listening",
    "engine_decode": "Writing the summary",
}


def stage_text(stage: str) -> str:
    """Return a stage of the service in words."""
    return STAGES.get(stage, f"Working ({stage})")


def time_left_text(elapsed_s: float, done: int | None, of: int | None) -> str:
    """Return how long a stage will take, if it has parts of which some are done; else how long it has taken so far."""
    if done and of and of > 1:
        return f"about {clock_text(elapsed_s / done * (of - done))} left"
    return clock_text(elapsed_s)


def clock_text(seconds: float) -> str:
    """Return seconds as a clock shows them: `1:05`, and from an hour on `1:01:05`."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Task:
    """A line of the display: what is being done for one recording, or for all of them. Several threads may not share
    one. name: of the recording, if there are several.
    """

    def __init__(self, progress: "Progress", name: str = "") -> None:
        self._progress = progress
        self._name = name
        self._text = ""

    def describe(self, text: str, done: int | None = None, of: int | None = None) -> None:
        """Say what is being done now. done, of: how many of its parts are done, if it has parts."""
        shown = f"{self._name}: {text}" if self._name else text
        is_new, self._text = shown != self._text, shown
        self._progress.show(self, shown, done or 0, of if of and of > 1 else None, is_new)

    def end(self) -> None:
        """Take the line away. Calling it twice does no harm."""
        self._progress.hide(self)


class Progress:
    """The display of one command. enabled: None shows it if standard error is a terminal."""

    def __init__(self, enabled: bool | None = None) -> None:
        self._enabled = sys.stderr.isatty() if enabled is None else enabled
        self._lock = threading.Lock()
        self._display: Any = None
        self._lines: dict[Task, TaskID] = {}

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def task(self, text: str, name: str = "") -> Iterator[Task]:
        """Show a line until the block ends. name: of the recording, if there are several."""
        task = Task(self, name)
        task.describe(text)
        try:
            yield task
        finally:
            task.end()

    def show(self, task: Task, text: str, done: int, total: int | None, is_new: bool) -> None:
        """Set the line of a task. is_new: a stage begins, whose time counts from now."""
        if not self._enabled:
            return
        with self._lock:
            if self._display is None:
                self._display = _new_display()
                self._display.start()
            if task not in self._lines:
                self._lines[task] = self._display.add_task(text, total=total)
            elif is_new:
                self._display.reset(self._lines[task], description=text, total=total)
            self._display.update(self._lines[task], completed=done, total=total)

    def hide(self, task: Task) -> None:
        """Take the line of a task away; with the last one the display goes, so that the terminal is free."""
        with self._lock:
            line = self._lines.pop(task, None)
            if line is not None and self._display is not None:
                self._display.remove_task(line)
            if not self._lines:
                self._stop()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Free the terminal for what the block prints."""
        with self._lock:
            if self._display is not None:
                self._display.stop()
            try:
                yield
            finally:
                if self._display is not None:
                    self._display.start()

    def close(self) -> None:
        """Leave the terminal as it was, also if tasks of other threads have not ended. Nothing is shown afterwards."""
        with self._lock:
            self._enabled = False
            self._stop()

    def _stop(self) -> None:
        if self._display is not None:
            self._display.stop()
            self._display = None


def _new_display() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class TimeColumn(ProgressColumn):
        """How long the stage will take."""

        def render(self, task: Any) -> Text:
            total = int(task.total) if task.total else None
            return Text(time_left_text(task.elapsed or 0.0, int(task.completed), total), style="dim")

    class PartsColumn(ProgressColumn):
        """The bar of a stage that has parts."""

        def __init__(self) -> None:
            super().__init__()
            self._bar = BarColumn(bar_width=20)

        def render(self, task: Any) -> Any:
            return self._bar.render(task) if task.total else Text("")

    return RichProgress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        PartsColumn(),
        TimeColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,
    )
