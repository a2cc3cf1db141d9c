"""torch's own matrix product is found, tried, and done without where it is not."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nextword.kernels import blas
from nextword.kernels.blas import product


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    product.cache_clear()
    yield
    product.cache_clear()


def test_it_is_found_in_this_torch() -> None:
    if "mkl" not in torch.__config__.show().lower():
        pytest.skip("only a torch with MKL is known to export it")
    assert product() is not None


def test_a_torch_without_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "NAME", "no_such_product_")
    assert product() is None
    product.cache_clear()
    monkeypatch.setattr(blas, "LIBRARIES", ("no_such_library.so",))
    assert product() is None


def test_what_cannot_be_opened_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / blas.LIBRARIES[0]).write_text("not a library")
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "__init__.py"))
    assert product() is None


def test_a_product_that_errs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)

    class Library:
        sgemm_ = kind(lambda *_: None)  # does nothing

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    if not any((Path(torch.__file__).parent / "lib" / n).exists() for n in blas.LIBRARIES):
        pytest.skip("torch's library has another name here")
    assert product() is None
