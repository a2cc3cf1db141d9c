"""The model card: what stands in it, what does not, and that names cannot break it."""

import re
from typing import Any

from nextword.common.markdown import enumerated, escape
from nextword.formats.huggingface.model_card import CardFacts, model_card
from nextword.presets import preset

LLAMA = preset("llama", vocab_size=1009, context_length=127)
SEED = preset("seed", vocab_size=11)


def card(**facts: Any) -> str:
    minimal: dict[str, Any] = {"name": "tales", "kind": "dialogue", "config": LLAMA}
    return model_card(CardFacts(**(minimal | {"n_parameters": 1234567} | facts)))


def test_only_what_was_measured_appears() -> None:
    text = card()
    for absent in ("## Results", "## How it learned", "## What it learned from", "curves", "None"):
        assert absent not in text
    assert "1,234,567" in text
    assert "not measured on held-out text" in text


def test_a_full_card_says_it_all() -> None:
    text = card(
        tokenizer="words",
        sources=("tales.txt: plain text, 3 MB",),
        n_documents=4321,
        n_tokens=765432,
        learned="replies",
        steps=500,
        optimizer="muon",
        precision="bfloat16",
        seconds=3725.0,
        machine="2 cores",
        loss=1.46976,
        perplexity=4.3481,
        bits_per_byte=0.98765,
        top1=0.5,
        top5=0.8765,
        exact_replies=0.75,
        stop_rate=1.0,
        n_held_out_tokens=1999,
        n_asked=20,
        training_loss=1.25,
        copied=0.04,
        usually_copied=0.02,
        n_outputs=50,
        advice="more data: the held-out loss is 17.6% above the training loss",
        has_curves=True,
        nextword="0.1.0",
    )
    for row in (
        "| documents | 4,321 |",
        "| tokens | 765,432 |",
        "| loss on | replies |",
        "| time | 1 h 2 min |",
        "| held-out loss, nats per token | 1.4698 |",
        "| bits per byte | 0.9877 |",
        "| next token among five (top-5) | 87.6 % |",
        "| replies exactly as expected | 75.0 % |",
        "| replies that end by themselves | 100.0 % |",
        "| training loss, measured in the same way | 1.2500 |",
        "| outputs that stand word for word in the training text | 4.0 % |",
        "| the same of real text | 2.0 % |",
        "Measured on 1,999 held-out tokens that it never learned from, 20 prompts and 50 outputs "
        "of 20 tokens, or shorter replies.",
        "Advice: more data\\: the held\\-out loss is 17.6% above the training loss.",
        "](training/curves.svg)",
        "only the words of its vocabulary",
    ):
        assert row in text, row
    assert "was not measured" not in text


def test_the_front_is_yaml_between_two_rules() -> None:
    match = re.match(r"---\n(.*?)\n---\n\n# ", card(), re.DOTALL)
    assert match is not None
    front = match[1].splitlines()
    assert "library_name: nextword" in front
    assert any(line.startswith("license: other") and "fill in" in line for line in front)
    assert {"- text-generation", "- dialogue", "- llama"} <= set(front)
    assert 'model_name: "tales"' in front


def test_transformers_only_where_it_knows_the_family() -> None:
    assert "AutoModelForCausalLM" in card()
    assert "apply_chat_template" in card()
    assert "apply_chat_template" not in card(kind="text")
    seed = card(config=SEED)
    assert "AutoModelForCausalLM" not in seed
    assert "Nextword alone reads it" in seed


def test_token_shift_is_told_with_what_it_costs() -> None:
    text = card(config=preset("nextword", vocab_size=31))
    assert "No standard family has token shift: Nextword alone reads it." in text
    assert re.search(r"\| token shift +\| 2 ", text)
    assert "AutoModelForCausalLM" not in text
    assert "token shift" not in card()


def test_names_stay_text() -> None:
    name = '"]\n---\n# x\n<script>alert(1)</script> | `a` [b](c) "'
    text = card(name=name, sources=(name,), machine="a | b")
    assert "<script>" not in text
    assert text.count("\n---\n") == 1
    assert "\n# x" not in text
    assert r"a \| b" in text
    assert 'nextword.load("path/to/this/folder")' in text


def test_escape_shows_exactly_the_text() -> None:
    assert escape("a*b_c") == r"a\*b\_c"
    assert escape("1 < 2 & 3") == "1 &lt; 2 &amp; 3"
    assert escape("one\n\ntwo") == "one two"


def test_an_enumeration() -> None:
    assert enumerated(["one"]) == "one"
    assert enumerated(["one", "two"]) == "one and two"
    assert enumerated(["one", "two", "three"]) == "one, two and three"
