/* Half a block: y = x + attention(norm(x)), forward and back, some sequences at a time. */

#include "products.h"

#include <string.h>

enum { QUERIES = 64 }; /* of one head that are worked out together */

/* One head of one sequence: where its queries, keys and values lie, and what they may see. */
typedef struct {
    Product product;
    const float *query, *key, *value;
    int64_t query_step, key_step, value_step, tokens, width, window;
    const int64_t *documents;
    float scale;
    Draw draw; /* of its weights */
    int64_t first; /* the place of its first weight in it; a query has a place for each token */
} Head;

static int64_t first_seen(const Head *head, int64_t query)
{
    return head->window && query >= head->window ? query - head->window + 1 : 0;
}

/* The first key that any of `count` queries from `query` on may look at. Documents lie side by side
   in a row, so most keys before a query belong to others, and their products need not be taken. */
static int64_t first_key(const Head *head, int64_t query, int64_t count)
{
    int64_t first = first_seen(head, query);
    if (!head->documents) return first;
    int64_t least = head->documents[query], most = least;
    for (int64_t q = query + 1; q < query + count; q++) {
        least = head->documents[q] < least ? head->documents[q] : least;
        most = head->documents[q] > most ? head->documents[q] : most;
    }
    while (head->documents[first] < least || head->documents[first] > most) first++;
    return first;
}

/* query·key · scale of `count` queries from `query` on, with keys from `from` on; minus infinity
   where a query may not look. Each row has query + count - from columns. */
static void score(const Head *head, int64_t query, int64_t count, int64_t from, float *scores)
{
    int64_t keys = query + count - from, width = head->width;
    Factor asked = rows_of(head->query + query * head->query_step, head->query_step, count, width);
    Factor with = rows_of(head->key + from * head->key_step, head->key_step, keys, width);
    multiply(head->product, asked, with, scores, keys, 0);
    for (int64_t q = query; q < query + count; q++, scores += keys) {
        int64_t first = first_seen(head, q) - from, last = q - from;
        first = first < 0 ? 0 : first;
        const int64_t *of = head->documents ? head->documents + from : NULL;
        for (int64_t j = 0; j < first; j++) scores[j] = -INFINITY;
#pragma omp simd
        for (int64_t j = first; j <= last; j++) scores[j] *= head->scale;
        for (int64_t j = first; of && j <= last; j++)
            if (of[j] != head->documents[q]) scores[j] = -INFINITY;
        for (int64_t j = last + 1; j < keys; j++) scores[j] = -INFINITY;
    }
}

/* Weights of a query with some keys, of which a share is dropped. */
static void drop_weights(const Head *head, float *weights, int64_t query, int64_t from, int64_t keys)
{
    int64_t first = head->first + query * head->tokens + from;
    if (head->draw.limit) drop(head->draw, weights, NULL, weights, first, keys);
}

static inline float weight_of(float score, float most)
{
    return score == -INFINITY ? 0.0f : exponential(score - most);
}

/* context = softmax(scores) · value; log_sum [T] is log Σ exp(scores). */
static void attend(const Head *head, float *context, int64_t step, float *log_sum, float *scores)
{
    for (int64_t query = 0; query < head->tokens; query += QUERIES) {
        int64_t count = head->tokens - query < QUERIES ? head->tokens - query : QUERIES;
        int64_t from = first_key(head, query, count), keys = query + count - from;
        score(head, query, count, from, scores);
        for (int64_t row = 0; row < count; row++) {
            float *s = scores + row * keys, most = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : most)
            for (int64_t j = 0; j < keys; j++) most = s[j] > most ? s[j] : most;
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < keys; j++) sum += s[j] = weight_of(s[j], most);
            float share = 1.0f / sum;
#pragma omp simd
            for (int64_t j = 0; j < keys; j++) s[j] *= share;
            drop_weights(head, s, query + row, from, keys);
            log_sum[query + row] = most + logf(sum);
        }
        Factor values = columns_of(head->value + from * head->value_step, head->value_step, keys,
                                   head->width);
        multiply(head->product, rows_of(scores, keys, count, keys), values, context + query * step,
                 step, 0);
    }
}

