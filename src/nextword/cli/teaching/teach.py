"""`nextword teach`: correct what a model says, see what that changed, and keep it."""

import contextlib
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nextword.cli.replying.reply import open_model
from nextword.cli.shared import drawing
from nextword.cli.shared.command import command, console, echo_json, folder_argument, json_option
from nextword.cli.shared.numbers import Real, Whole
from nextword.cli.teaching import teach_views
from nextword.cli.teaching.lesson_rows import Row, Rows, longest_of
from nextword.cli.teaching.lessons import held, wait_option
from nextword.cli.teaching.teach_tasks import Task, check_given, task_of, tasks_of
from nextword.teach import lesson_text
from nextword.teach.config import TeachingConfig

if TYPE_CHECKING:
    from rich.console import Console

    from nextword.language_model import LanguageModel
    from nextword.teach.lesson import Lesson
    from nextword.teach.session import Teaching

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

NOT_LEARNED = 1  # exit code
SETTINGS = {  # of TeachingConfig: what its option says
    "scope": "Which weights may change; auto: adapter for a large model, else all.",
    "last_layers": "How many layers --scope last may change.",
    "rank": "Of --scope adapter.",
    "margin": "How probable each right word must become.",
    "positions": "Learn from the words not yet right, or from all.",
    "steps": "At most so many.",
    "seconds": "At most so long.",
    "learning_rate": "Of AdamW.",
    "rehearsal_weight": "Of what must stay known; 0: do not rehearse it.",
    "largest_kl": "Nats per word that what it knows may move.",
    "seed": "Of which rehearsal comes when.",
}
NUMBERS: dict[type, click.ParamType[Any]] = {int: Whole(0), float: Real(least=0)}


def teaching_options(function: FunctionT) -> FunctionT:
    """Add, under the names of TeachingConfig's fields, how a lesson goes."""
    hints = typing.get_type_hints(TeachingConfig)
    for name, what in reversed(SETTINGS.items()):
        default: Any = getattr(TeachingConfig, name)
        choices = typing.get_args(hints[name])
        shown = default or "the scope's own" if name == "learning_rate" else default
        function = click.option(
            f"--{name.replace('_', '-')}",
            type=click.Choice(choices) if choices else NUMBERS[hints[name]],
            help=f"{what}  [default: {shown}]",
        )(function)
    return function


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Gives lessons, as the options say.

    Attributes:
        rehearse: a file of what must stay known; None: the model's own training data.
        keeps: whether what was learned is written to the folder.
        also_prompt: whether the words of the prompts are taught, too.
    """

    model: "LanguageModel"
    config: TeachingConfig
    rehearse: Path | None
    keeps: bool
    also_prompt: bool = False

    def begin(self, task: Task) -> "Teaching":
        """Look at what is wrong, at the memory there is, and for a rehearsal."""
        return self.model.teaching(
            task.corrections,
            phrasings=task.phrasings,
            config=self.config,
            rehearse=self.rehearse,
            also_prompt=self.also_prompt,
        )

    def give(self, teaching: "Teaching") -> "Lesson":
        """The lesson itself; Ctrl-C ends its steps, and leaves the weights as they were."""
        from nextword.common.signals import StopSignals

        with StopSignals() as stop:
            with teach_views.live(self.config) as tell:
                for step in teaching.steps():
                    tell(step)
                    if stop.asked:
                        teaching.stop()
                tell("judging what else changed …")
                lesson = teaching.judge()
            if lesson.outcome == "learned" and self.keeps:
                teaching.settle()
                lesson = lesson.keep(held=True)
        return lesson


@command(
    "teach",
    example="""
    nextword teach models/mine "where is the cat?" "In the garden." --phrasing "the cat is where?"
    nextword teach models/mine "the cat sat on the" mat --at 4
    nextword teach models/mine --file lessons.jsonl
    """,
)
@folder_argument
@click.argument("texts", nargs=-1, metavar="[PROMPT REPLY]")
@click.option("--phrasing", "phrasings", multiple=True, help="Another way to ask, only judged.")
@click.option("--at", type=Whole(), metavar="N", help="REPLY is the word to follow position N.")
@click.option("--file", metavar="FILE", help="Lessons to give one after another, - for stdin.")
@click.option("--also-prompt", is_flag=True, help="Teach every word of the prompt, too.")
@click.option("--together", is_flag=True, help="With --file: all of them in one lesson.")
@teaching_options
@click.option(
    "--judge-all",
    is_flag=True,
    help="Compare every known reply, not a sample of about ten seconds.",
)
@click.option(
    "--rehearse",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What must stay known.  [default: a sample of its training data]",
)
@click.option(
    "--threads",
    type=Whole(0),
    default=0,
    metavar="N",
    help="Threads.  [default: the machine's cores]",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@wait_option
@click.option("--dry-run", is_flag=True, help="Teach and report, and keep nothing.")
@json_option
def teach(
    folder: Path,
    texts: tuple[str, ...],
    phrasings: tuple[str, ...],
    at: int | None,
    file: str | None,
    together: bool,
    also_prompt: bool,
    judge_all: bool,
    rehearse: Path | None,
    threads: int,
    device: str,
    wait: float,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Teach the model in FOLDER to answer PROMPT with REPLY.

    The optimizer is run on the words that it gets wrong until each is the most likely, while it
    rehearses what it knows. The report says what was learned, what else changed and how much. What
    was learned is kept in FOLDER, and nextword lessons undoes it; otherwise the weights stay as
    they were. --at corrects one word of a text, which nextword look numbers.
    """
    check_given(texts, phrasings=phrasings, at=at, file=file, together=together)
    config = TeachingConfig(
        judge_all=judge_all,
        **{name: value for name, value in settings.items() if value is not None},
    )
    from nextword.teach.lesson_files import read_lessons
    from nextword.training.backends.thread_limit import limited_threads

    given = None if file is None else read_lessons(file)
    holding = contextlib.nullcontext() if dry_run else held(folder, wait=wait)
    one_by_one = given is not None and not together
    with holding, limited_threads(threads):
        model = open_model(folder, device)
        if given is None:
            tasks = [task_of(model, *texts, phrasings=phrasings, at=at)]
        else:
            tasks = tasks_of(model, given, together=together)
        teacher = Teacher(
            model=model, config=config, rehearse=rehearse, keeps=not dry_run,
            also_prompt=also_prompt,
        )  # fmt: skip
        show = show_nothing if as_json else show_rows if one_by_one else show_one
        lessons = show(teacher, tasks)
    if as_json:
        made = [lesson.as_json() for lesson in lessons]
        echo_json(made if one_by_one else made[0])
    if len(lessons) < len(tasks) or not all(lesson.learned for lesson in lessons):
        click.get_current_context().exit(NOT_LEARNED)


