"""TransformerLens as an oracle: the same values inside the same GPT-2, point by point.

It is not among the test requirements, for what it brings with it is large; install it with
`pip install 'nextword[oracle]'`, and run this file with -m slow.
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.test_transformers import GPT2_SIZES, TOKENIZER, random_decoder
from torch import Tensor

from nextword.formats.huggingface.save_load import save_model
from nextword.interpret.points import points_of
from nextword.interpret.trace import Trace
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

IDS = torch.randint(0, TOKENIZER.vocab_size, (23,), generator=torch.Generator().manual_seed(3))
OUTSIDE = {  # ours → TransformerLens's; the glossary has the same names
    "token_embedding": "hook_embed",
    "position": "hook_pos_embed",
    "residual": "blocks.0.hook_resid_pre",
    "final_norm": "ln_final.hook_out",
    "logits": "unembed.hook_out",
}
IN_BLOCK = {
    "residual_pre": "hook_resid_pre",
    "attention_norm": "ln1.hook_out",
    "attention.query": "attn.hook_q",
    "attention.key": "attn.hook_k",
    "attention.value": "attn.hook_v",
    "attention.masked_scores": "attn.hook_attn_scores",
    "attention.attention_weights": "attn.hook_pattern",
    "attention.context": "attn.hook_z",
    "attention.output": "hook_attn_out",
    "residual_mid": "hook_resid_mid",
    "feed_forward_norm": "ln2.hook_out",
    "feed_forward.up": "mlp.hook_pre",
    "feed_forward.hidden": "mlp.hook_post",
    "feed_forward.output": "hook_mlp_out",
    "residual_post": "hook_resid_post",
}
OURS_ALONE = {"attention.scores", "attention.scaled_scores", "probabilities"}  # no hook there
POSITION_FIRST = {"query", "key", "value", "context"}  # theirs are [T, H, D], ours [H, T, D]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return random_decoder(preset("gpt2", **GPT2_SIZES))


@pytest.fixture(scope="module")
def trace(decoder: Decoder) -> Trace:
    return LanguageModel(decoder, TOKENIZER).trace_ids(IDS.tolist(), keep=("*",))


@pytest.fixture(scope="module")
def lens(decoder: Decoder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """What TransformerLens records of our folder, by its own names, without the batch."""
    folder = tmp_path_factory.mktemp("gpt2") / "model"
    save_model(folder, decoder, TOKENIZER, kind="dialogue", card="a card")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of its own imports
        patch.setenv("HF_HUB_OFFLINE", "1")
        transformer_lens = pytest.importorskip(
            "transformer_lens", reason="TransformerLens is not installed: nextword[oracle]"
        )
        return _recorded(transformer_lens, folder)


def _recorded(transformer_lens: Any, folder: Path) -> dict[str, Tensor]:
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    bridge = transformer_lens.TransformerBridge.boot_transformers(
        str(folder), hf_model=theirs, tokenizer=tokenizer
    )
    with torch.no_grad():
        _, cache = bridge.run_with_cache(IDS.unsqueeze(0))
    return {name: value[0] for name, value in cache.items()}


def their_name(name: str) -> str:
    """The hook of TransformerLens for a point of ours."""
    if name in OUTSIDE:
        return OUTSIDE[name]
    blocks, layer, point = name.split(".", 2)
    return f"{blocks}.{layer}.{IN_BLOCK[point]}"


def test_the_same_values_at_every_point(trace: Trace, lens: dict[str, Tensor]) -> None:
    compared = 0
    for name in points_of(trace.config):
        short = name.split(".", 2)[-1]
        if short in OURS_ALONE:
            continue
        theirs = lens[their_name(name)]
        if short.rpartition(".")[2] in POSITION_FIRST:
            theirs = theirs.transpose(0, 1)  # [T, H, D] → [H, T, D]
        ours = trace.values[name]
        if short == "attention.masked_scores":  # theirs are the smallest float where masked
            seen = ours.isfinite()
            assert theirs[~seen].max() < -1e30
            ours, theirs = ours[seen], theirs[seen]
        difference = (ours - theirs).abs().max().item()
        assert torch.allclose(ours, theirs, atol=2e-5, rtol=1e-4), (name, difference)
        compared += 1
    assert compared == len(OUTSIDE) + 2 * len(IN_BLOCK)


def test_scores_before_and_after_their_scale(trace: Trace, lens: dict[str, Tensor]) -> None:
    """Where TransformerLens has no hook, its neighbours say the value."""
    query, key = (lens[f"blocks.1.attn.hook_{part}"].transpose(0, 1) for part in "qk")
    scores = query @ key.transpose(-1, -2)  # [H, T, S]
    torch.testing.assert_close(
        trace.values["blocks.1.attention.scores"], scores, atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        trace.values["blocks.1.attention.scaled_scores"], scores / 13**0.5, atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        trace.values["probabilities"], lens["unembed.hook_out"].softmax(-1), atol=1e-6, rtol=1e-4
    )
