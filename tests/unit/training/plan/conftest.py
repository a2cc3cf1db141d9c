"""A small text, prepared once."""

import pytest
from tests.small_runs import write_text
from tests.unit.training.plan.requests import asked

from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.training.data.prepare import find_tokenizer, prepare_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepare 2,000 short sentences, of which a tenth is held out."""
    folder = tmp_path_factory.mktemp("plan")
    request = asked(folder, path=write_text(folder / "a.txt", 2000))
    corpus = open_corpus(request.data)
    return prepare_data(request, corpus, find_tokenizer(request, corpus), folder, warn=print)
