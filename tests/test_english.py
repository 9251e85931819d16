"""English texts are told from others: sentences of our own in some thirty languages."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError

pytest.importorskip("py3langid", reason="needs the extra train")

from sqam.encoder import Encoder
from sqam.english import EnglishSettings, is_english

ENGLISH = [
    "so tired today, I just want to sleep",
    "happy birthday my love",
    "No sober weekend",
    "Im so angry",
    "wanna shake it???",
    "gonna be late tmrw, idk why lol",
    "@anna_92 thanks for the pizza 🍕🍕 https://example.org/pizza",
    "the café was closed, what a cliché",
    "we lost again :(",
    "omg yes, best day ever",
]
OTHER = [
    "hoy estoy muy cansado y quiero dormir",
    "me encanta la pizza con queso",
    "feliz cumpleaños mi amor 😍😍😍 #love",
    "je suis trop fatigué pour sortir ce soir",
    "j'adore le chocolat chaud en hiver",
    "ich bin heute so müde und will schlafen",
    "das wetter ist heute wunderschön",
    "che bella giornata con gli amici",
    "mi piace molto il gelato",
    "hoje estou muito cansado e quero dormir",
    "que dia lindo para ficar com os amigos",
    "saya sangat lelah hari ini",
    "bugün çok yorgunum ve uyumak istiyorum",
    "dzisiaj jestem bardzo zmęczony",
    "vandaag ben ik erg moe en wil ik slapen",
    "idag är jag väldigt trött",
    "mahal na mahal kita palagi",
    "hôm nay tôi rất mệt",
    "сегодня я очень устал",
    "今日はとても疲れた",
    "오늘 너무 피곤해요",
    "今天我很累",
    "أنا متعب جدا اليوم",
    "आज मैं बहुत थका हुआ हूँ",
    "σήμερα είμαι πολύ κουρασμένος",
    "היום אני מאוד עייף",
]


@pytest.fixture(scope="module")
def words():
    return Encoder.load().vocabulary


@pytest.mark.parametrize("text", ENGLISH)
def test_english_passes(words, text):
    assert is_english(text, words)


@pytest.mark.parametrize("text", OTHER)
def test_other_languages_do_not(words, text):
    assert not is_english(text, words) and not is_english(text)


@pytest.mark.parametrize("text", ["", "😂😂", "42", "@anna https://example.org", "?!", "x"])
def test_without_a_word_nothing_speaks_against_it(text):
    assert is_english(text)


def test_known_words_overrule_the_detector():
    text = "mi amor grande casa"
    assert not is_english(text)
    assert is_english(text, {"mi", "amor", "grande", "casa"})
    # Three of four are 0.75.
    three = {"mi", "amor", "grande"}
    assert not is_english(text, three) and is_english(text, three, EnglishSettings(known=0.75))
    # Words of four letters and more: "amor", "grande", "casa".
    longer = EnglishSettings(known=1.0, shortest=4)
    assert is_english(text, {"amor", "grande", "casa"}, longer)


@given(st.text(st.characters(codec=None), max_size=60))
def test_any_text_gets_an_answer(text):
    assert is_english(text) in (True, False)


@pytest.mark.parametrize("text", [None, 3, b"bytes"])
def test_what_is_no_string_is_refused(text):
    with pytest.raises(InputError, match="must be a string"):
        is_english(text)


@pytest.mark.parametrize("values", [{"known": 0}, {"known": 1.1}, {"shortest": 0}])
def test_settings_that_cannot_be(values):
    with pytest.raises(InputError, match=next(iter(values))):
        EnglishSettings(**values)


def test_the_missing_extra_is_named():
    code = "import sys; sys.modules['py3langid'] = None; import sqam.english as e; e.is_english('')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode and "pip install 'emoji-sqam[train]'" in done.stderr
