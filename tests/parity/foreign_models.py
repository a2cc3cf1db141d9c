"""Small models that transformers trained, with tokenizers and chat templates of other families."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

SENTENCES = (
    "a blue jar stands on the shelf",
    "the old owl sleeps in the oak",
    "three red boats wait at the quay",
)
DIALOGUES = (
    ("where does the owl sleep?", "in the oak"),
    ("what stands on the shelf?", "a blue jar"),
    ("how many boats wait?", "three, all of them red"),
)
CHATML = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INSTRUCT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)
CORPUS = [*SENTENCES, *(turn for pair in DIALOGUES for turn in pair), "user\nassistant\n[INST] "]


def special(name: str) -> AddedToken:
    return AddedToken(name, special=True, normalized=False)


def sentencepiece_like() -> Backend:
    """As Llama 2's and Mistral's: spaces as ▁, one before the text, bytes for what is unknown."""
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=[special(name) for name in names[:3]], show_progress=False,
        initial_alphabet=["▁"],
    )  # fmt: skip
    backend.train_from_iterator([text.replace("\n", " ") for text in CORPUS], trainer)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return _with_bytes(backend, names[3:])


def _with_bytes(backend: Backend, names: list[str]) -> Backend:
    """Add tokens for single bytes to the vocabulary, as SentencePiece has them."""
    content = json.loads(backend.to_str())
    vocab = content["model"]["vocab"]
    for name in names:
        vocab[name] = len(vocab)
    backend = Backend.from_str(json.dumps(content))
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return backend


def byte_level(*, bos: bool, eos: bool = False) -> Backend:
    """As Llama 3's and Qwen's: bytes, and control tokens for turns."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[special(name) for name in ("<s>", "</s>", "<|im_start|>", "<|im_end|>")],
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    template = f"{'<s> ' * bos}$A{' </s>' * eos}"
    own = processors.TemplateProcessing(
        single=template, pair=f"{template} $B", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), own])
    return backend


def wrapped(transformers: Any, backend: Backend, *, template: str | None = None) -> Any:
    """A tokenizer of transformers."""
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = template
    return made


def trained(transformers: Any, sequences: list[list[int]], vocab_size: int, *, pad: int) -> Any:
    """A llama of two small layers that knows some sequences by heart."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=vocab_size, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    width = max(map(len, sequences))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in sequences])
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in sequences])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def saved(folder: Path, model: Any, tokenizer: Any, *, ends: list[int]) -> Path:
    """Write both, with the tokens that end a reply."""
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