/* The way back. by_key and by_value get this head's share added, by_query is set. */
static void attend_back(const Head *head, const float *by_context, const float *context,
                        int64_t step, const float *log_sum, float *by_query, int64_t by_query_step,
                        float *by_key, int64_t by_key_step, float *by_value, int64_t by_value_step,
                        float *weights, float *by_weights)
{
    Product product = head->product;
    int64_t width = head->width;
    for (int64_t query = 0; query < head->tokens; query += QUERIES) {
        int64_t count = head->tokens - query < QUERIES ? head->tokens - query : QUERIES;
        int64_t from = first_key(head, query, count), keys = query + count - from;
        const float *by_block = by_context + query * step;
        score(head, query, count, from, weights);
        Factor value = rows_of(head->value + from * head->value_step, head->value_step, keys, width);
        multiply(product, rows_of(by_block, step, count, width), value, by_weights, keys, 0);
        for (int64_t row = 0; row < count; row++) {
            float *w = weights + row * keys, *by = by_weights + row * keys, along = 0.0f;
            const float *g = by_block + row * step, *c = context + (query + row) * step;
            float most = log_sum[query + row];
            drop_weights(head, by, query + row, from, keys);
#pragma omp simd reduction(+ : along)
            for (int64_t d = 0; d < width; d++) along += g[d] * c[d];
#pragma omp simd
            for (int64_t j = 0; j < keys; j++) {
                w[j] = weight_of(w[j], most);
                by[j] = head->scale * w[j] * (by[j] - along);
            }
            drop_weights(head, w, query + row, from, keys);
        }
        multiply(product, columns_of(weights, keys, count, keys),
                 columns_of(by_block, step, count, width), by_value + from * by_value_step,
                 by_value_step, 1);
        multiply(product, columns_of(by_weights, keys, count, keys),
                 columns_of(head->query + query * head->query_step, head->query_step, count, width),
                 by_key + from * by_key_step, by_key_step, 1);
        multiply(product, rows_of(by_weights, keys, count, keys),
                 columns_of(head->key + from * head->key_step, head->key_step, keys, width),
                 by_query + query * by_query_step, by_query_step, 0);
    }
}

/* Where the parts of one group of sequences lie; `scratch` is cut up in this order. */
typedef struct {
    float *normed, *inverse, *query, *key, *value, *turned_inverse, *scores; /* both ways */
    float *by_context, *by_query, *by_key, *by_value, *by_joined, *by_normed, *by_scores; /* back */
    float *left, *right, *matrix[4]; /* rooms of factors' short forms; null where there are none */
} Parts;

static int64_t cut(const Attention *a, Parts *parts) /* returns how many floats it takes */
{
    int64_t rows = a->group * a->tokens, queries = a->heads * a->head_width;
    int64_t keys = a->shared * a->head_width, scores = QUERIES * a->tokens, total = 0;
    int64_t width = a->width;
#define TAKE(part, count) \
    (parts->part = a->scratch ? a->scratch + total : NULL, total += in_lines(count))
    TAKE(normed, rows * width);
    TAKE(inverse, 2 * rows);
    TAKE(query, rows * queries);
    TAKE(key, rows * keys);
    TAKE(value, rows * keys);
    TAKE(turned_inverse, rows * (a->heads + a->shared));
    TAKE(scores, scores);
    TAKE(by_context, rows * queries);
    TAKE(by_query, rows * queries);
    TAKE(by_key, rows * keys);
    TAKE(by_value, rows * keys);
    TAKE(by_joined, rows * (queries + 2 * keys));
    TAKE(by_normed, rows * width);
    TAKE(by_scores, scores);
    int64_t wide = queries > width ? queries : width, times = a->bits ? 1 : 0;
    TAKE(left, times * room_for(rows, wide));
    TAKE(right, times * room_for(rows, wide));
    times = a->query_short.forward ? 0 : times;
    TAKE(matrix[0], times * room_for(queries, width));
    TAKE(matrix[1], times * room_for(keys, width));
    TAKE(matrix[2], times * room_for(keys, width));
    TAKE(matrix[3], times * room_for(queries, width));
    if (!a->bits) parts->left = parts->right = NULL;
    for (int i = 0; i < 4 && !a->bits; i++) parts->matrix[i] = NULL;
#undef TAKE
    return total;
}

int64_t attention_scratch(const Attention *a)
{
    Parts parts;
    return cut(a, &parts);
}

static int is_turned(const Attention *a) { return a->query_norm || a->cos; }

