"""The rungs, from the article's model up to today's: each adds one thing to the one before.

The order is one in which each thing can work: norm comes right after what makes the residual long
(several blocks and a feed-forward each), query/key norm after rotary position, token shift last of
what changes the model, because the standard families end before it, Muon last of what changes the
learning, because it turns the matrices that all others brought. The table has no opinion on whether
a thing pays; that is measured (`result.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nextword.errors import ConfigError, unknown
from nextword.ladder.rung import Rung
from nextword.presets import SEED

RATES = {"adamw": 3e-3, "muon": 2e-2}  # the same for every rung; Muon leaves the rest to AdamW

SEVEN_DIGITS = (
    "it is not nice to work out every product to seven digits, when the gradient of a small batch "
    "is hardly right in its second. The processor works on digits that nobody needs."
)

RUNGS = (
    Rung(
        key="article",
        name="the article's model",
        not_nice="",
        mend=(
            "At each position the word vector (embedding + position) becomes a query, and each "
            "word vector so far a key and a value. The scores go through a softmax, the values "
            "are summed with these weights, the sum is added to the word vector (the residual "
            "link), and one fully connected layer and a softmax predict the next word. Nothing "
            "else: one head, one block."
        ),
        now=(
            "score_j = query_i · key_j",
            "weight = softmax(score)",
            "context_i = weight_1 × value_1 + … + weight_i × value_i",
            "logits_i = fully_connected(word_vector_i + context_i)",
        ),
        beside=(
            "Queries start at 0, which looks at all words alike: unscaled scores of random "
            "vectors would look at one word only, and learn nothing. The optimizer is AdamW, "
            "the numbers are float32."
        ),
        model=SEED,
        training={"optimizer": "adamw", "precision": "float32", "decay_share": 0.0},
    ),
    Rung(
        key="scaled",
        name="scaled scores",
        not_nice=(
            "these scores are not nice. They are sums over all numbers of a query and a key, so"
            " they grow with the width. The softmax of large scores looks at one word only, and"
            " once it is that sure it passes on no gradient to learn from."
        ),
        mend="we divide the scores by the square root of the number of numbers in a key.",
        was=("score_j = query_i · key_j",),
        now=("score_j = query_i · key_j / √d_head",),
        beside="Queries need not start at 0 any more and are drawn like all other matrices.",
        model={"scaled_scores": True},
    ),
    Rung(
        key="heads",
        name="several heads",
        not_nice=(
            "it is not nice to have one softmax, and so one set of weights. A word that wants "
            "to look at the word before it and also at the beginning of the line has to share "
            "them between the two."
        ),
        mend=(
            "we cut query, key and value into several heads. Each head has its own scores, its "
            "own softmax and its own weights, and the contexts are laid side by side. The "
            "matrices stay as large as they were."
        ),
        was=("context_i = Σ weight_j × value_j",),
        now=("context_i = [ Σ weight_j¹ × value_j¹ | Σ weight_j² × value_j² | … ]",),
        sizes=("n_heads",),
    ),
    Rung(
        key="projection",
        name="output projection",
        not_nice=(
            "it is not nice that each head's context lands in its own part of the word vector, "
            "and nowhere else. What two heads have found cannot be put together."
        ),
        mend=(
            "one more matrix, Mo, adjustable and learned, mixes the contexts of all heads "
            "before they are added."
        ),
        was=("residual_i = word_vector_i + context_i",),
        now=("residual_i = word_vector_i + Mo × context_i",),
        model={"output_projection": True},
    ),
    Rung(
        key="blocks",
        name="several blocks",
        not_nice=(
            "it is not nice that a word looks back only once. What it finds there are words as "
            "they are by themselves, not words that have already understood their own context."
        ),
        mend=(
            "we do the whole thing again, and again: the vectors with context are the word "
            "vectors of the next block, which has an Mq, Mk, Mv and Mo of its own."
        ),
        was=("residual = word_vector + attention(word_vector)",),
        now=("residual = residual + attention_b(residual)   for block b = 1, 2, …",),
        sizes=("n_layers",),
    ),
    Rung(
        key="feed_forward",
        name="feed-forward",
        not_nice=(
            "using only attention is not nice. It carries things from place to place: a context"
            " is a weighted sum of values, and but for the softmax nothing ever bends. A "
            "position cannot think about what it has collected."
        ),
        mend=(
            "after attention, each position goes by itself through a wider layer, in which "
            "everything below 0 becomes 0 (ReLU), and back to the width of the residual."
        ),
        was=("residual = residual + attention(residual)",),
        now=(
            "residual = residual + attention(residual)",
            "residual = residual + Mdown × relu(Mup × residual)",
        ),
        model={"feed_forward": "relu"},
    ),
    Rung(
        key="norm",
        name="norm",
        not_nice=(
            "these vectors are not nice. Everybody adds to the residual, so it gets longer from"
            " block to block: the deeper matrices see longer vectors than the first ones, and "
            "other lengths at every step of the training."
        ),
        mend=(
            "before each attention, each feed-forward and the fully connected layer, we bring "
            "the vector to a standard length."
        ),
        was=("residual = residual + attention(residual)",),
        now=(
            "residual = residual + attention(norm(residual))",
            "norm(x) = gain × x / √(mean of x² + ε)",
        ),
        beside=(
            "With a norm the matrices that write into the residual can start at 0, so that each "
            "block begins by doing nothing, and the fully connected layer near 0."
        ),
        model={"norm": "rms"},
    ),
    Rung(
        key="rotary",
        name="rotary position",
        not_nice=(
            "it is not nice to add the position to the embedding. Whoever looks at the sum has "
            "to take the two apart again, and it tells where a word stands, while what counts "
            "is mostly how far away it is."
        ),
        mend=(
            "we add nothing. Instead, pairs of numbers in each query and key are turned by "
            "angles that grow with the position. The product of a turned query and a turned key"
            " depends on their distance alone, in every block."
        ),
        was=("word_vector_i = embedding_i + position_i", "score_j = query_i · key_j / √d_head"),
        now=(
            "word_vector_i = embedding_i",
            "score_j = turn(query_i, i) · turn(key_j, j) / √d_head",
        ),
        model={"position": "rotary"},
    ),
    Rung(
        key="query_key_norm",
        name="query/key norm",
        not_nice=(
            "the lengths of queries and keys are not nice: nothing holds them. Where learning "
            "makes them longer and longer, the softmax looks at one word only again, as in the "
            "article's model."
        ),
        mend="we bring every query and every key to a standard length, too.",
        was=("score_j = turn(query_i, i) · turn(key_j, j) / √d_head",),
        now=("score_j = turn(norm(query_i), i) · turn(norm(key_j), j) / √d_head",),
        model={"query_key_norm": True},
    ),
    Rung(
        key="gate",
        name="gated feed-forward",
        not_nice=(
            "it is not nice to cut as hard as ReLU does. What is below 0 is nothing, and passes"
            " on no gradient; and whether a number passes is decided by that number alone."
        ),
        mend=(
            "two matrices look at the vector. One makes the numbers, the other a soft gate for "
            "each of them (SwiGLU). The layer gets narrower, 8/3 of the width in place of 4, so"
            " that three matrices have about as many numbers as two had."
        ),
        was=("Mdown × relu(Mup × x)",),
        now=("Mdown × (silu(Mgate × x) × (Mup × x))",),
        model={"feed_forward": "swiglu"},
    ),
    Rung(
        key="token_shift",
        name="token shift",
        not_nice=(
            "it is not nice that a word enters the first block knowing nothing of its "
            "neighbours. What word stands just before is the first thing that every model needs, "
            "and a head of the first block has to be spent on finding it."
        ),
        mend=(
            "we hand it over: to each word's embedding we add a share of the embeddings of the "
            "two words before it. The shares s_1 and s_2 are learned, one for each number of a "
            "vector, and start at 0."
        ),
        was=("word_vector_i = embedding_i",),
        now=("word_vector_i = embedding_i + s_1 × embedding_(i−1) + s_2 × embedding_(i−2)",),
        beside="Programs made for the families of today do not know it: Nextword alone opens it.",
        model={"token_shift": 2},
    ),
    Rung(
        key="decay",
        name="falling learning rate",
        not_nice=(
            "it is not nice to take the last step as large as the first. Close to the bottom of"
            " a valley, such steps only jump from one side to the other."
        ),
        mend="in the last part of the time the learning rate falls to 0.",
        was=("rate(step) = rate",),
        now=("rate(step) = rate × steps_left / steps_of_that_part   in the last 40 %",),
        training={"decay_share": 0.4},
    ),
    Rung(
        key="muon",
        name="Muon",
        not_nice=(
            "it is not nice to adjust each number of a matrix as if it were alone, as AdamW "
            "does. A matrix turns vectors, and its gradient mostly points in a few directions: "
            "these learn, and the many others hardly do."
        ),
        mend=(
            "for the matrices of the blocks, we make the momentum of the gradients orthogonal "
            "before we apply it, so that every direction moves equally far. Embeddings, fully "
            "connected layer and norms stay with AdamW."
        ),
        was=("M = M − rate × mean of gradients / √(mean of gradients²)",),
        now=("M = M − rate × orthogonal(momentum of gradients)",),
        training={"optimizer": "muon"},
    ),
    Rung(
        key="bfloat16",
        name="bfloat16",
        not_nice=SEVEN_DIGITS,
        mend=(
            "we work out matrix products in bfloat16, which has two to three digits and the "
            "range of float32. The weights themselves stay in float32, so that small steps are "
            "not lost."
        ),
        was=("y = M × x,  all in float32",),
        now=("y = bfloat16(M) × bfloat16(x),  M kept in float32",),
        training={"precision": "bfloat16"},
        fast_in="bfloat16",
    ),
    Rung(
        key="int16",
        name="whole numbers",
        not_nice=SEVEN_DIGITS,
        mend=(
            "we divide each vector by a scale, so that its largest number becomes 2,896, and round "
            "all of it to whole numbers, of which this processor multiplies and adds twice as many "
            "at a time. The weights themselves stay in float32, so that small steps are not lost."
        ),
        was=("y = M × x,  all in float32",),
        now=("y = scale × (whole(M / scale of M) × whole(x / scale of x)),  M kept in float32",),
        training={"precision": "int16"},
        fast_in="int16",
    ),
)


def settings_at(rung: Rung, sizes: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings that hold on a rung: its own and those of every rung below it.

    Args:
        rung: one of `RUNGS`.
        sizes: what the settings in `Rung.sizes` become, by name.

    Returns:
        Settings of ModelConfig and of TrainingConfig.
    """
    model: dict[str, Any] = {name: 1 for each in RUNGS for name in each.sizes}
    training: dict[str, Any] = {
        "learning_rate": RATES["adamw"],
        "muon_learning_rate": RATES["muon"],
    }
    for each in RUNGS[: RUNGS.index(rung) + 1]:
        model |= {**each.model, **{name: sizes[name] for name in each.sizes}}
        training |= each.training
    return model, training


def choose(keys: Sequence[str] | None) -> tuple[Rung, ...]:
    """The rungs with these keys, in the ladder's order; None: all.

    Raises:
        ConfigError: an unknown key, or no key at all.
    """
    if keys is None:
        return RUNGS
    known = [rung.key for rung in RUNGS]
    for key in keys:
        if key not in known:
            raise ConfigError(unknown("rung", key, known))
    if not keys:
        raise ConfigError(f"no rung is given; allowed are: {', '.join(known)}")
    return tuple(rung for rung in RUNGS if rung.key in keys)
