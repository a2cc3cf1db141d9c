"""The ladder as one self-contained HTML page: no script, nothing from elsewhere, light and dark."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from nextword.ladder import findings_text
from nextword.ladder.ladder_chart import DARK, LIGHT, ladder_svg
from nextword.ladder.result import Ladder, Step

NUMERIC = (1, 2, 3, 5, 6)  # columns of the table with numbers
NUMBER = ' class="number"'


def ladder_page(ladder: Ladder) -> str:
    """The page, the same text for the same ladder."""
    pairs = zip(ladder.steps(), findings_text.rungs(ladder), strict=True)
    body = [
        f"<h1>{escape(findings_text.TITLE)}</h1>",
        *_paragraphs(findings_text.lead(ladder), "lead"),
        f"<figure>\n{ladder_svg(ladder)}</figure>",
        *_table(ladder),
        "<ol>",
        *(piece for step, told in pairs for piece in _rung(step, told, ladder)),
        "</ol>",
        *_method(ladder),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{escape(findings_text.TITLE)}</title>",
            f"<style>{_style()}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _paragraphs(texts: Sequence[str], look: str) -> list[str]:
    return [f'<p class="{look}">{escape(text)}</p>' for text in texts]


def _table(ladder: Ladder) -> Iterator[str]:
    """Every rung in one row."""
    yield '<div class="scroll"><table>'
    yield f"<thead><tr>{_cells('th', map(escape, findings_text.HEADINGS))}</tr></thead><tbody>"
    for step, row in zip(ladder.steps(), findings_text.rows(ladder), strict=True):
        name, *numbers = map(escape, row)
        link = f'<a href="#{step.rung.key}">{name}</a>'
        yield f'<tr class="{step.verdict}">{_cells("td", [link, *numbers])}</tr>'
    yield "</tbody></table></div>"


def _cells(tag: str, contents: Iterable[str]) -> str:
    """Cells of one row; what stands in them is HTML already."""
    looks = [
        ' class="number"' if place in NUMERIC else ""
        for place in range(len(findings_text.HEADINGS))
    ]
    pairs = zip(looks, contents, strict=True)
    return "".join(f"<{tag}{look}>{content}</{tag}>" for look, content in pairs)


def _rung(step: Step, told: findings_text.Told, ladder: Ladder) -> Iterator[str]:
    """One rung: its story, its formulas, its settings, its result, its voice."""
    yield f'<li id="{told.key}" class="{step.verdict}">'
    yield f"<h2>{escape(told.title)}</h2>"
    yield from _paragraphs(told.story, "story")
    yield '<div class="formula">'
    yield from (f"<del>{escape(line)}</del>" for line in told.was)
    yield from (f"<ins>{escape(line)}</ins>" for line in told.now)
    yield "</div>"
    if told.settings:
        settings = ", ".join(f"<code>{escape(text)}</code>" for text in told.settings)
        yield f'<p class="small">Setting: {settings}</p>'
    yield from _paragraphs(told.result[:1], "result")
    yield from _paragraphs(told.result[1:], "small")
    if told.sample:
        yield "<details><summary>After its time it writes</summary>"
        prompt = f'<span class="prompt">{escape(findings_text.shown(ladder.prompt))}</span>'
        yield f"<pre>{prompt}{escape(told.sample)}</pre></details>"
    yield "</li>"


def _method(ladder: Ladder) -> Iterator[str]:
    yield "<h2>How it was measured</h2><dl>"
    for what, how in findings_text.method(ladder):
        yield f"<dt>{escape(what)}</dt><dd>{escape(how)}.</dd>"
    yield f"</dl><pre>{escape(findings_text.command(ladder))}</pre>"


def _style() -> str:
    """The page's look, in the picture's colours."""
    light, dark = (
        ";".join(f"--{name}:{colour}" for name, colour in colours.items())
        for colours in (LIGHT, DARK)
    )
    return f"""
:root{{color-scheme:light dark;{light}}}
@media (prefers-color-scheme:dark){{:root{{{dark}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--ground);color:var(--ink);
  font:17px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}}
main{{max-width:49rem;margin:0 auto;padding:2.5rem 1.25rem 5rem}}
h1{{font-size:2rem;line-height:1.2;margin:0 0 1rem}}
h2{{font-size:1.25rem;margin:0 0 .5rem}}
p{{margin:.5rem 0}}
a{{color:inherit;text-decoration-color:var(--quiet);text-underline-offset:.2em}}
figure{{margin:2rem 0}}
svg{{max-width:100%;height:auto;display:block;border:1px solid var(--grid);border-radius:8px}}
.scroll{{overflow-x:auto;margin-bottom:2.5rem}}
table{{border-collapse:collapse;width:100%;font-size:.85rem}}
th,td{{padding:.35rem .6rem;text-align:left;border-bottom:1px solid var(--grid);white-space:nowrap}}
th{{color:var(--quiet);font-weight:500}}
.number{{text-align:right;font-variant-numeric:tabular-nums}}
ol{{list-style:none;margin:0 0 3rem;padding:0 0 0 1.6rem;border-left:3px solid var(--grid)}}
li{{position:relative;padding:0 0 2.4rem}}
li::before{{content:"";position:absolute;left:calc(-1.6rem - 10px);top:.45rem;
  width:17px;height:17px;border-radius:50%;background:var(--mark);border:3px solid var(--ground)}}
li.open::before{{background:var(--ground);box-shadow:inset 0 0 0 3px var(--mark)}}
.first{{--mark:var(--first)}}
.better{{--mark:var(--better)}}
.worse{{--mark:var(--worse)}}
.open{{--mark:var(--open)}}
tr td:nth-child(4),tr td:nth-child(5){{color:var(--mark)}}
.formula{{margin:.9rem 0;padding:.7rem .9rem;border:1px solid var(--grid);border-radius:8px;
  overflow-x:auto;font:14.5px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}}
.formula del,.formula ins{{display:block;white-space:pre;text-decoration:none}}
.formula del{{color:var(--quiet)}}
.formula del::before{{content:"−  "}}
.formula ins::before{{content:"+  "}}
.formula ins{{font-weight:600}}
.result{{font-weight:600;border-left:4px solid var(--mark);padding-left:.8rem;margin:.9rem 0}}
.small,details,dd{{font-size:.9rem;color:var(--quiet)}}
code,pre{{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0;padding:.7rem .9rem;
  border:1px solid var(--grid);border-radius:8px;color:var(--ink)}}
.prompt{{color:var(--quiet)}}
summary{{cursor:pointer}}
dt{{font-weight:600;margin-top:.6rem}}
dd{{margin:0}}
"""