/* Head h of sequence `number` of a group that begins at sequence `first`. */
static Head head_of(const Attention *a, const Parts *p, int64_t first, int64_t number, int64_t h)
{
    int64_t width = a->head_width, queries = a->heads * width, keys = a->shared * width;
    int64_t joined = queries + 2 * keys, row = number * a->tokens;
    int64_t key = h / (a->heads / a->shared) * width;
    Head head = {.product = a->product, .tokens = a->tokens, .width = width, .window = a->window};
    head.scale = a->scale;
    head.draw = draw_of(a->dropout.share, a->dropout.seed_of_weights);
    head.first = ((first + number) * a->heads + h) * a->tokens * a->tokens;
    if (a->documents) head.documents = a->documents + (first + number) * a->tokens;
    if (is_turned(a)) {
        head.query = p->query + row * queries + h * width;
        head.key = p->key + row * keys + key;
        head.value = p->value + row * keys + key;
        head.query_step = queries;
        head.key_step = head.value_step = keys;
    } else {
        const float *at = a->joined + (first * a->tokens + row) * joined;
        head.query = at + h * width;
        head.key = at + queries + key;
        head.value = at + queries + keys + key;
        head.query_step = head.key_step = head.value_step = joined;
    }
    return head;
}

/* Queries and keys of a group, normed and turned, out of `joined`. */
static void turn(const Attention *a, const Parts *p, const float *joined, int64_t row, int64_t rows)
{
    if (!is_turned(a)) return;
    int64_t half = a->head_width / 2, place = a->cos ? row % a->places * half : 0;
    deal_heads(joined, a->query_norm, a->key_norm, a->cos ? a->cos + place : NULL,
               a->cos ? a->sin + place : NULL, p->query, p->key, p->value, p->turned_inverse, rows,
               a->places, a->heads, a->shared, a->head_width, a->epsilon);
}

typedef struct {
    int64_t width, head, queries, keys, joined; /* of a row: M, D, H·D, K·D, (H + 2K)·D */
} Widths;

static Widths widths_of(const Attention *a)
{
    Widths w = {.width = a->width, .head = a->head_width};
    w.queries = a->heads * w.head, w.keys = a->shared * w.head;
    w.joined = w.queries + 2 * w.keys;
    return w;
}

/* The matrices as right factors of one way. */
typedef struct {
    Factor query, key, value, output;
} Matrices;

static Matrices matrices_of(const Attention *a, const Parts *p, Widths w, int way)
{
    int64_t bits = a->bits;
    return (Matrices){
        .query = matrix(a->query, w.queries, w.width, a->query_short, p->matrix[0], bits, way),
        .key = matrix(a->key, w.keys, w.width, a->key_short, p->matrix[1], bits, way),
        .value = matrix(a->value, w.keys, w.width, a->value_short, p->matrix[2], bits, way),
        .output = matrix(a->output, w.width, w.queries, a->output_short, p->matrix[3], bits, way),
    };
}

/* Sequences that go through together. */
typedef struct {
    int64_t first, count, row, rows; /* the first one and how many; the same in rows */
} Group;

static Group group_from(const Attention *a, int64_t first)
{
    int64_t count = a->batch - first < a->group ? a->batch - first : a->group;
    return (Group){first, count, first * a->tokens, count * a->tokens};
}

static void heads_of_group(const Attention *a, const Parts *p, Group g, float *context)
{
    for (int64_t number = 0; number < g.count; number++) {
        for (int64_t h = 0; h < a->heads; h++) {
            Head of = head_of(a, p, g.first, number, h);
            int64_t step = a->heads * a->head_width;
            attend(&of, context + number * a->tokens * step + h * a->head_width, step,
                   a->log_sum + ((g.first + number) * a->heads + h) * a->tokens, p->scores);
        }
    }
}

void attention(const Attention *a)
{
    Parts p;
    cut(a, &p);
    Widths w = widths_of(a);
    Product product = a->product;
    Matrices m = matrices_of(a, &p, w, FORWARD);
    for (int64_t first = 0; first < a->batch; first += a->group) {
        Group g = group_from(a, first);
        const float *x = a->x + g.row * w.width;
        float *joined = a->joined + g.row * w.joined, *context = a->context + g.row * w.queries;
        float *y = a->y + g.row * w.width;
        const float *n = normed(&a->norm, x, p.normed, p.inverse, g.rows, w.width);
        Factor rows = left_of(m.query, rows_of(n, w.width, g.rows, w.width), p.left);
        linear(product, rows, m.query, a->query_bias, joined, w.joined);
        linear(product, rows, m.key, a->key_bias, joined + w.queries, w.joined);
        linear(product, rows, m.value, a->value_bias, joined + w.queries + w.keys, w.joined);
        turn(a, &p, joined, g.row, g.rows);
        heads_of_group(a, &p, g, context);
        if (a->output) {
            rows = left_of(m.output, rows_of(context, w.queries, g.rows, w.queries), p.left);
            add_branch(product, rows, m.output, a->output_bias, x, y, &a->dropout, p.normed, g.row);
        } else {
            drop(draw_of(a->dropout.share, a->dropout.seed), context, x, y, g.row * w.width,
                 g.rows * w.width);
        }
    }
}

