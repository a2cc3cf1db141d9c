/* What comes after the blocks, in one call: the last norm, the unembedding, softmax and the loss,
   with the gradients of all of them. Some rows go through together, so that of many rows the logits
   are never in memory at once. */

#include "products.h"

/* Where the parts of one group of rows lie. */
typedef struct {
    float *normed, *inverse, *logits, *by_normed;
    float *rows, *columns, *by_logits, *matrix; /* rooms of short forms; null: there are none */
} Parts;

static int64_t cut(const Loss *l, Parts *parts) /* returns how many floats it takes */
{
    int64_t rows = l->group, width = l->width, words = l->words, total = 0;
    int64_t times = l->int16 ? 1 : 0;
#define TAKE(part, count) \
    (parts->part = l->scratch ? l->scratch + total : NULL, total += in_lines(count))
    TAKE(normed, rows * width);
    TAKE(inverse, 2 * rows);
    TAKE(logits, rows * words);
    TAKE(by_normed, rows * width);
    TAKE(rows, times * short_room(rows, width));
    TAKE(columns, times * short_room(width, rows));
    TAKE(by_logits, times * short_room(words, rows));
    TAKE(matrix, times * short_room(words, width));
#undef TAKE
    if (!l->int16) parts->rows = parts->columns = parts->by_logits = parts->matrix = NULL;
    return total;
}

int64_t loss_scratch(const Loss *l)
{
    Parts parts;
    return cut(l, &parts);
}

/* -log p(target) of one row; logits become the gradient, of the loss with what is wanted smoothed. */
static double loss_of_row(float *logits, int64_t words, int64_t target, float smoothing)
{
    float most = -INFINITY, sum = 0.0f, wanted = logits[target];
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < words; i++) most = logits[i] > most ? logits[i] : most;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < words; i++) sum += logits[i] = exponential(logits[i] - most);
    float share = 1.0f / sum, even = smoothing / (float)words;
#pragma omp simd
    for (int64_t i = 0; i < words; i++) logits[i] = logits[i] * share - even;
    logits[target] -= 1.0f - smoothing;
    return log((double)sum) - (double)(wanted - most);
}

/* The sum of the losses of all rows that have a target. by_normed is worked out in float32 always:
   of a row's many small probabilities nothing would be left beside a large one. */
double loss(const Loss *l)
{
    Parts p;
    cut(l, &p);
    int64_t width = l->width, words = l->words;
    double total = 0.0;
    Factor matrix = right(rows_of(l->weight, width, words, width), p.matrix);
    for (int64_t row = 0; row < l->rows; row += l->group) {
        int64_t rows = l->rows - row < l->group ? l->rows - row : l->group;
        const float *x = l->x + row * width;
        const float *n = normed(&l->norm, x, p.normed, p.inverse, rows, width);
        linear(l->product, left(rows_of(n, width, rows, width), p.rows), matrix, l->bias, p.logits,
               words);
        for (int64_t r = 0; r < rows; r++) {
            float *logits = p.logits + r * words;
            int64_t target = l->targets[row + r];
            if (target >= 0) total += loss_of_row(logits, words, target, l->smoothing);
            for (int64_t i = 0; target < 0 && i < words; i++) logits[i] = 0.0f;
        }
        Factor by_logits = left(columns_of(p.logits, words, rows, words), p.by_logits);
        Factor columns = right(columns_of(n, width, rows, width), p.columns);
        multiply(l->product, by_logits, columns, l->by_weight, width, row > 0);
        add_rows(p.logits, words, l->by_bias, rows, words);
        multiply(l->product, rows_of(p.logits, words, rows, words),
                 columns_of(l->weight, width, words, width), p.by_normed, width, 0);
        normed_back(&l->norm, p.by_normed, x, p.inverse, NULL, l->by_x + row * width, rows, width);
    }
    return total;
}
