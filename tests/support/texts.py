"""The texts of the golden files: 200 of mixed lengths, the same in every version of Python.

First the difficult ones, by hand; then texts of 1 to 34 sentences, drawn from the sentences below.
`random.Random.random` is the only method whose sequence Python promises not to change, so no other
is used.
"""

import hashlib
import random
from collections.abc import Sequence

POLYGLOT = (
    "Zoë Müller naïvely filed the café résumé in São Paulo; "
    "東京 and Αθήνα were noted, cost €12.50 ☕."
)

AWKWARD = (
    "",
    " ",
    "\t\n \r\n",
    "a",
    "hello world",
    "Hello, World!",
    POLYGLOT,
    "!?.,;:-()[]{}'\"",
    "🤗👩‍👩‍👧‍👦🇧🇷 emoji, joined and flagged",
    "e\u0301 is é is E\u0301",
    "zero\u200bwidth, soft\u00adhyphen, no\u00a0break, nul\x00, bell\x07, byte\ufeffmark",
    "İstanbul, straße, ſ, ﬁne, ＦＵＬＬ ｗｉｄｔｈ, ⅷ, ½, x² ≤ ∞",
    "我喜欢在雨天读书，尤其是冬天的晚上。",
    "今日は良い天気ですね。カタカナもひらがなも。",
    "오늘은 날씨가 맑습니다",
    "الكتاب على الطاولة",
    "मुझे किताबें पढ़ना पसंद है",
    "Съешь ещё этих мягких французских булок",
    "literal [CLS] and [SEP] and [MASK] in a text",
    "##ing the ##s",
    "x" * 150,
    "pneumonoultramicroscopicsilicovolcanoconiosis " * 3,
    "https://example.org/a/b?c=d&e=%20f#g mail@example.org C:\\temp\\new.txt",
    "def f(x): return {'k': [x ** 2 for _ in range(10)]}  # noqa",
    "3.14159 1,000,000 0x7fff 1e-12 2024-02-29T23:59:60Z +49 30 123456",
    "  What\tis   machine\n\nlearning?  ",
    "red " * 30,
    "red " * 126,
    "red " * 254,
    "red " * 255,
    "red " * 510,
    "red " * 600,
)

SENTENCES = """\
The kettle boiled over while nobody was watching.
Our train left Lisbon eleven minutes late and reached Porto on time.
A cooperative of beekeepers sells honey at the north gate every Saturday.
She folded the map, put it away, and asked a shepherd instead.
The committee postponed its decision on the new bridge until March.
Rust spreads fastest where salt water dries slowly.
He has two violins, one of which he never lends.
Copper conducts heat better than steel, but it dents.
Nobody had told the night porter about the second key.
In 1987 the village had forty houses; today there are nine.
The invoice lists 14 boxes at 23.60 euros each.
Wind from the east brings dust, and wind from the west brings rain.
Owls fly silently because the edges of their feathers are soft.
The patient was given 5 mg twice a day and slept well.
Can a court overturn a contract that both sides still want?
Boil the lentils for twenty minutes, then add salt and lemon.
The compiler refuses a loop whose bound it cannot prove.
Three of the four sensors agreed; the fourth was under water.
My grandmother spelled our name with a z.
Tickets bought online cannot be returned at the counter.
A hash table trades memory for time, and sometimes loses both.
The lighthouse keeper wrote down every ship for thirty-one years.
"Bring it back before Friday," he said, "or don't bring it back."
Glaciers carry stones much larger than rivers can.
The orchestra tuned, stopped, and tuned again.
What would it cost to heat this hall through January?
An index that is never read still has to be written.
Sardines, olives and bread: that was the whole menu.
The left engine failed at 9,000 feet, and the crew turned back.
It is easier to widen a road than to narrow it.
Interest rates rose by a quarter of a point.
Spiders of this family do not build webs; they jump.
The museum's oldest clock loses four seconds a week.
Please answer in one sentence, without adjectives.
The goalkeeper guessed right and still missed the ball.
A sonnet has fourteen lines; this one has thirteen.
Most of the heat leaves through the roof.
They measured the field with a rope of twelve knots.
Downloads resume where they broke off, unless the file has changed.
The dog next door barks at umbrellas only.
Cut the fabric on the bias and the skirt will fall better.
Not every prime is odd, and not every odd number is prime.
After the flood the archive was dried page by page.
The recipe calls for buttermilk, which nobody had.
A vaccine trains the immune system without the disease.
We painted the door green, the colour of the old tram.
The strike ended on the ninth day with a raise of 3.2%.
Light takes about eight minutes from the sun to the earth.
Her thesis compares two translations of the same poem.
The valve opens at 6 bar and closes at 5.5 bar.
If the queue is full, the server says so and keeps nothing.
He learned Portuguese from the radio.
Nights are cold on the plateau even in August.
The jury listened to the recording twice.
A small library at the station lends books for one journey.
Yeast needs warmth, sugar and time.
Parliament rejected the amendment by 212 votes to 198.
Her handwriting leans to the left when she is tired.
The bicycle was stolen, found, and stolen again.
Algae turn the lake red at the end of the summer.
The new shoes squeaked on the marble floor.
To reset the device, hold both buttons for ten seconds.
The moon was so bright that the chickens stayed awake.
Every tenth apple was weighed, and every hundredth was cut open.
Our flight to Montréal was moved to gate B-17.
A good knife is sharpened before it is blunt.
The treaty names four rivers, two of which have since dried up.
Somebody had left a piano in the snow.
Translators are paid by the line, poets by the copy.
The pharmacist counted the tablets aloud.
Earthquakes of this size happen about once in sixty years.
I would rather walk than wait.""".splitlines()


def mixed_texts(count: int = 200, seed: int = 20240229) -> list[str]:
    """AWKWARD, then drawn texts: half of them under four sentences, some beyond 300 tokens."""
    draw = random.Random(seed).random
    texts = list(AWKWARD)
    while len(texts) < count:
        sentences = int(35 ** (draw() ** 1.3))
        words = [SENTENCES[int(draw() * len(SENTENCES))] for _ in range(sentences)]
        texts.append(" ".join(words))
    return texts[:count]


def fingerprint(texts: Sequence[str]) -> str:
    """SHA-256 of the texts in order: stored with golden vectors, so that changes are noticed."""
    return hashlib.sha256("\x1e".join(texts).encode()).hexdigest()
