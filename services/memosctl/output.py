"""Two faces of one answer: JSON on stdout for programs, rich text for people; progress goes to stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memosctl.failures import Failure

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes.

    Attributes:
        json: whether stdout carries JSON and nothing else.
    """

    json: bool = False

    def answer(self, document: object, people: "Callable[[], RenderableType]") -> None:
        """Print the answer: the document as one JSON value, or what `people` returns; a string is printed as it is."""
        if self.json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        elif isinstance(shown := people(), str):
            sys.stdout.write(shown + "\n")
        else:
            self.console().print(shown)

    def event(self, document: object, people: "Callable[[], RenderableType]") -> None:
        """Print one of several answers of a stream: a JSON value a line."""
        if self.json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            self.console().print(people())

    def note(self, message: str) -> None:
        """Tell a person something that is not part of the answer."""
        if not self.json:
            sys.stderr.write(message + "\n")

    def failure(self, failure: Failure) -> None:
        """Print a failure on stderr."""
        if self.json:
            sys.stderr.write(json.dumps(failure.document(), ensure_ascii=False) + "\n")
            return
        from rich.text import Text

        console = self.console(stderr=True)
        console.print(Text.assemble(("error: ", "bold red"), failure.message), soft_wrap=True)
        if failure.hint:
            console.print(Text.assemble(("  try: ", "bold"), failure.hint), soft_wrap=True)

    def console(self, *, stderr: bool = False) -> "Console":
        """Return a console; it obeys NO_COLOR and drops colour where nobody looks."""
        from rich.console import Console

        return Console(stderr=stderr, highlight=False, markup=False, emoji=False)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        """Show a bar on stderr while work is done; silent where stderr is no terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = self.console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def counting(self, what: str) -> Iterator[Advance]:
        """Show a count on stderr while work is done whose end is not known; silent where stderr is no terminal."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:.0f}"), TimeElapsedColumn())
        console = self.console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show a spinner on stderr while something is waited for; silent where stderr is no terminal."""
        console = self.console(stderr=True)
        if not console.is_terminal:
            yield
            return
        with console.status(what):
            yield
