"""Where the settings came from, as the report tells it: a recipe, a search, both, or nothing."""

from __future__ import annotations

import json
import re

import pytest
from nextbar.backtests.origin import Origin
from nextbar.backtests.report import render
from nextbar.signals.store import canonical_json
from plotly.offline import get_plotlyjs

from .pages import Page, comparison, with_origin

HEADING = "Where the settings came from"

RECIPE = {
    "name": "stacked-60",
    "title": "Four LSTM layers on windows of 60 opens",
    "source": "A tutorial, GOOG daily",
    "notes": ["No validation part.", "No naive forecast beside the RMSE."],
}


def trial(number, value, state="complete", error=None, **params):
    shown = {"number": number, "state": state, "epochs": 3 + number, "value": value}
    return shown | {"error": error, "params": params}


SEARCH = {
    "symbol": "TEST",
    "number": 1,
    "validation_loss": 0.123456789,
    "trials": [
        trial(0, 0.5, learning_rate=0.0012345, cell="lstm"),
        trial(1, 0.123456789, learning_rate=1e-4, cell="gru"),
        trial(2, 9.25, "pruned", learning_rate=0.01, cell="peephole"),
        trial(3, None, "failed", "training diverged", learning_rate=0.02),
    ],
}


def page_of(**origin):
    content, results = with_origin(comparison(), origin)
    # What is shown is what an experiment can hold.
    Origin.model_validate(content["experiment"]["origin"])
    return render(content, results)


def own_text(page):
    return page.replace(get_plotlyjs(), "")


def test_an_ordinary_run_shows_nothing_of_it():
    content, results = comparison()
    assert content["experiment"]["origin"] == {"recipe": None, "search": None}
    plain = render(content, results)
    assert "#origin" not in plain
    assert 'id="origin"' not in plain
    assert HEADING not in plain
    # Taken out again, the page with an origin is the plain one.
    page = own_text(page_of(recipe=RECIPE))
    page = re.sub(r'<p class="origin">.*?</p>\n', "", page, flags=re.DOTALL)
    page = re.sub(r'<h3 id="origin">.*?(?=<h3>Settings)', "", page, flags=re.DOTALL)
    assert page == own_text(plain)


def test_a_recipe_is_named_below_the_verdict_and_told_before_the_settings():
    page = own_text(page_of(recipe=RECIPE))
    line = "Settings of the recipe stacked-60 (Four LSTM layers on windows of 60 opens)."
    wanted = [
        'id="verdict"', "</section>", f'<p class="origin">{line} (<a href="#origin">source</a>)',
        "<nav", 'id="method"', f'<h3 id="origin">{HEADING}</h3>', "A tutorial, GOOG daily",
        *(f"<li>{note}</li>" for note in RECIPE["notes"]), "<h3>Settings</h3>",
    ]  # fmt: skip
    places = [page.index(text) for text in wanted]
    assert places == sorted(places)
    assert [page.count(text) for text in (line, 'id="origin"')] == [2, 1]
    assert Page(page).table("Recipe") == {
        "Recipe": ["stacked-60"], "Title": [RECIPE["title"]], "Source": [RECIPE["source"]]
    }  # fmt: skip
    assert "search" not in Page(page).text


def test_what_was_typed_in_place_of_the_recipes_is_told():
    changed = RECIPE | {"changes": {"epochs": 3, "units": [8]}}
    text = Page(page_of(recipe=changed)).text
    assert "windows of 60 opens), but for what was typed: epochs = 3, units = [8]. (source)" in text


def test_a_recipe_without_notes_has_no_list_of_them():
    content, results = with_origin(comparison(), {"recipe": RECIPE | {"notes": []}})
    assert "left out or did wrongly" not in render(content, results)


def test_a_search_shows_all_of_its_trials():
    page = page_of(search=SEARCH)
    text = " ".join(Page(page).text.split())
    line = "Settings chosen by a search of 4 trials on TEST, before the first test."
    assert f"{line} (trials)" in text
    assert text.count(line) == 2
    assert "The validation loss that chose them is no estimate of skill" in text
    assert "recipe" not in text
    rows = Page(page).table("Trial")
    assert rows == {
        "Trial": ["State", "Epochs", "Cell", "Learning rate", "Loss | validation"],
        "0": ["complete", "3", "lstm", "0.001234", "0.5"],
        "1 | chosen": ["complete", "4", "gru", "0.0001", "0.123457"],
        "2": ["pruned", "5", "peephole", "0.01", "9.25"],
        "3 | training diverged": ["failed", "6", "n/a", "0.02", "n/a"],
    }
    part = own_text(page).split('id="origin"')[1]
    assert re.findall(r'<tr class="lstm"><th scope="row">(\d+)<', part) == ["1"]


def test_one_trial_is_one():
    search = SEARCH | {"number": 0, "trials": SEARCH["trials"][:1]}
    assert "a search of 1 trial on TEST" in page_of(search=search)


def test_a_recipe_that_searches_shows_both():
    page = own_text(page_of(recipe=RECIPE, search=SEARCH))
    assert page.count('<p class="origin">') == 2
    assert page.count('id="origin"') == 1
    assert page.index("Settings of the recipe") < page.index("Settings chosen by a search")


@pytest.mark.parametrize("origin", [{"recipe": RECIPE}, {"search": SEARCH}])
def test_equal_input_gives_equal_bytes_and_links_have_goals(origin):
    content, results = with_origin(comparison(), origin)
    page = render(content, results)
    assert render(json.loads(canonical_json(content)), results) == page
    tags = Page(page).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    goals = {attrs["href"].removeprefix("#") for tag, attrs in tags if tag == "a"}
    assert "origin" in goals
    assert goals <= set(ids)
    assert not re.search(r"\b(None|nan|undefined)\b", Page(page).text)


def test_everything_is_escaped():
    bad = [f"<img src=x onerror=alert({i})>&amp;" for i in range(9)]
    recipe = {"name": bad[0], "title": bad[1], "source": bad[2], "notes": [bad[3]]}
    tried = {"number": 0, "state": bad[5], "epochs": 1, "value": 0.5, "error": None}
    failed = {"number": 1, "state": "failed", "epochs": 1, "value": None, "error": bad[8]}
    search = {
        "symbol": bad[4], "number": 0, "validation_loss": 0.5,
        "trials": [tried | {"params": {bad[6]: bad[7]}}, failed | {"params": {}}],
    }  # fmt: skip
    parsed = Page(page_of(recipe=recipe, search=search))
    assert "img" not in {tag for tag, _ in parsed.tags}
    for text in bad:
        assert text in parsed.text
