"""A language model: tokenizer, decoder and folder behind one object."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nextword.config import ModelConfig, ReplyConfig
from nextword.data.prompting import Prompting
from nextword.errors import ConfigError, ContextError
from nextword.formats.huggingface.model_card import CardFacts, model_card
from nextword.formats.huggingface.save_load import Kind, load_model, save_model
from nextword.generate.engine import fit_prompt
from nextword.generate.reply_stream import Reply, ReplyStream
from nextword.interpret.interventions import Changes, Edit, edited
from nextword.interpret.recording import record
from nextword.interpret.reference import forward
from nextword.interpret.trace import Trace
from nextword.interpret.verdicts import TOP, Verdicts, make_verdicts
from nextword.interpret.walkthrough import Chain, explain
from nextword.model.decoder import Decoder
from nextword.model.fingerprint import Stamp, stamp_of, version_of
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.correction import Correction, Pair, Prompt, at_position, prompt_tokens
from nextword.teach.journal.history import History
from nextword.teach.lesson import Lesson, TeachingStep
from nextword.teach.lesson_requests import begin, teach
from nextword.teach.session import Teaching
from nextword.tokenizer.tokenizer import Tokenizer


class LanguageModel:
    """A decoder with its tokenizer.

    Attributes:
        decoder, tokenizer: the two.
        kind: "dialogue" where it learned to reply, "text" where it learned to go on with a text.
        folder: where it was read from or saved to; None for one that is only in memory.
        history: the lessons that it was taught since it was opened.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        kind: Kind = "dialogue",
        folder: Path | None = None,
        chat_template: str | None = None,
    ) -> None:
        self.decoder = decoder.eval()
        self.tokenizer = tokenizer
        self.kind: Kind = kind
        self.folder = folder
        self.chat_template = chat_template
        self.history: History | None = None
        self._edits: list[Changes] = []  # of the `edit` blocks that are open, outer ones first
        self._version: tuple[Stamp, str] | None = None
        self._prompting: tuple[Tokenizer, str | None, Prompting] | None = None

    @property
    def config(self) -> ModelConfig:
        """The decoder's."""
        return self.decoder.config

    @property
    def prompting(self) -> Prompting:
        """How it wants texts and dialogues as tokens."""
        known = self._prompting
        if known is None or known[:2] != (self.tokenizer, self.chat_template):
            made = Prompting(self.tokenizer, self.chat_template)
            known = self._prompting = (self.tokenizer, self.chat_template, made)
        return known[2]

    @property
    def version(self) -> str:
        """16 hex digits, others whenever a weight is another."""
        stamp = stamp_of(self.decoder)
        if self._version is None or self._version[0] != stamp:
            self._version = stamp, version_of(self.decoder)
        return self._version[1]

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> "LanguageModel":
        """Open a model's folder.

        Raises:
            FolderError: it is none, is damaged, or of an unknown family.
        """
        loaded = load_model(Path(folder), device=device)
        return cls(
            loaded.decoder, loaded.tokenizer, kind=loaded.kind, folder=loaded.folder,
            chat_template=loaded.chat_template,
        )  # fmt: skip

    def save(self, folder: str | Path, *, replace: bool = False) -> None:
        """Write the model's folder, whole or not at all.

        Args:
            folder: a new one, or with `replace` a model's.

        Raises:
            FolderError: the folder holds something else.
        """
        folder = Path(folder)
        facts = CardFacts(
            name=folder.name, config=self.config, n_parameters=self.decoder.n_parameters,
            kind=self.kind, tokenizer=self.tokenizer.kind,
        )  # fmt: skip
        save_model(
            folder, self.decoder, self.tokenizer, kind=self.kind, card=model_card(facts),
            replace=replace, chat_template=self.chat_template,
        )  # fmt: skip
        self.folder = folder

    def ids(self, prompt: Prompt, *, dialogue: bool | None = None) -> list[int]:
        """The tokens that the model reads for a prompt.

        Args:
            prompt: one prompt, or the turns so far.
            dialogue: True reads turns by the model's chat template, after a prompt up to where
                the reply starts; False reads a text, with what its tokenizer puts before one;
                None does what the model learned. See `Prompting`.

        Raises:
            DataError: several turns without dialogue.
        """
        as_dialogue = self.kind == "dialogue" if dialogue is None else dialogue
        return prompt_tokens(prompt, self.prompting, dialogue=as_dialogue)

    def stream(
        self, prompt: Prompt, *, config: ReplyConfig | None = None, dialogue: bool | None = None,
        truncate_left: bool = False,
    ) -> ReplyStream:  # fmt: skip
        """Reply piece by piece; arguments and errors as `reply`."""
        if self._edits:
            raise ConfigError(
                "the fast decoder, which replies, cannot be edited; inside an edit, use verdicts, "
                "trace or chain"
            )
        ids = self.ids(prompt, dialogue=dialogue)
        ids = fit_prompt(ids, self.config, truncate_left=truncate_left)
        return ReplyStream(self.decoder, self.tokenizer, ids, config or ReplyConfig())

    def reply(
        self, prompt: Prompt, *, config: ReplyConfig | None = None, dialogue: bool | None = None,
        truncate_left: bool = False,
    ) -> Reply:  # fmt: skip
        """Run over the prompt and its end token, then take next tokens until the end token.

        Args:
            prompt: one prompt, or the turns so far: prompt, reply, prompt, …
            config: how tokens are chosen; the most probable by default.
            dialogue: see `ids`.
            truncate_left: drop the oldest tokens of a prompt that is too long.

        Raises:
            ContextError: the prompt leaves no room for a reply.
            ConfigError: inside an `edit`.
        """
        return self.stream(
            prompt, config=config, dialogue=dialogue, truncate_left=truncate_left
        ).result

    @torch.inference_mode()
    def verdicts(self, text: Prompt, *, dialogue: bool | None = None, top: int = TOP) -> Verdicts:
        """For every position: the predicted next token, the actual one, right or wrong.

        Args:
            text: a text, a prompt, or prompt and reply (and so on); see `ids`.
            dialogue: see `ids`.
            top: how many of the most likely tokens to name at each position.

        Raises:
            ConfigError: top below 1.
            ContextError: the text is longer than the context.
            LossError: the model's logits are not finite.
        """
        ids = self._fitting(self.ids(text, dialogue=dialogue))
        token_ids = torch.tensor(ids, device=self.decoder.device)
        if self._edits:
            logits = forward(self.decoder, token_ids, edited(self._edits, self.config))
        else:
            logits = self.decoder(token_ids.unsqueeze(0))[0]
        return make_verdicts(logits, ids, self.tokenizer, top=top)

    def trace(
        self, text: Prompt, *, keep: Sequence[str] = (), layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None, dialogue: bool | None = None,
    ) -> Trace:  # fmt: skip
        """Every value of the forward over a text, by name (`nextword.interpret.points`).

        Args:
            text, dialogue: as for `verdicts`.
            keep: names of the points to keep at once, `*` for any part; all others are worked out
                when they are asked for. Inside an `edit` they are not, and all are kept by default.
            layers, heads: of what is kept, only these.

        Raises:
            ContextError: the text is longer than the context.
            ConfigError: a name that this model has no point for, no such layer or head, layers or
                heads without keep, or more than a gigabyte to keep.
        """
        ids = self.ids(text, dialogue=dialogue)
        return self.trace_ids(ids, keep=keep, layers=layers, heads=heads)

    def trace_ids(
        self, ids: Sequence[int], *, keep: Sequence[str] = (),
        layers: Sequence[int] | None = None, heads: Sequence[int] | None = None,
    ) -> Trace:  # fmt: skip
        """The same for a text that is tokens already."""
        tokens = torch.tensor(self._fitting(ids), device=self.decoder.device)
        if self._edits and not keep:
            keep = ("*",)
        return record(
            self.decoder, tokens, keep=keep, layers=layers, heads=heads, name=self.tokenizer.token,
            changes=self._edits,
        )  # fmt: skip

    @contextmanager
    def edit(self, changes: Changes) -> Iterator[None]:
        """Inside `with lm.edit({...}):`, values of the forward are replaced.

        `trace`, `verdicts` and `chain` then use the readable forward with the changes. Blocks
        nest: the inner one's changes come after the outer one's.

        Args:
            changes: for names of points (`*` for any part), a function from the value to the one
                that is used in its place, or that value itself; its shape must stay. See
                `nextword.ablate`, `nextword.patch` and `nextword.steer`.

        Raises:
            ConfigError: a name that this model has no point for; a reply is asked for inside.
        """
        Edit(changes, self.config)  # refuses unknown names at once
        self._edits.append(changes)
        try:
            yield
        finally:
            self._edits.pop()

    def chain(
        self, text: Prompt, *, position: int = -1, layer: int = 0, head: int = 0, top: int = TOP,
        dialogue: bool | None = None,
    ) -> Chain:  # fmt: skip
        """Every number between the word at one position and the next word, step by step.

        Args:
            text, dialogue: as for `verdicts`.
            position, layer, head: what to look at, from 0, or from the end when below 0.
            top: how many of the most likely next tokens to show.

        Raises:
            ConfigError: there is no such position, layer or head.
            ContextError: the text is longer than the context.
        """
        ids = self._fitting(self.ids(text, dialogue=dialogue))
        return explain(
            self.decoder, ids, self.tokenizer.token, position=position, layer=layer, head=head,
            top=top, changes=self._edits,
        )  # fmt: skip

    def teach(
        self, pairs: Sequence[Pair | Correction], *,
        phrasings: Sequence[Prompt] | Sequence[Sequence[Prompt]] = (),
        config: TeachingConfig | None = None, rehearse: str | Path | None = None,
        also_prompt: bool = False, on_step: Callable[[TeachingStep], None] | None = None,
        keep: bool = False, **settings: Any,
    ) -> Lesson:  # fmt: skip
        """Correct what the model says: adjust its weights until every taught word is right.

        If it is learned, the model has its new weights at once; if not, they are as they were. Its
        folder stays as it is until the lesson is kept. Ctrl-C ends a lesson, unlearned.

        Args:
            pairs: prompts with the replies that they should have had, or corrections.
            phrasings: other ways to ask, judged only; of several pairs one list for each.
            config: how; or its fields as `settings`, for example `margin=0.9`.
            rehearse: a file of what must stay; None: what the folder keeps of the training data.
            also_prompt: teach every word of the prompts, too, not only the replies.
            on_step: is told every step.
            keep: write what was learned to the folder, which is held from the beginning.

        Raises:
            ConfigError: nothing to teach, a wrong setting, inside an `edit`, keep without a folder.
            NextwordError: see `from_pair`, `Teaching` and `Lesson.keep`.
        """
        lesson = partial(
            self.teaching, pairs, phrasings=phrasings, config=config, rehearse=rehearse,
            also_prompt=also_prompt, **settings,
        )  # fmt: skip
        return teach(self, lesson, on_step=on_step, keep=keep)

    def teaching(
        self, pairs: Sequence[Pair | Correction], *,
        phrasings: Sequence[Prompt] | Sequence[Sequence[Prompt]] = (),
        config: TeachingConfig | None = None, rehearse: str | Path | None = None,
        also_prompt: bool = False, **settings: Any,
    ) -> Teaching:  # fmt: skip
        """A lesson to be taken step by step; arguments and errors as `teach`."""
        if self._edits:
            raise ConfigError("a lesson cannot be taught inside an edit; teach outside of it")
        return begin(
            self, pairs, phrasings, config=config, rehearse=rehearse, also_prompt=also_prompt,
            **settings,
        )  # fmt: skip

    def correction(self, ids: Sequence[int], right: str | int) -> Correction:
        """That after a sentence's tokens this word should follow; see `at_position`."""
        return at_position(ids, right, self.tokenizer, context_length=self.config.context_length)

    def reload(self) -> None:
        """Read the folder again, into this very object; ConfigError without one, else as `load`."""
        if self.folder is None:
            raise ConfigError("this model is only in memory, so there is nothing to read again")
        loaded = load_model(self.folder, device=str(self.decoder.device))
        self.decoder, self.tokenizer = loaded.decoder.eval(), loaded.tokenizer
        self.kind, self.chat_template = loaded.kind, loaded.chat_template
        self.history = None

    def _fitting(self, ids: Sequence[int]) -> Sequence[int]:
        """The same, if the context holds them."""
        most = self.config.context_length
        if len(ids) <= most:
            return ids
        raise ContextError(
            f"the text has {len(ids)} tokens, and this model's context holds {most}; shorten it"
        )
