/* What comes after the blocks, in one call: the last norm, the unembedding, softmax and the loss,
   with the gradients of all of them. Some rows go through together, and of these some words at a
   time: what is being worked with stays in the cache, and of many rows the logits are never in
   memory at once. */

#include "products.h"

#include <string.h>

/* Where what belongs to one group of rows lies. */
typedef struct {
    float *normed, *inverse, *by_normed;
    float *logits;                     /* part after part: [rows, step] each */
    float *most, *sum, *wanted;        /* [rows]: see look_at, turn_back */
    float *rows, *columns, *by_logits, *vectors; /* rooms of short forms; null: there are none */
} Parts;

static int64_t n_parts(const Loss *l) { return (l->words + l->part - 1) / l->part; }

/* From a row of logits to the next. Rows that all began in one place of a page would drive each
   other out of the cache. */
static int64_t step_of(const Loss *l) { return in_lines(l->part) + 16; }

static int64_t cut(const Loss *l, Parts *parts) /* returns how many floats it takes */
{
    int64_t rows = l->group, width = l->width, total = 0, times = l->bits ? 1 : 0;
#define TAKE(part, count) \
    (parts->part = l->scratch ? l->scratch + total : NULL, total += in_lines(count))
    TAKE(normed, rows * width);
    TAKE(inverse, 2 * rows);
    TAKE(by_normed, rows * width);
    TAKE(logits, n_parts(l) * rows * step_of(l));
    TAKE(most, rows);
    TAKE(sum, rows);
    TAKE(wanted, rows);
    TAKE(rows, times * short_room(rows, width));
    TAKE(columns, times * short_room(width, rows));
    TAKE(by_logits, times * room_for(l->part, rows));
    TAKE(vectors, (l->of_weight.forward ? 0 : times) * room_for(l->part, width));
#undef TAKE
    if (!l->bits) parts->rows = parts->columns = parts->by_logits = parts->vectors = NULL;
    return total;
}

int64_t loss_scratch(const Loss *l)
{
    Parts parts;
    return cut(l, &parts);
}

/* Of some rows the logits of some words. */
typedef struct {
    int64_t row, rows, word, words; /* the first ones, and how many */
    float *logits;                  /* [rows, step] */
} Piece;

static Piece piece_of(const Loss *l, const Parts *p, int64_t row, int64_t part)
{
    Piece piece = {.row = row, .word = part * l->part};
    piece.rows = least(l->rows - row, l->group);
    piece.words = least(l->words - piece.word, l->part);
    piece.logits = p->logits + part * l->group * step_of(l);
    return piece;
}

/* The vectors of its words, as the right factor of either way; back of 16 bits at least, since the
   gradients of many logits are small beside a few. */
static Factor vectors_of(const Loss *l, const Parts *p, Piece piece, int way)
{
    int64_t width = l->width, part = piece.word / l->part;
    Short is = l->of_weight;
    if (is.forward) is.forward += part * in_lines(short_room(l->part, width));
    if (is.back) is.back += part * in_lines(short_room(width, l->part));
    const float *first = l->weight + piece.word * width;
    int64_t bits = way == BACK ? 16 : l->bits;
    return matrix(first, piece.words, width, is, p->vectors, bits, way);
}

/* Bring what is known of each row up to date: its largest logit so far, the sum of
   exp(logit - largest) and, once its word has come, the logit of the target. */
static void look_at(const Loss *l, const Parts *p, Piece piece)
{
    for (int64_t r = 0; r < piece.rows; r++) {
        const float *logits = piece.logits + r * step_of(l);
        int64_t target = l->targets[piece.row + r] - piece.word;
        float before = piece.word ? p->most[r] : -INFINITY, most = before, sum = 0.0f;
        if (target >= 0 && target < piece.words) p->wanted[r] = logits[target];
#pragma omp simd reduction(max : most)
        for (int64_t i = 0; i < piece.words; i++) most = logits[i] > most ? logits[i] : most;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < piece.words; i++) sum += exponential(logits[i] - most);
        p->most[r] = most;
        p->sum[r] = sum + (piece.word ? p->sum[r] * exponential(before - most) : 0.0f);
    }
}

/* Logits become their gradients, p / known, but for those of the targets, where p is less what was
   wanted of it: these go to `wanted`, and 0 is left in their place. */
