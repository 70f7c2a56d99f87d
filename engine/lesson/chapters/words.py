"""Chapter 2: WordPiece."""

from engine.lesson import wordpiece
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page
from engine.lesson.exercise import Exercise

TEXTS = ("Unbelievable!", "Crème brûlée für 東京", "tokenization, mis-spellled", "a🙂b", "x" * 101)


def split_into_words() -> None:
    for text in ("Crème Brûlée", "it's 5€\n", "in 東京"):
        text = wordpiece.clean(text)
        print(repr(text), "->", wordpiece.words(text))


def split_into_pieces() -> None:
    vocabulary = {"play", "##s", "##er", "un", "##play", "##able", "!"}
    for text in ("Players!", "unplayable", "played"):
        print(text, "->", *wordpiece.tokenize(text, vocabulary))


def compare(bert: Bert) -> None:
    vocabulary = {token: id for id, token in enumerate(bert.vocabulary)}
    print(bert.embedder.name, "knows", len(vocabulary), "tokens")
    for text in TEXTS:
        tokens = wordpiece.tokenize(text, vocabulary)
        ids = [vocabulary[token] for token in tokens]
        (library,) = bert.embedder.tokenize([text])
        same = ids == library.ids[1:-1].tolist()
        print("same:" if same else "DIFFERENT:", *tokens[:9])


def answer() -> str:
    vocabulary = {"un", "unp", "##p", "##la", "##lay", "##play", "##er", "##s"}
    return " ".join(wordpiece.tokenize("unplayers", vocabulary))


CHAPTER = Chapter(
    "WordPiece: from a text to tokens",
    (
        Page(
            """
            The model has a fixed list of tokens, its vocabulary. Common words are tokens. Rare
            words are put together from pieces, so that nearly every word can be written. WordPiece
            is the rule that finds the pieces. You can read it on this page and the next. It is in
            engine/lesson/wordpiece.py; the tests compare it with the library `tokenizers` on 1,000
            texts.

            First the text is cleaned. Capital letters become small and accents are removed. (The
            models of this engine that distinguish capitals, called "cased", leave that out.) Then
            it is split at spaces and punctuation marks. There are no spaces between Chinese words,
            so each Chinese character is a word.
            """,
            shown=(wordpiece.clean, wordpiece.words),
            run=split_into_words,
        ),
        Page(
            """
            Each word becomes pieces. Take the longest beginning that is in the vocabulary. Do the
            same with the rest of the word, and so on. A piece that continues a word begins with
            "##". If the rest has no beginning that is known, the whole word becomes [UNK], for
            "unknown". The rule never goes back to try a shorter beginning.
            """,
            shown=(wordpiece.pieces, wordpiece.tokenize),
            run=split_into_pieces,
        ),
        Page(
            """
            Now a real vocabulary. Each token has a number, its id: the row where it stands in the
            vocabulary. The model sees only ids. The engine gets them from the library `tokenizers`,
            which does the same in compiled code. It also puts [CLS] before the text and [SEP] after
            it; these two are left out here. The first nine tokens of each text are shown.
            """,
            run=compare,
        ),
    ),
    Exercise(
        "The vocabulary is: un unp ##p ##la ##lay ##play ##er ##s. Which tokens is the word"
        ' "unplayers"? Give them with spaces between.',
        answer(),
        "The longest beginning that is in the vocabulary comes first, always.",
        mistakes={
            "un ##play ##er ##s": "un is in the vocabulary, but a longer beginning is too.",
            "un play er s": "Pieces that continue a word are written with ##. And look again for"
            " the longest beginning.",
            "unp lay er s": "The pieces are right. Those that continue a word are written with ##.",
            "unp ##la ##y ##er ##s": "##lay is longer than ##la, and ##y is not in the vocabulary.",
            "[UNK]": "All of the word can be written with the vocabulary.",
        },
    ),
)
