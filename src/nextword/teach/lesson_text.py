"""A lesson in plain sentences, one to a line; how wide they stand is for whoever prints them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nextword.common.formatting import count
from nextword.common.text_format import share, small, visible

if TYPE_CHECKING:
    from nextword.teach.evaluation.metrics import (
        JudgedPosition,
        JudgedSentence,
        Locality,
        MatrixChange,
        NewlyWrong,
        ReplyLocality,
        Side,
    )
    from nextword.teach.lesson import Lesson

SCOPES = {"all": "all weights", "last": "the last layers", "adapter": "an adapter"}
SETS = {"known": "known", "held_out": "held out"}
MOST_WRONG, MOST_CHANGES, MOST_CHANGED = 10, 5, 10  # told, unless asked otherwise


def told(lesson: "Lesson") -> list[str]:
    """The whole report: outcome, every position, what else changed, the largest changes."""
    lines = [lesson.why, *before_after(lesson), *replies(lesson), measures(lesson)]
    lines += newly_wrong(lesson, MOST_WRONG)
    return [*lines, course(lesson), *changes(lesson, MOST_CHANGES)]


def need(memory_bytes: int, *, scope: str, n_taught: int) -> str:
    """What a lesson needs, before it starts."""
    memory = size(memory_bytes)
    return f"This lesson needs about {memory} ({SCOPES[scope]}, {n_taught:,} numbers)."


def before_after(lesson: "Lesson") -> list[str]:
    """What was said at every target of the taught and of the phrasings, then and now."""
    return [line for sentence in lesson.sentences for line in sentence_lines(sentence)]


def sentence_lines(sentence: "JudgedSentence") -> list[str]:
    """A sentence and its targets, one to a line."""
    head = title(sentence)
    if sentence.role == "phrasing":
        head = f"asked otherwise: {head}"
    return [head, *(f"  {position_told(at)}" for at in sentence.positions)]


def position_told(at: "JudgedPosition") -> str:
    """One target: `4, after “a”: “cat” ✗ 12 % (said “dog”) → ✓ 62 %`."""
    sides = " → ".join(map(_side, (at.before, at.after)))
    return f"{at.position}, after {named(at.after_token)}: {named(at.token)} {sides}"


def _side(side: "Side") -> str:
    said = "" if side.right else f" (said {named(side.predicted)})"
    return f"{mark(side.right)} {share(side.probability)}{said}"


def mark(right: bool) -> str:
    """How right and wrong are marked everywhere."""
    return "✓" if right else "✗"


def title(sentence: "JudgedSentence") -> str:
    """`who sat? → a cat`, or for a single word `… a → cat`, as its tokens stand."""
    if sentence.prompt:
        return titled(sentence.prompt, sentence.reply)
    words = [at.after_token for at in sentence.positions[:1]]
    return titled([f"… {word.strip()}" for word in words], sentence.reply)


def lesson_title(lesson: "Lesson") -> str:
    """The first sentence that was taught, and how many others."""
    first, *others = (each for each in lesson.sentences if each.role == "taught")
    return title(first) + (f" and {len(others):,} more" if others else "")


def titled(prompt: Sequence[str], reply: str) -> str:
    """Prompt and reply in one line; of several turns only how many came before the last."""
    earlier = f"({number(len(prompt) - 1, 'turn')} before) " if len(prompt) > 1 else ""
    asked = prompt[-1] if prompt else "…"
    return visible(f"{earlier}{asked.strip()} → {reply.strip()}")


def replies(lesson: "Lesson", most: int = MOST_CHANGED) -> list[str]:
    """Reliability, generality and locality of whole replies, and the first `most` that changed.

    The replies are generated, without the right answer (EasyEdit's evaluation without teacher
    forcing). There are none in records of older versions, and of a single word only the others'.
    """
    parts = [
        f"{name} {count:,} of {of:,}"
        for name, (count, of) in (
            ("reliability", exact(lesson, "taught")),
            ("generality", exact(lesson, "phrasing")),
        )
        if of
    ]
    if elsewhere := reply_locality(lesson):
        parts.append(f"locality {elsewhere}")
    if not parts:
        return []
    return [f"whole replies, generated: {' · '.join(parts)}", *changed_replies(lesson, most)]


def exact(lesson: "Lesson", role: str) -> tuple[int, int]:
    """Count the taught prompts, or the phrasings, whose generated reply is the taught one."""
    found = [
        each.exact_after
        for each in lesson.sentences
        if each.role == role and each.exact_after is not None
    ]
    return sum(found), len(found)


def reply_locality(lesson: "Lesson") -> str:
    """How many of the generated replies elsewhere are unchanged; "" where none were compared."""
    sets = (("known", lesson.known_replies), ("held-out", lesson.held_out_replies))
    parts = [_unchanged(name, found) for name, found in sets if found is not None]
    return f"{', '.join(parts)} replies unchanged" if parts else ""


def _unchanged(name: str, found: "ReplyLocality") -> str:
    """`98.7 % of 310 known`, or of a sample: `98 % of 64 known (64 of 310, seeded sample)`."""
    share = f"{part(found.unchanged, found.n)} of {found.n:,} {name}"
    return share if found.n == found.of else f"{share} ({found.n:,} of {found.of:,}, seeded sample)"


def changed_replies(lesson: "Lesson", most: int = MOST_CHANGED) -> list[str]:
    """The replies elsewhere that changed, before and after: how many, and the first `most`."""
    if not lesson.n_changed_replies:
        return []
    shown = lesson.changed_replies[:most]
    changed = "reply" if lesson.n_changed_replies == 1 else "replies"
    lines = [f"{lesson.n_changed_replies:,} {changed} elsewhere changed:"]
    lines += [
        f"  {quoted(item.prompt)}: {quoted(item.before)} → {quoted(item.after)} ({SETS[item.set]})"
        for item in shown
    ]
    more = lesson.n_changed_replies - len(shown)
    return [*lines, f"  and {more:,} more"] if more else lines


def quoted(text: str) -> str:
    """A text in quotation marks, with nothing unseen."""
    return f"“{visible(text.strip())}”"


def measures(lesson: "Lesson") -> str:
    """Reliability, generality and locality of next words, in one line.

    Each next word is predicted after the right words before it (teacher forcing).
    """
    parts = [f"reliability {_of_positions(lesson, 'taught')}"]
    if lesson.generality is not None:
        parts.append(f"generality {_of_positions(lesson, 'phrasing')}")
    parts.append(f"locality {locality(lesson)}")
    return f"next words, after the right words before each: {' · '.join(parts)}"


def _of_positions(lesson: "Lesson", role: str) -> str:
    count, of = rights(lesson, role)
    return f"{part(count, of)} ({count:,} of {of:,})"


def rights(lesson: "Lesson", role: str) -> tuple[int, int]:
    """How many targets of the taught, or of the phrasings, are right now; and of how many."""
    found = [
        at.after.right for each in lesson.sentences if each.role == role for at in each.positions
    ]
    return sum(found), len(found)


def locality(lesson: "Lesson") -> str:
    """How many of the next words elsewhere stayed what they were."""
    known = f"{part(lesson.known.kept, lesson.known.n)} of {lesson.known.n:,} known"
    if lesson.held_out is None:
        return f"{known} next words"
    held_out = lesson.held_out
    return f"{known}, {part(held_out.kept, held_out.n)} of {held_out.n:,} held-out next words"


def newly_wrong(lesson: "Lesson", most: int = MOST_WRONG) -> list[str]:
    """The words elsewhere that were right and are wrong now: how many, and the first `most`."""
    sets: list[Locality] = [each for each in (lesson.known, lesson.held_out) if each is not None]
    was_right, newly_right = (
        sum(each.was_right for each in sets), sum(each.newly_right for each in sets)
    )  # fmt: skip
    if not was_right and not newly_right:
        return []
    lines = [
        f"{lesson.n_newly_wrong:,} of {was_right:,} words that it had right elsewhere are newly "
        f"wrong, {newly_right:,} newly right" + (":" if lesson.newly_wrong else ".")
    ]
    shown = lesson.newly_wrong[:most]
    lines += [f"  {_wrong(item)}" for item in shown]
    more = lesson.n_newly_wrong - len(shown)
    return [*lines, f"  and {more:,} more"] if more else lines


def _wrong(item: "NewlyWrong") -> str:
    right = item.was if item.actual is None else item.actual
    was, now = share(item.probability_was), share(item.probability_now)
    context = visible(item.context.strip())
    where = SETS[item.set]
    return f"… {context} ▸ {named(right)} {was} → {now}, now says {named(item.now)} ({where})"


def course(lesson: "Lesson") -> str:
    """Loss before and after, steps and seconds."""
    return (
        f"loss {lesson.loss_before:.4f} → {lesson.loss_after:.4f} nats in "
        f"{number(lesson.steps, 'step')} and {lesson.seconds:.1f} s, judged in "
        f"{lesson.judging_seconds:.1f} s"
    )


def changes(lesson: "Lesson", most: int = MOST_CHANGES) -> list[str]:
    """The parameters that moved most for their length, and how many others there are."""
    if not lesson.changes:
        return []
    shown = sorted(lesson.changes, key=lambda item: -item.relative)[:most]
    more = len(lesson.changes) - len(shown)
    tail = f"; {number(more, 'other')} moved less" if more else ""
    head = f"changed most, in percent of their length, and the most that one number moved{tail}:"
    return [head, *_changed(shown)]


def _changed(shown: "Sequence[MatrixChange]") -> Iterator[str]:
    longest = max(len(item.name) for item in shown)
    for item in shown:
        relative, largest = small(100 * item.relative), small(item.largest)
        yield f"  {item.name:<{longest}}  {relative:>8} %  {largest}"


def named(token: str) -> str:
    """A token in quotation marks, without the spaces around it and with nothing unseen."""
    return f"“{visible(token.strip(' ') or token)}”"


def part(count: int, of: int) -> str:
    """A share as `99.8 %`; 100 % and 0 % are all and none, never rounded to."""
    if count in (0, of):
        return "100 %" if count == of else "0 %"
    return f"{min(max(100 * count / of, 0.1), 99.9):.1f} %"


def size(n_bytes: int) -> str:
    """Bytes as `24 MB` or `3.1 GB`."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{max(n_bytes / 1e6, 1):,.0f} MB"


number = count