/* From the gradient of a group's context to that of its queries, keys and values, all joined. */
static void heads_back(const Attention *a, const Parts *p, Group g, const float *by_context)
{
    Widths w = widths_of(a);
    float *by_query = p->by_joined, *by_key = by_query + w.queries, *by_value = by_key + w.keys;
    int64_t query_step = w.joined, key_step = w.joined;
    if (is_turned(a)) {
        by_query = p->by_query, by_key = p->by_key, by_value = p->by_value;
        query_step = w.queries, key_step = w.keys;
        memset(by_key, 0, (size_t)(g.rows * w.keys) * sizeof *by_key);
        memset(by_value, 0, (size_t)(g.rows * w.keys) * sizeof *by_value);
    } else {
        memset(p->by_joined, 0, (size_t)(g.rows * w.joined) * sizeof *p->by_joined);
    }
    for (int64_t number = 0; number < g.count; number++) {
        for (int64_t h = 0; h < a->heads; h++) {
            Head of = head_of(a, p, g.first, number, h);
            int64_t at = number * a->tokens, key = h / (a->heads / a->shared) * w.head;
            int64_t query = h * w.head;
            const float *context = a->context + (g.row + at) * w.queries + query;
            attend_back(&of, by_context + at * w.queries + query, context, w.queries,
                        a->log_sum + ((g.first + number) * a->heads + h) * a->tokens,
                        by_query + at * query_step + query, query_step,
                        by_key + at * key_step + key, key_step, by_value + at * key_step + key,
                        key_step, p->scores, p->by_scores);
        }
    }
    if (!is_turned(a)) return;
    int64_t place = a->cos ? g.row % a->places * (w.head / 2) : 0;
    deal_heads_back(p->by_query, p->by_key, p->by_value, a->joined + g.row * w.joined,
                    a->query_norm, a->key_norm, a->cos ? a->cos + place : NULL,
                    a->cos ? a->sin + place : NULL, p->turned_inverse, p->by_joined,
                    a->by_query_norm, a->by_key_norm, g.rows, a->places, a->heads, a->shared,
                    w.head);
}

void attention_back(const Attention *a)
{
    Parts p;
    cut(a, &p);
    Widths w = widths_of(a);
    Product product = a->product;
    Matrices m = matrices_of(a, &p, w, BACK);
    for (int64_t first = 0; first < a->batch; first += a->group) {
        Group g = group_from(a, first);
        const float *x = a->x + g.row * w.width, *gradient = a->gradient + g.row * w.width;
        const float *by_context =
            branch_back(&a->dropout, gradient, p.by_normed, g.row, g.rows, w.width);
        int later = first ? BY_MATRIX : 0;
        if (a->output) {
            const float *context = a->context + g.row * w.queries;
            linear_back(product, by_context, w.width, g.rows, w.width,
                        right(columns_of(context, w.queries, g.rows, w.queries), p.right), m.output,
                        a->by_output, a->by_output_bias, p.by_context, later, p.left);
            by_context = p.by_context;
        }
        turn(a, &p, a->joined + g.row * w.joined, g.row, g.rows);
        heads_back(a, &p, g, by_context);
        const float *n = normed(&a->norm, x, p.normed, p.inverse, g.rows, w.width);
        Factor columns = right(columns_of(n, w.width, g.rows, w.width), p.right);
        const float *by_key = p.by_joined + w.queries;
        linear_back(product, p.by_joined, w.joined, g.rows, w.queries, columns, m.query,
                    a->by_query, a->by_query_bias, p.by_normed, later, p.left);
        linear_back(product, by_key, w.joined, g.rows, w.keys, columns, m.key, a->by_key,
                    a->by_key_bias, p.by_normed, later | BY_ROWS, p.left);
        linear_back(product, by_key + w.keys, w.joined, g.rows, w.keys, columns, m.value,
                    a->by_value, a->by_value_bias, p.by_normed, later | BY_ROWS, p.left);
        normed_back(&a->norm, p.by_normed, x, p.inverse, gradient, a->by_x + g.row * w.width,
                    g.rows, w.width);
    }
}