static void turn_back(const Loss *l, const Parts *p, Piece piece)
{
    float even = l->smoothing / (float)l->words / l->known;
    for (int64_t r = 0; r < piece.rows; r++) {
        float *logits = piece.logits + r * step_of(l);
        int64_t target = l->targets[piece.row + r];
        if (target < 0) {
            memset(logits, 0, (size_t)piece.words * sizeof *logits);
            continue;
        }
        float most = p->most[r], share = 1.0f / (p->sum[r] * l->known);
#pragma omp simd
        for (int64_t i = 0; i < piece.words; i++)
            logits[i] = exponential(logits[i] - most) * share - even;
        target -= piece.word;
        if (target < 0 || target >= piece.words) continue;
        p->wanted[r] = logits[target] - (1.0f - l->smoothing) / l->known;
        logits[target] = 0.0f;
    }
}

/* What the logits of the targets give: by far the largest numbers, so in float32 always. */
static void targets_back(const Loss *l, const Parts *p, Piece piece, const float *n)
{
    int64_t width = l->width;
    for (int64_t r = 0; r < piece.rows; r++) {
        int64_t target = l->targets[piece.row + r], word = target - piece.word;
        if (target < 0 || word < 0 || word >= piece.words) continue;
        float gradient = p->wanted[r], *by_normed = p->by_normed + r * width;
        const float *vector = l->weight + target * width, *from = n + r * width;
        float *by_vector = l->by_weight + target * width;
        if (l->by_bias) l->by_bias[target] += gradient;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            by_normed[i] += gradient * vector[i];
            by_vector[i] += gradient * from[i];
        }
    }
}

/* The sum of -log p(target) of a group's rows. */
static double losses(const Loss *l, const Parts *p, int64_t row)
{
    double total = 0.0;
    for (int64_t r = 0; r < least(l->rows - row, l->group); r++)
        if (l->targets[row + r] >= 0)
            total += log((double)p->sum[r]) - (double)(p->wanted[r] - p->most[r]);
    return total;
}

/* The way back from some logits to the words' vectors and to the normed rows. Of many small
   probabilities beside a large one nothing would be left, were they not dithered. */
static void logits_back(const Loss *l, const Parts *p, Piece piece, Factor columns, const float *n)
{
    int64_t width = l->width, step = step_of(l), rows = piece.rows, words = piece.words;
    float *by_vectors = l->by_weight + piece.word * width;
    float *by_bias = l->by_bias ? l->by_bias + piece.word : NULL;
    Factor each = left(dithered(columns_of(piece.logits, step, rows, words)), p->by_logits);
    multiply(l->product, each, columns, by_vectors, width, piece.row > 0);
    add_rows(piece.logits, step, by_bias, rows, words);
    each = left(dithered(rows_of(piece.logits, step, rows, words)), p->by_logits);
    multiply(l->product, each, vectors_of(l, p, piece, BACK), p->by_normed, width, piece.word > 0);
    targets_back(l, p, piece, n);
}

/* The sum of the losses of all rows that have a target, divided by `known`. */
double loss(const Loss *l)
{
    Parts p;
    cut(l, &p);
    int64_t width = l->width;
    double total = 0.0;
    for (int64_t row = 0; row < l->rows; row += l->group) {
        int64_t rows = least(l->rows - row, l->group);
        const float *x = l->x + row * width;
        const float *n = normed(&l->norm, x, p.normed, p.inverse, rows, width);
        Factor each = rows_of(n, width, rows, width);
        each.bytes = l->bits == 8;
        each = left(each, p.rows);
        for (int64_t part = 0; part < n_parts(l); part++) {
            Piece piece = piece_of(l, &p, row, part);
            const float *bias = l->bias ? l->bias + piece.word : NULL;
            Factor vectors = vectors_of(l, &p, piece, FORWARD);
            linear(l->product, each, vectors, bias, piece.logits, step_of(l));
            look_at(l, &p, piece);
        }
        total += losses(l, &p, row);
        Factor columns = right(columns_of(n, width, rows, width), p.columns);
        for (int64_t part = 0; part < n_parts(l); part++) {
            Piece piece = piece_of(l, &p, row, part);
            turn_back(l, &p, piece);
            logits_back(l, &p, piece, columns, n);
        }
        normed_back(&l->norm, p.by_normed, x, p.inverse, NULL, l->by_x + row * width, rows, width);
    }
    return total / (double)l->known;
}
