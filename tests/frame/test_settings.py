"""Profiles: the thesis's figures, overrides by name, and errors that say what is valid."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karyo_lib.settings import PROFILES, Profile, SettingsError, load_settings, parse_settings


def test_thesis_profile_is_the_thesis():
    settings = load_settings("thesis")
    assert (settings.normal, settings.abnormal) == (105, 41)
    assert (settings.augmented_normal, settings.augmented_abnormal) == (376, 316)
    assert (settings.epochs_head, settings.passes, settings.referral_threshold) == (30, 100, 80.0)


def test_quick_shortens_only_fine_tuning_search_and_repeats():
    quick, thesis = map(dataclasses.asdict, map(load_settings, ("quick", "thesis")))
    changed = {name for name in quick if quick[name] != thesis[name]}
    assert changed == {
        "name", "epochs_last_block", "epochs_last_two_blocks", "epochs_full", "search_trials", "repeats",
        "shortcut_pages", "newer_bases", "largest_input",
        "altered_copies",
    }  # fmt: skip
    assert all(quick[name] < thesis[name] for name in changed - {"name"})


def test_default_profile_and_override():
    assert load_settings().name == "quick"
    assert load_settings("smoke", passes=7).passes == 7
    assert PROFILES["smoke"].passes != 7
    assert load_settings(conditions=["a"]).conditions == ("a",)


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings().passes = 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: load_settings("thesi"), "smoke, quick, thesis. Received 'thesi'. Did you mean 'thesis'?"),
        (lambda: load_settings(pases=3), "Received 'pases'. Did you mean 'passes'?"),
        (lambda: load_settings(name="x"), "Received 'name'"),
        (lambda: load_settings(passes="3"), "passes to be of type int. Received '3'"),
        (lambda: load_settings(passes=True), "passes to be of type int. Received True"),
        (lambda: load_settings(passes=0), "passes to be at least 1. Received 0"),
        (lambda: load_settings(normal=3), "normal to be at least 10. Received 3"),
        (lambda: load_settings(learning_rate=0), "learning_rate to be above 0. Received 0"),
        (lambda: load_settings(learning_rate=float("nan")), "learning_rate to be above 0. Received nan"),
        (lambda: load_settings(level=500), "level to be one of 400, 550, 850. Received 500"),
        (lambda: load_settings(clean=1), "clean to be of type bool. Received 1"),
        (lambda: parse_settings(["passes"]), "NAME=VALUE, such as passes=50. Received 'passes'"),
        (lambda: parse_settings(["passes=x"]), "passes to be of type int. Received 'x'"),
        (lambda: parse_settings(["clean=yes"]), "clean to be of type bool. Received 'yes'"),
        (lambda: load_settings(**parse_settings(["pases=3"])), "Received 'pases'. Did you mean 'passes'?"),
        (lambda: load_settings(conditions="a"), "conditions to be a tuple of names. Received 'a'"),
    ],
)
def test_errors_name_the_value_and_what_is_valid(call, said):
    with pytest.raises(SettingsError) as raised:
        call()
    assert said in str(raised.value)
    assert str(raised.value).startswith("Expected")


@given(st.text(min_size=1, max_size=20))
def test_any_unknown_profile_is_one_clear_error(text):
    if text not in PROFILES:
        with pytest.raises(SettingsError, match="Expected a profile"):
            load_settings(text)


@given(st.integers(1, 10_000), st.floats(1e-6, 1.0))
def test_every_value_in_range_is_taken(passes, learning_rate):
    settings = load_settings(passes=passes, learning_rate=learning_rate)
    assert isinstance(settings, Profile)
    assert (settings.passes, settings.learning_rate) == (passes, learning_rate)


@given(st.integers(1, 10_000), st.floats(1e-6, 1.0), st.booleans(), st.lists(st.sampled_from(["a", "b"])))
def test_settings_as_words_give_the_values_and_changes_give_them_back(passes, rate, clean, conditions):
    words = [f"passes={passes}", f"learning_rate={rate!r}", f"clean={str(clean).lower()}"]
    settings = load_settings("smoke", **parse_settings([*words, f"conditions={','.join(conditions)}"]))
    assert (settings.passes, settings.learning_rate, settings.clean) == (passes, rate, clean)
    assert settings.conditions == tuple(conditions)
    assert load_settings("smoke", **settings.changes()) == settings
