import emoji
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.catalogue import _PAIRS, COLUMNS, Catalogue, Emoji, bare, catalogue, fold
from emoji_vae.errors import InputError

FULLY = emoji.STATUS["fully_qualified"]
# The shipped catalogue follows Emoji 17, and the source of its pictures shows a wrong Sark.
KNOWN = {
    text: row
    for text, row in emoji.EMOJI_DATA.items()
    if row["status"] == FULLY and row["E"] <= 17 and text != "🇨🇶"
}
# Emoji 18, whose pictures are not out yet.
NEWER = [chr(point) for point in (0x1FAEB, 0x1FA8C, 0x1FAF9, 0x1F6D9, 0x1FA8B, 0x1FACC)]


def test_the_shipped_catalogue_is_large_and_in_unicode_order():
    emojis = list(catalogue())
    assert len(catalogue()) == len(emojis) == 1751
    assert emojis[0][:2] == ("😀", "grinning face")
    assert emojis[-1][:2] == (
        "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
        "flag: Wales",
    )
    groups = list(dict.fromkeys(row.group for row in emojis))
    assert groups == [
        "smileys & emotion",
        "people & body",
        "animals & nature",
        "food & drink",
        "travel & places",
        "activities",
        "objects",
        "symbols",
        "flags",
    ]
    # Each group is one run: the order is Unicode's, not the file's accident.
    assert sorted(emojis, key=lambda row: groups.index(row.group)) == emojis


def test_every_name_and_sequence_occurs_once():
    assert len({row.name for row in catalogue()}) == len(catalogue())
    assert len(set(catalogue().sequences)) == len(catalogue())


def test_every_sequence_is_fully_qualified_and_of_the_version_that_unicode_says():
    for row in catalogue():
        assert emoji.EMOJI_DATA[row.sequence]["status"] == FULLY, row
        assert float(row.version) == emoji.EMOJI_DATA[row.sequence]["E"], row


def test_keywords_are_clean():
    for row in catalogue():
        folded = [word.casefold() for word in row.keywords]
        assert row.keywords, row
        assert len(set(folded)) == len(folded), row
        assert row.name.casefold() not in folded, row
        assert all(word == " ".join(word.split()) and word for word in row.keywords), row
        assert not any("_" in word or "|" in word for word in row.keywords), row


def test_no_skin_tones_signs_or_components_remain():
    for row in catalogue():
        assert not any("\U0001f3fb" <= character <= "\U0001f3ff" for character in row.sequence)
        assert "\u200d♀" not in row.sequence and "\u200d♂" not in row.sequence
        assert fold(row.sequence) == row.sequence
    for component in ("🇦", "🏽", "🦰"):
        assert catalogue().find(component) is None


def test_flags_and_keycaps_are_there():
    assert catalogue()[catalogue().index("🇫🇷")].name == "flag: France"
    for key in "0123456789#*":
        assert catalogue().find(f"{key}\ufe0f\u20e3") is not None
    assert catalogue().find("1") is None


def test_every_emoji_of_unicode_17_has_a_row():
    for text in KNOWN:
        assert catalogue().find(text) is not None, (text, KNOWN[text])


@pytest.mark.parametrize("text", [*NEWER, "🇨🇶"])
def test_emojis_without_a_picture_are_unknown(text):
    assert catalogue().find(text) is None


def test_unqualified_forms_find_the_qualified_row():
    for text, row in emoji.EMOJI_DATA.items():
        if row["status"] != emoji.STATUS["component"] and fold(text) in catalogue().sequences:
            assert catalogue().sequences[catalogue().index(text)] == fold(text)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("❤", "❤️"),  # no variation selector
        ("❤\ufe0e", "❤️"),  # the one that asks for text
        ("😀\ufe0f", "😀"),  # one too many
        ("👍🏽", "👍"),
        ("☝🏿", "☝️"),
        ("🤷🏻‍♀️", "🤷"),
        ("🏃🏾‍♂️‍➡️", "🏃‍➡️"),
        ("👩🏿‍⚕", "🧑‍⚕️"),
        ("👨‍🚒", "🧑‍🚒"),
        ("👩🏻‍🤝‍👨🏿", "👫"),
        ("🧑🏻‍❤️‍💋‍🧑🏿", "💏"),
        ("🫱🏻‍🫲🏿", "🤝"),
        ("👨🏻‍🐰‍👨🏿", "👯"),
        ("👩", "👩"),  # a single person has no neutral form of the same meaning
        ("👩‍❤️‍👨", "👩‍❤️‍👨"),  # nor a couple
        ("👨‍👩‍👦", "👨‍👩‍👦"),  # nor a family
        ("♀️", "♀️"),
        ("🏳️‍⚧️", "🏳️‍⚧️"),
    ],
)
def test_fold_and_index_find_the_base(text, base):
    assert catalogue().sequences[catalogue().index(text)] == base
    assert fold(text) == base


def test_fold_invents_nothing():
    # Only what is known counts: without a neutral firefighter the man stays.
    assert fold("👨🏽‍🚒", {"👨‍🚒": "👨‍🚒"}) == "👨‍🚒"
    assert fold("👨🏽‍🚒", {}) == "👨🏽‍🚒"
    assert fold("hello") == "hello"
    assert fold("") == ""


def test_pairs_are_written_bare_and_lead_to_rows():
    for pair, base in _PAIRS.items():
        assert bare(pair) == pair
        assert base in catalogue().sequences


@given(st.text())
def test_any_text_is_found_or_refused_in_one_line(text):
    row = catalogue().find(text)
    if row is None:
        with pytest.raises(InputError) as caught:
            catalogue().index(text)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 200
    else:
        assert bare(catalogue()[row].sequence) == bare(fold(text))


@given(st.sampled_from(sorted(KNOWN)))
def test_fold_twice_is_fold_once(text):
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize("bad", ["", "happy", "😀😀", "x" * 10_000, "\ud83d", None, 3])
def test_index_refuses_what_is_no_emoji(bad):
    with pytest.raises(InputError, match="give one emoji, such as 😀"):
        catalogue().index(bad)


def test_load_reads_quoted_fields_in_order(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text(
        ",".join(COLUMNS) + '\n❤️,"heart, red",love|like it,symbols,0.6\n😀,grin,,faces,1.0\n',
        encoding="utf-8",
    )
    two = Catalogue.load(path)
    assert list(two) == [
        Emoji("❤️", "heart, red", ("love", "like it"), "symbols", "0.6"),
        Emoji("😀", "grin", (), "faces", "1.0"),
    ]
    assert (two.find("😀"), two.find("❤"), two.find("👍")) == (1, 0, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n",
        b"\xff\xfe\x00",
        b"sequence,name,keywords,group,version\n",
        b"sequence,name,keywords,group,version\nx,y\n",
        b'sequence,name,keywords,group,version\n"x,y\n',
        b"sequence,name,keywords,group,version\nx,a,,g,1.0\nx\xef\xb8\x8f,b,,g,1.0\n",
    ],
)
def test_load_refuses_foreign_files(tmp_path, content):
    path = tmp_path / "foreign.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Catalogue.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_load_refuses_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(InputError, match="cannot read the catalogue"):
            Catalogue.load(path)
