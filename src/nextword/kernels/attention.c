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
} Head;

static int64_t first_seen(const Head *head, int64_t query)
{
    return head->window && query >= head->window ? query - head->window + 1 : 0;
}

/* query·key · scale of `count` queries from `query` on, with keys from `from` on; minus infinity
   where a query may not look. Each row has query + count - from columns. */
static void score(const Head *head, int64_t query, int64_t count, int64_t from, float *scores)
{
    int64_t keys = query + count - from;
    forward(head->product, head->query + query * head->query_step, head->query_step,
            head->key + from * head->key_step, head->key_step, scores, keys, count, keys,
            head->width, 0.0f);
    for (int64_t q = query; q < query + count; q++, scores += keys) {
        int64_t first = first_seen(head, q) - from, last = q - from;
        const int64_t *of = head->documents ? head->documents + from : NULL;
        for (int64_t j = 0; j < first; j++) scores[j] = -INFINITY;
#pragma omp simd
        for (int64_t j = first; j <= last; j++) scores[j] *= head->scale;
        for (int64_t j = first; of && j <= last; j++)
            if (of[j] != head->documents[q]) scores[j] = -INFINITY;
        for (int64_t j = last + 1; j < keys; j++) scores[j] = -INFINITY;
    }
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
        int64_t from = first_seen(head, query), keys = query + count - from;
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
            log_sum[query + row] = most + logf(sum);
        }
        backward(head->product, scores, keys, head->value + from * head->value_step,
                 head->value_step, context + query * step, step, count, keys, head->width, 0.0f);
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
        int64_t from = first_seen(head, query), keys = query + count - from;
        const float *by_block = by_context + query * step;
        score(head, query, count, from, weights);
        forward(product, by_block, step, head->value + from * head->value_step, head->value_step,
                by_weights, keys, count, keys, width, 0.0f);
        for (int64_t row = 0; row < count; row++) {
            float *w = weights + row * keys, *by = by_weights + row * keys, along = 0.0f;
            const float *g = by_block + row * step, *c = context + (query + row) * step;
            float most = log_sum[query + row];
#pragma omp simd reduction(+ : along)
            for (int64_t d = 0; d < width; d++) along += g[d] * c[d];
#pragma omp simd
            for (int64_t j = 0; j < keys; j++) {
                w[j] = weight_of(w[j], most);
                by[j] = head->scale * w[j] * (by[j] - along);
            }
        }
        collect(product, weights, keys, by_block, step, by_value + from * by_value_step,
                by_value_step, count, keys, width);
        collect(product, by_weights, keys, head->query + query * head->query_step,
                head->query_step, by_key + from * by_key_step, by_key_step, count, keys, width);
        backward(product, by_weights, keys, head->key + from * head->key_step, head->key_step,
                 by_query + query * by_query_step, by_query_step, count, keys, width, 0.0f);
    }
}

/* Where the parts of one group of sequences lie; `scratch` is cut up in this order. */
typedef struct {
    float *normed, *inverse, *query, *key, *value, *turned_inverse, *scores; /* both ways */
    float *by_context, *by_query, *by_key, *by_value, *by_joined, *by_normed, *by_scores; /* back */
} Parts;

