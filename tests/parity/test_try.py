"""What `make try` promises: every bundled prompt answered word for word, ended by the end token."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nextword.cli.main import main
from nextword.data.shards.token_shards import Shards
from nextword.evaluate.evaluation import judge_replies
from nextword.language_model import LanguageModel


@pytest.mark.slow
def test_every_bundled_prompt_is_answered_word_for_word(tmp_path: Path) -> None:
    out = tmp_path / "try"
    result = CliRunner().invoke(main, ["try", "--out", str(out)])
    assert result.exit_code == 0, result.output
    model = LanguageModel.load(out)
    judged = judge_replies(model.decoder, model.tokenizer, Shards(out / "training/data/train"))
    assert judged is not None and judged.scores is not None
    assert (judged.n_prompts, judged.n_left_out) == (310, 0)
    assert (judged.scores.exact, judged.scores.stopped) == (1.0, 1.0)
    assert "310 of 310 replies as given, 310 ended by the end token" in result.output