def show_nothing(teacher: Teacher, tasks: Sequence[Task]) -> "list[Lesson]":
    """Give all lessons; the caller prints them."""
    return list(_given_all(teacher, tasks))


def _given_all(teacher: Teacher, tasks: Sequence[Task]) -> "Iterator[Lesson]":
    """One lesson after another; Ctrl-C ends them all."""
    for task in tasks:
        lesson = teacher.give(teacher.begin(task))
        yield lesson
        if lesson.outcome == "stopped":
            return


def show_one(teacher: Teacher, tasks: Sequence[Task]) -> "list[Lesson]":
    """Give the only lesson, and print all about it."""
    screen = console()
    teaching = teacher.begin(tasks[0])
    for line in _started(teaching):
        drawing.tell(screen, line)
    drawing.tell(screen, "")
    lesson = teacher.give(teaching)
    drawing.tell(screen, lesson.why, "bold green" if lesson.learned else "bold red")
    drawing.tell(screen, "")
    teach_views.show_lesson(screen, lesson)
    drawing.tell(screen, "")
    drawing.tell(screen, _end(teacher, lesson), "bold")
    return [lesson]


def _started(teaching: "Teaching") -> Iterator[str]:
    """What the lesson needs, and what it rehearses."""
    yield lesson_text.need(teaching.memory_bytes, scope=teaching.scope, n_taught=teaching.n_taught)
    yield f"What must stay known: {teaching.rehearsal.told()}."


def _end(teacher: Teacher, lesson: "Lesson") -> str:
    """What became of the lesson."""
    if lesson.number is not None:
        undo = f"nextword lessons {teacher.model.folder} --undo {lesson.number}"
        return f"Kept as lesson {lesson.number}. Undo it with: {undo}"
    if lesson.outcome == "learned":
        return "Nothing was kept, because of --dry-run."
    return f"Nothing was kept; {teacher.model.folder} is as it was."


def show_rows(teacher: Teacher, tasks: Sequence[Task]) -> "list[Lesson]":
    """Give the lessons, and print a row for each as soon as it is over."""
    screen = console()
    longest = longest_of([task.title for task in tasks])
    rows = Rows(longest=longest, width=drawing.width_of(screen))
    for line in rows.heading():
        drawing.tell(screen, line, "bold")
    lessons = []
    for task, lesson in zip(tasks, _given_all(teacher, tasks), strict=False):
        lessons.append(lesson)
        _show_row(screen, rows, task, lesson)
    for line in _summary(tasks, lessons):
        drawing.tell(screen, line)
    return lessons


def _show_row(screen: "Console", rows: Rows, task: Task, lesson: "Lesson") -> None:
    state = "not learned" if not lesson.learned else "already"
    if lesson.outcome == "learned":
        state = "learned" if lesson.number is None else "kept"
    row = Row(number=lesson.number, state=state, title=task.title, lesson=lesson)
    for line in rows.lines(row):
        drawing.tell(screen, line, "" if lesson.learned else "red")


def _summary(tasks: Sequence[Task], lessons: "Sequence[Lesson]") -> Iterator[str]:
    """How many were learned, and why the others were not."""
    learned = sum(lesson.learned for lesson in lessons)
    yield ""
    yield f"{learned:,} of {lesson_text.number(len(tasks), 'lesson')} learned."
    for task, lesson in zip(tasks, lessons, strict=False):
        if not lesson.learned:
            yield f"{task.where}, not learned: {lesson.why}"
    if len(lessons) < len(tasks):
        yield f"{lesson_text.number(len(tasks) - len(lessons), 'lesson')} not begun."