static int64_t cut(const Attention *a, Parts *parts) /* returns how many floats it takes */
{
    int64_t rows = a->group * a->tokens, queries = a->heads * a->head_width;
    int64_t keys = a->shared * a->head_width, scores = QUERIES * a->tokens, total = 0;
#define TAKE(part, count) (parts->part = a->scratch ? a->scratch + total : NULL, total += (count))
    TAKE(normed, rows * a->width);
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
    TAKE(by_normed, rows * a->width);
    TAKE(by_scores, scores);
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

void attention(const Attention *a)
{
    Parts p;
    cut(a, &p);
    int64_t width = a->width, head = a->head_width, queries = a->heads * head;
    int64_t keys = a->shared * head, joined_width = queries + 2 * keys;
    for (int64_t first = 0; first < a->batch; first += a->group) {
        int64_t count = a->batch - first < a->group ? a->batch - first : a->group;
        int64_t row = first * a->tokens, rows = count * a->tokens;
        const float *x = a->x + row * width;
        float *joined = a->joined + row * joined_width, *context = a->context + row * queries;
        float *y = a->y + row * width;
        const float *n = normed(&a->norm, x, p.normed, p.inverse, rows, width);
        linear(a->product, n, a->query, a->query_bias, joined, joined_width, rows, queries, width);
        linear(a->product, n, a->key, a->key_bias, joined + queries, joined_width, rows, keys,
               width);
        linear(a->product, n, a->value, a->value_bias, joined + queries + keys, joined_width, rows,
               keys, width);
        turn(a, &p, joined, row, rows);
        for (int64_t number = 0; number < count; number++) {
            for (int64_t h = 0; h < a->heads; h++) {
                Head of = head_of(a, &p, first, number, h);
                attend(&of, context + number * a->tokens * queries + h * head, queries,
                       a->log_sum + ((first + number) * a->heads + h) * a->tokens, p.scores);
            }
        }
        if (a->output) {
            lay_out(a->output_bias, x, y, width, rows, width);
            forward(a->product, context, queries, a->output, queries, y, width, rows, width,
                    queries, 1.0f);
        } else {
            lay_out(NULL, x, y, width, rows, width);
            for (int64_t i = 0; i < rows * width; i++) y[i] += context[i];
        }
    }
}

void attention_back(const Attention *a)
{
    Parts p;
    cut(a, &p);
    int64_t width = a->width, head = a->head_width, queries = a->heads * head;
    int64_t keys = a->shared * head, joined_width = queries + 2 * keys;
    for (int64_t first = 0; first < a->batch; first += a->group) {
        int64_t count = a->batch - first < a->group ? a->batch - first : a->group;
        int64_t row = first * a->tokens, rows = count * a->tokens;
        const float *x = a->x + row * width, *gradient = a->gradient + row * width;
        const float *joined = a->joined + row * joined_width;
        const float *context = a->context + row * queries, *by_context = gradient;
        if (a->output) {
            linear_back(a->product, gradient, width, context, a->output, a->by_output,
                        a->by_output_bias, p.by_context, rows, width, queries, 0.0f);
            by_context = p.by_context;
        }
        turn(a, &p, joined, row, rows);
        float *by_query = p.by_joined, *by_key = by_query + queries, *by_value = by_key + keys;
        int64_t query_step = joined_width, key_step = joined_width;
        if (is_turned(a)) {
            by_query = p.by_query, by_key = p.by_key, by_value = p.by_value;
            query_step = queries, key_step = keys;
            memset(by_key, 0, (size_t)(rows * keys) * sizeof *by_key);
            memset(by_value, 0, (size_t)(rows * keys) * sizeof *by_value);
        } else {
            memset(p.by_joined, 0, (size_t)(rows * joined_width) * sizeof *p.by_joined);
        }
        for (int64_t number = 0; number < count; number++) {
            for (int64_t h = 0; h < a->heads; h++) {
                Head of = head_of(a, &p, first, number, h);
                int64_t at = number * a->tokens, key = h / (a->heads / a->shared) * head;
                attend_back(&of, by_context + at * queries + h * head,
                            context + at * queries + h * head, queries,
                            a->log_sum + ((first + number) * a->heads + h) * a->tokens,
                            by_query + at * query_step + h * head, query_step,
                            by_key + at * key_step + key, key_step,
                            by_value + at * key_step + key, key_step, p.scores, p.by_scores);
            }
        }
        if (is_turned(a)) {
            int64_t place = a->cos ? row % a->places * (head / 2) : 0;
            deal_heads_back(p.by_query, p.by_key, p.by_value, joined, a->query_norm, a->key_norm,
                            a->cos ? a->cos + place : NULL, a->cos ? a->sin + place : NULL,
                            p.turned_inverse, p.by_joined, a->by_query_norm, a->by_key_norm, rows,
                            a->places, a->heads, a->shared, head);
        }
        const float *n = normed(&a->norm, x, p.normed, p.inverse, rows, width);
        linear_back(a->product, p.by_joined, joined_width, n, a->query, a->by_query,
                    a->by_query_bias, p.by_normed, rows, queries, width, 0.0f);
        linear_back(a->product, p.by_joined + queries, joined_width, n, a->key, a->by_key,
                    a->by_key_bias, p.by_normed, rows, keys, width, 1.0f);
        linear_back(a->product, p.by_joined + queries + keys, joined_width, n, a->value,
                    a->by_value, a->by_value_bias, p.by_normed, rows, keys, width, 1.0f);
        normed_back(&a->norm, p.by_normed, x, p.inverse, gradient, a->by_x + row * width, rows,
                    width);
    }
}
