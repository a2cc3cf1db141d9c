"""One lesson at a time: who may do what when, with a lesson that only goes on when it is let."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.unit.serve.calls import Browser, post
from tests.unit.serve.models import article, talker
from tests.unit.serve.slow import PAIR, Served
from torch import Tensor

from nextword.common.folder_lock import hold
from nextword.errors import LossError
from nextword.language_model import LanguageModel
from nextword.serve import lesson_session as module
from nextword.serve.routes.routes_reply import Replying
from nextword.teach.config import TeachingConfig


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> Served:
    return Served(article(), monkeypatch)


@pytest.fixture
def in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    lm = article()
    lm.save(tmp_path / "article")
    return Served(lm, monkeypatch)


def code(browser: Browser, path: str, value: Any = None) -> tuple[int, str]:
    reply = browser.post(path, {} if value is None else value)
    return reply.status, reply.error["code"]


def embedding(lm: LanguageModel) -> Tensor:
    return lm.decoder.token_embedding.weight.detach().clone()


def test_a_lesson_from_its_start_to_its_undo(in_memory: Served) -> None:
    lm, old = in_memory.lm, in_memory.lm.version
    weights = embedding(lm)
    with Browser(in_memory.app) as browser:
        answer = browser.begin("/api/teach", PAIR | {"phrasings": ["a"], "config": {"steps": 11}})
        started = answer.event()
        in_memory.slow[0].let.release(9)
        *steps, done = answer.rest()
        lesson = browser.get("/api/lessons").json["unkept"]
        assert (done["event"], done["version"], lesson["loss_after"]) == ("done", lm.version, 0.25)
        assert done["lesson"] == lesson
        assert torch.equal(embedding(lm), weights + 1)
        undone = browser.post("/api/teach/undo", {})
        assert undone.json == {"version": old}
        assert undone.headers["nextword-version"] == lm.version == old
        assert torch.equal(embedding(lm), weights)
        assert browser.get("/api/lessons").json["unkept"] is None
    assert answer.done.result(20).headers["nextword-version"] == old
    assert (steps[0]["step"], steps[-1]["step"]) == (0, 2)
    del started["sentences"]
    assert started == {
        "event": "started", "version": old, "scope": "all", "n_taught": 13, "memory_bytes": 17,
        "rehearsal": "nothing", "max_steps": 11, "max_seconds": 60.0,
    }  # fmt: skip
    (((pairs,), settings),) = in_memory.asked
    assert (pairs, settings) == (
        [("the", "cat")],
        {"phrasings": ["a"], "config": TeachingConfig(steps=11), "also_prompt": False},
    )
    assert all("AnyIO" in name for name in in_memory.slow[0].threads)  # not the loop's own thread


def test_others_are_answered_from_the_old_weights_meanwhile(in_memory: Served) -> None:
    old = in_memory.lm.version
    with Browser(in_memory.app) as browser:
        before = browser.post("/api/read", {"turns": ["the cat"]})
        answer = in_memory.begun(browser)
        during = browser.post("/api/read", {"turns": ["the cat"]})
        assert (during.body, during.headers) == (before.body, before.headers)
        assert during.headers["nextword-version"] == old
        assert browser.get("/api/lessons").json["teaching"] is True
        in_memory.slow[0].let.release(9)
        new = answer.rest()[-1]["version"]
        after = browser.post("/api/read", {"turns": ["the cat"]})
        assert after.headers["nextword-version"] == after.json["version"] == new != old
        assert after.json["loss"] != before.json["loss"]
        asked = {"turns": ["the cat"], "version": old}
        assert code(browser, "/api/read", asked) == (409, "version_changed")


def test_one_lesson_at_a_time(in_memory: Served) -> None:
    writes = ["/api/teach/keep", "/api/teach/undo", "/api/lessons/undo", "/api/reload"]
    with Browser(in_memory.app) as browser:
        for path in writes[:2]:
            assert code(browser, path) == (409, "no_lesson")
        assert browser.post("/api/teach/stop", {}).json == {"stopped": False}
        answer = in_memory.begun(browser)
        for path in writes:
            assert code(browser, path) == (409, "teaching")
        assert code(browser, "/api/teach", PAIR) == (409, "teaching")
        in_memory.slow[0].let.release(9)
        assert answer.rest()[-1]["event"] == "done"
        for path in writes[2:]:
            assert code(browser, path) == (409, "lesson_open")
        assert code(browser, "/api/teach", PAIR) == (409, "lesson_open")
        assert browser.post("/api/teach/stop", {}).json == {"stopped": False}
        assert browser.post("/api/teach/undo", {}).status == 200
        assert in_memory.unkept(browser)["event"] == "done"  # and again
    assert len(in_memory.slow) == 2


def test_stop_ends_it_with_the_weights_as_they_were(in_memory: Served) -> None:
    old = in_memory.lm.version
    with Browser(in_memory.app) as browser:
        answer = in_memory.begun(browser)
        in_memory.slow[0].let.release()
        assert answer.event()["step"] == 0
        assert browser.post("/api/teach/stop", {}).json == {"stopped": True}
        in_memory.slow[0].let.release(9)
        last = answer.rest()[-1]
        assert (last["event"], last["version"]) == ("not_learned", old)
        assert last["lesson"]["outcome"] == "stopped"
        assert in_memory.lm.version == old
        assert browser.get("/api/lessons").json["unkept"] is None
        assert in_memory.unkept(browser)["event"] == "done"


@pytest.mark.parametrize("let", [0, 1, 3])  # before a step, between two, while it is judged
def test_who_hangs_up_stops_it(
    in_folder: Served, monkeypatch: pytest.MonkeyPatch, let: int
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    old, folder = in_folder.lm.version, in_folder.lm.folder
    assert folder is not None
    with Browser(in_folder.app) as browser:
        answer = in_folder.begun(browser)
        for number in range(let):
            in_folder.slow[0].let.release()
            assert answer.event()["step"] == number
        answer.hang_up()
        in_folder.slow[0].let.release()  # what it is at goes to its end
        answer.rest()
        assert in_folder.slow[0].stopped
        assert in_folder.lm.version == old
        with hold(folder, what="teaching"):
            pass  # nobody holds it
        assert in_folder.unkept(browser)["event"] == "done"


def test_a_stop_before_the_start_is_not_forgotten(
    in_memory: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, make = threading.Semaphore(0), in_memory.lm.teaching

    def long(*given: Any, **settings: Any) -> Any:
        assert ready.acquire(timeout=20)
        return make(*given, **settings)

    monkeypatch.setattr(in_memory.lm, "teaching", long)
    with Browser(in_memory.app) as browser:
        answer = browser.begin("/api/teach", PAIR)
        while not browser.get("/api/lessons").json["teaching"]:
            pass
        assert browser.post("/api/teach/stop", {}).json == {"stopped": True}
        ready.release(2)
        assert answer.event()["event"] == "started"
        in_memory.slow[0].let.release(9)
        assert [event["event"] for event in answer.rest()] == ["not_learned"]
        assert in_memory.unkept(browser)["event"] == "done"  # the next one is not stopped


def test_who_is_gone_before_the_start_leaves_nothing_behind(in_memory: Served) -> None:
    post(in_memory.app, "/api/teach", PAIR, hang_up_after=0)
    assert in_memory.slow[0].stopped
    with Browser(in_memory.app) as browser:
        assert in_memory.unkept(browser)["event"] == "done"


def test_an_error_in_the_middle_drops_it(in_memory: Served) -> None:
    old = in_memory.lm.version
    with Browser(in_memory.app) as browser:
        answer = in_memory.begun(browser)
        in_memory.slow[0].error = LossError("the loss is infinite")
        in_memory.slow[0].let.release(9)
        (error,) = answer.rest()
        assert (error["event"], error["error"]["code"]) == ("error", "not_finite")
        assert in_memory.lm.version == old
        assert in_memory.unkept(browser)["event"] == "done"


def test_the_end_of_the_server_drops_it(in_folder: Served) -> None:
    old = in_folder.lm.version
    with Browser(in_folder.app) as browser:
        answer = in_folder.begun(browser)
        in_folder.app.state.stopping = True
        in_folder.slow[0].let.release()
        *_, error = answer.rest()
        assert error["error"]["code"] == "stopped"
        assert in_folder.lm.version == old
        assert in_folder.app.state.lessons.close() is False


def test_an_unkept_lesson_is_dropped_at_the_end_and_its_folder_free(in_folder: Served) -> None:
    folder = in_folder.lm.folder
    assert folder is not None
    with Browser(in_folder.app) as browser:
        in_folder.unkept(browser)
        with pytest.raises(Exception, match="is held by"), hold(folder, what="training"):
            pass
        assert in_folder.app.state.lessons.close() is True
        with hold(folder, what="training"):
            pass


def test_a_terminal_that_holds_the_folder_is_named(in_folder: Served) -> None:
    folder = in_folder.lm.folder
    assert folder is not None
    with Browser(in_folder.app) as browser:
        with hold(folder, what="teaching"):
            for path, value in (("/api/teach", PAIR), ("/api/lessons/undo", {})):
                reply = browser.post(path, value)
                assert (reply.status, reply.error["code"]) == (409, "busy")
                assert reply.error["message"].endswith("; try again when it has ended")
                assert "which has been teaching since" in reply.error["message"]
        assert in_folder.unkept(browser)["event"] == "done"


def test_without_a_folder_nothing_can_be_kept(in_memory: Served) -> None:
    with Browser(in_memory.app) as browser:
        assert code(browser, "/api/reload") == (422, "no_folder")
        assert code(browser, "/api/lessons/undo") == (422, "no_folder")
        in_memory.unkept(browser)
        assert code(browser, "/api/teach/keep") == (422, "no_folder")
        listed = browser.get("/api/lessons").json
        assert (listed["folder"], listed["items"], listed["unkept"]["number"]) == (False, [], None)
        assert browser.post("/api/teach/undo", {}).status == 200


def test_a_reply_that_is_under_way_ends_when_the_weights_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served, lets = Served(talker(), monkeypatch), threading.Semaphore(1)
    make = Replying._step

    def slow(*given: Any) -> Any:
        assert lets.acquire(timeout=20)
        return make(*given)

    monkeypatch.setattr(Replying, "_step", slow)
    with Browser(served.app) as browser:
        answer = served.begun(browser)
        reply = browser.begin("/api/reply", {"ids": [0, 1]})
        assert (reply.event()["event"], reply.event()["event"]) == ("start", "step")
        served.slow[0].let.release(9)
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] == "step":  # the reply has its turn, each time
            lets.release()
            events.append(reply.event())
        new = answer.rest()[-1]["version"]
        assert reply.done.result(20).headers["nextword-version"] != new
    assert events[-1]["error"]["code"] == "version_changed"
    assert len(events) < 39  # as many as there would be, and the end


def test_only_the_first_the_last_and_one_in_a_while_are_told(
    in_memory: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.0, 0.02, 0.049, 0.051, 0.051, 0.09])  # told: 0 at 0, 3 at 0.051
    clock = SimpleNamespace(monotonic=lambda: next(times))
    with Browser(in_memory.app) as browser:
        in_memory.steps = 5
        answer = in_memory.begun(browser)
        monkeypatch.setattr(module, "time", clock)
        in_memory.slow[0].let.release(9)
        *steps, _ = answer.rest()
    assert [step["step"] for step in steps] == [0, 3, 4]
