"""Lets a model speak while it learns: a reply to a prompt, or what follows on a text."""

from collections.abc import Callable

from nextword.config import ReplyConfig
from nextword.data.prepared import Prepared
from nextword.evaluate.scoring import prompts_and_replies
from nextword.generate.engine import generate
from nextword.model.decoder import Decoder
from nextword.training.report.reporters import Reporter

SAMPLE_TOKENS = 40
SAMPLE_START = 16  # tokens of a text that a sample goes on with


def speaker(data: Prepared, decoder: Decoder, reporter: Reporter) -> Callable[[int], None] | None:
    """What is to be called with the step, now and then; None for prompts without replies."""
    shards, part = data.held_out or (data.shards, data.train)
    tokenizer = data.tokenizer
    start, stop = part.spans[0].tolist()
    if data.is_dialogue:
        pairs = prompts_and_replies(shards, part, limit=1)
        if not pairs:
            return None
        prompt = pairs[0][0]
    else:
        prompt = shards.tokens(start, min(stop, start + SAMPLE_START)).tolist()
    prompt = prompt[-(decoder.config.context_length - 1) :]

    def speak(step: int) -> None:
        config = ReplyConfig(max_tokens=SAMPLE_TOKENS)
        steps = generate(decoder, prompt, config, end_ids=tokenizer.end_ids)
        reply = tokenizer.decode([made.token_id for made in steps])
        reporter.sample(step, tokenizer.decode(prompt), reply)

    return speak
