"""WordNet's texts out of an archive of our own in its package's layout."""

import io
import tarfile

import pytest

from emoji_vae.errors import InputError
from pipelines import sources, wordnet
from pipelines.wordnet import Sense

LICENCE = '  1 This software is being provided to you, "the licensee of all this", by  \n'
EIGHTEEN = "one two three four five six seven eight nine ten " + "more " * 7 + "words"
FILES = {
    "noun": LICENCE
    # 16 words, which is 10 in hexadecimal; the letter after a word tells senses apart.
    + "00000001 03 n 10 alfa 0 bravo 0 charlie 1 delta 0 echo 0 foxtrot 0 golf a hotel 0 "
    "india 0 juliett 0 kilo 0 lima 0 mike 0 november 0 oscar 0 papa 0 001 @ 00000002 n 0000 "
    "| letters  \n"
    + "00000002 06 n 03 ice_cream 0 Paris 0 ox 0 000 | cold; \"ice cream for all\"; \"no\"  \n"
    "00000003 06 n 03 hot_air_balloon 0 jack_of_all_trades 0 sea_cucumber 0 000 | things  \n"
    f"00000004 06 n 02 cucumber 0 mp3 0 000 | long; \"{EIGHTEEN}\"; \"{EIGHTEEN} again\"  \n",
    "verb": "00000001 29 v 02 run 0 cream 3 001 $ 00000002 v 0000 01 + 02 00 "
    "| move fast; \"run to me\"; \"ice cream for all\"  \n",
    "adj": "00000001 00 s 02 abounding 0 galore(ip) 0 001 & 00000002 a 0000 | existing in "
    "abundance; \"abounding confidence\"; \"there was whiskey galore\"; \"ideas galore, \" \n"
    "00000002 00 s 01 out_of_print(p) 0 000 | no longer sold  \n",
    "adv": "00000001 02 r 02 run 0 rarely_so 0 000 | now; \"we met at the caf\xe9;\"  \n",
}  # fmt: skip
SENSES = """\
cream%1:13:00:: 00000002 1 7
cream%2:30:00:: 00000001 1 0
ice_cream%1:13:00:: 00000002 1 2
ox%1:05:00:: 00000002 1 0
ox%1:05:01:: 00000001 2 0
ox%2:05:01:: 00000001 1 1
galore%5:00:00:abundant:00 00000001 1 0
"""
WORDS = {
    "alfa", "papa", "golf", "paris", "ox", "cucumber", "mp3", "run", "galore", "cream", "letters",
}  # fmt: skip
FREQUENT = {
    "ice", "cream", "hot", "air", "balloon", "jack", "of", "all", "trades", "sea", "out", "print",
}  # fmt: skip


@pytest.fixture
def archive(tmp_path, monkeypatch):
    path = tmp_path / "wordnet.tgz"
    with tarfile.open(path, "w:gz") as tar:
        named = {f"data.{part}": text for part, text in FILES.items()}
        for name, text in {**named, "data.sense": "no data", "index.sense": SENSES}.items():
            content = text.encode("latin-1")
            entry = tarfile.TarInfo(f"package/dict/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(sources, "fetch", lambda name, cache: {("wordnet", tmp_path): path}[
        name, cache
    ])  # fmt: skip
    return path


def test_words(archive, tmp_path):
    # Those of WORDS that WordNet has ("letters" is only in a definition), of three letters or more
    # (not "ox") and letters alone (not "mp3"); "run" stands in two files.
    found = wordnet.texts(tmp_path, WORDS, FREQUENT)["words"]
    assert found == ["alfa", "cream", "cucumber", "galore", "golf", "papa", "paris", "run"]


def test_every_word(archive, tmp_path):
    letters = "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike"
    others = "november oscar papa paris cucumber run cream abounding galore"
    assert wordnet.words(tmp_path) == {*letters.split(), *others.split()}


def test_collocations(archive, tmp_path):
    # "jack of all trades" has four words, "sea cucumber" and "rarely so" have one that is not
    # frequent, though "cucumber" is among WORDS.
    found = wordnet.texts(tmp_path, WORDS, FREQUENT)["collocations"]
    assert found == ["hot air balloon", "ice cream", "out of print"]


def test_examples(archive, tmp_path):
    assert len(EIGHTEEN.split()) == 18
    # "no", "abounding confidence" and "ideas galore" have less than three words, one has 19, the
    # licence's is no example; "ice cream for all" is there twice.
    assert wordnet.texts(tmp_path, WORDS, FREQUENT)["examples"] == [
        "ice cream for all", EIGHTEEN, "run to me", "there was whiskey galore",
        "we met at the caf\xe9",
    ]  # fmt: skip


def test_senses(archive, tmp_path):
    found = wordnet.senses(tmp_path, 2)
    assert set(found) == {"cream", "ice cream", "ox", "galore"}
    # Counted 7 times and never: 8 and 1 of 9. The definition ends where the examples begin.
    assert found["cream"] == [
        Sense("cream, ice cream, paris, ox: cold", 8 / 9),
        Sense("cream, run: move fast", 1 / 9),
    ]
    assert found["ice cream"] == [Sense("ice cream, paris, ox: cold", 1.0)]
    # The verb was counted once, the nouns never: the first of these is told, and the second is not.
    # Three of its fellows are told.
    assert found["ox"] == [
        Sense("ox, run, cream: move fast", 2 / 3),
        Sense("ox, ice cream, paris: cold", 1 / 3),
    ]
    assert found["galore"] == [Sense("galore, abounding: existing in abundance", 1.0)]
    third = wordnet.senses(tmp_path, 3)["ox"][2]
    assert third == Sense("ox, alfa, bravo, charlie: letters", 1 / 4)


def test_a_damaged_archive_is_an_input_error(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot read the archive"):
        wordnet.texts(tmp_path, WORDS, FREQUENT)
