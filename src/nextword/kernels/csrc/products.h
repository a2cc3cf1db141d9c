/* What the blocks and the loss are made of: products of rows with matrices, and the norm. */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "blocks.h"
#include "short.h"
#include "steps.h"

#include <math.h>
#include <stddef.h>

/* So many floats in whole lines of the cache: what lies across two is slow to load. */
static inline int64_t in_lines(int64_t count) { return (count + 15) / 16 * 16; }

/* A matrix [count, length] as a factor: its rows are the vectors that are summed over. */
static inline Factor rows_of(const float *at, int64_t step, int64_t count, int64_t length)
{
    return (Factor){.at = at, .step = step, .count = count, .length = length};
}

/* A matrix [length, count] as a factor: its columns are. */
static inline Factor columns_of(const float *at, int64_t step, int64_t length, int64_t count)
{
    return (Factor){.at = at, .step = step, .count = count, .length = length, .across = 1};
}

/* The same factor, what is in it to be rounded up or down by turns. */
static inline Factor dithered(Factor factor)
{
    factor.dithered = 1;
    return factor;
}

/* The factor, and its short form as well where there is room for one. */
static inline Factor left(Factor factor, float *room)
{
    if (room) shorten_left(&factor, room);
    return factor;
}

/* The left factor that is to be multiplied with w, which is short already if it ever will be. */
static inline Factor left_of(Factor w, Factor factor, float *room)
{
    factor.bytes = w.bytes;
    return left(factor, room);
}

static inline Factor right(Factor factor, float *room)
{
    if (room) shorten_right(&factor, room);
    return factor;
}

enum { FORWARD, BACK };

/* A learned matrix [n, k], or null, as the right factor of either way, of so many `bits`: as it `is`
   short already for all threads, or made short now where there is room. */
static inline Factor matrix(const float *at, int64_t n, int64_t k, Short is, float *room,
                            int64_t bits, int way)
{
    Factor factor = way == BACK ? columns_of(at, k, n, k) : rows_of(at, k, n, k);
    factor.bytes = bits == 8;
    float *there = way == BACK ? is.back : is.forward;
    if (there) find_right(&factor, there);
    return at && !there ? right(factor, room) : factor;
}

/* How much room a factor takes that comes in short form either way round. */
static inline int64_t room_for(int64_t rows, int64_t columns)
{
    int64_t one = short_room(rows, columns), other = short_room(columns, rows);
    return one > other ? one : other;
}

/* out [a's count, b's count] = a · bᵀ, or added to it; rows of out lie `step` apart. */
static inline void multiply(Product product, Factor a, Factor b, float *out, int64_t step, int add)
{
    if (a.packed && b.packed) {
        multiply_short(&a, &b, out, step, add);
        return;
    }
    int m = (int)b.count, n = (int)a.count, k = (int)a.length;
    int a_step = (int)a.step, b_step = (int)b.step, out_step = (int)step;
    float one = 1.0f, kept = add ? 1.0f : 0.0f;
    product(b.across ? "N" : "T", a.across ? "T" : "N", &m, &n, &k, &one, b.at, &b_step, a.at,
            &a_step, &kept, out, &out_step);
}

/* bias [width] into each row of out; `base` [rows, width], if given, is added. */
static inline void lay_out(const float *bias, const float *base, float *out, int64_t step,
                           int64_t rows, int64_t width)
{
    for (int64_t row = 0; row < rows; row++, out += step) {
        for (int64_t i = 0; i < width; i++)
            out[i] = (bias ? bias[i] : 0.0f) + (base ? base[row * width + i] : 0.0f);
    }
}

/* total [width] += the sum of the rows of g, unless there is no total. */
static inline void add_rows(const float *g, int64_t step, float *total, int64_t rows,
                            int64_t width)
{
    for (int64_t row = 0; total && row < rows; row++, g += step)
        for (int64_t i = 0; i < width; i++) total[i] += g[i];
}

/* One matrix with its bias: out [x's count, n] = x · wᵀ + bias, w [n, k]. */
static inline void linear(Product product, Factor x, Factor w, const float *bias, float *out,
                          int64_t step)
{
    if (bias) lay_out(bias, NULL, out, step, x.count, w.count);
    multiply(product, x, w, out, step, bias != NULL);
}

/* y = x + what is left of branch · wᵀ + bias, from row `row` of all on; `room` is for the branch. */
static inline void add_branch(Product product, Factor branch, Factor w, const float *bias,
                              const float *x, float *y, const Dropout *dropout, float *room,
                              int64_t row)
{
    int64_t rows = branch.count, width = w.count;
    if (dropout->share == 0.0f) {
        lay_out(bias, x, y, width, rows, width);
        multiply(product, branch, w, y, width, 1);
        return;
    }
    linear(product, branch, w, bias, room, width);
    drop(draw_of(dropout->share, dropout->seed), room, x, y, row * width, rows * width);
}

/* The gradient of what was added in those rows: `gradient` itself, or what is left of it in `room`. */
static inline const float *branch_back(const Dropout *dropout, const float *gradient, float *room,
                                       int64_t row, int64_t rows, int64_t width)
{
    if (dropout->share == 0.0f) return gradient;
    drop(draw_of(dropout->share, dropout->seed), gradient, NULL, room, row * width, rows * width);
    return room;
}

/* Of a way back: which results get their share added to what is there, and are not set. */
enum { BY_MATRIX = 1, BY_ROWS = 2 };

/* The way back through it: by_w [n, k] and by_x are set by g [rows, n] or get their share added, as
   `added` has it; by_bias gets it added. x and w as factors of their columns; `room` is for g. */
static inline void linear_back(Product product, const float *g, int64_t g_step, int64_t rows,
                               int64_t n, Factor x, Factor w, float *by_w, float *by_bias,
                               float *by_x, int added, float *room)
{
    Factor each = left(columns_of(g, g_step, rows, n), room);
    multiply(product, each, x, by_w, x.count, added & BY_MATRIX);
    add_rows(g, g_step, by_bias, rows, n);
    each = left_of(w, rows_of(g, g_step, rows, n), room);
    multiply(product, each, w, by_x, w.count, added & BY_ROWS);
}

/* 1 / sqrt(variance + ε) of one row, and its mean. */
static inline float inverse_spread(const float *x, int64_t width, float epsilon, float *mean)
{
    float sum = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++) sum += x[i];
    float middle = *mean = sum / (float)width;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < width; i++) squares += (x[i] - middle) * (x[i] - middle);
    return 1.0f / sqrtf(squares / (float)width + epsilon);
}

/* The normed rows, in `out` or, without a norm, where they are. `inverse` [2 · rows] gets what the
   way back needs: 1 / length or 1 / spread of each row, then the rows' means. */
static inline const float *normed(const Norm *norm, const float *x, float *out, float *inverse,
                                  int64_t rows, int64_t width)
{
    if (norm->kind == NO_NORM) return x;
    if (norm->kind == RMS_NORM) {
        rms_norm(x, norm->weight, out, inverse, rows, width, norm->epsilon);
        return out;
    }
    const float *weight = norm->weight, *bias = norm->bias;
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * width;
        float *to = out + row * width;
        float mean, scale = inverse_spread(from, width, norm->epsilon, &mean);
        inverse[row] = scale, inverse[rows + row] = mean;
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            to[i] = (from[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0.0f);
    }
    return out;
}

/* by_x = gradient (of the residual link, unless null) + the way back through the norm. */
static inline void normed_back(const Norm *norm, const float *by_normed, const float *x,
                               const float *inverse, const float *gradient, float *by_x,
                               int64_t rows, int64_t width)
{
    if (norm->kind == RMS_NORM)
        rms_norm_back(by_normed, x, norm->weight, inverse, by_x, norm->by_weight, rows, width);
    for (int64_t row = 0; norm->kind == LAYER_NORM && row < rows; row++) {
        const float *g = by_normed + row * width, *from = x + row * width, *w = norm->weight;
        float *to = by_x + row * width, *by_weight = norm->by_weight, *by_bias = norm->by_bias;
        float scale = inverse[row], mean = inverse[rows + row], sum = 0.0f, along = 0.0f;
#pragma omp simd reduction(+ : sum, along)
        for (int64_t i = 0; i < width; i++) {
            sum += g[i] * w[i];
            along += g[i] * w[i] * (from[i] - mean);
        }
        sum /= (float)width;
        along *= scale / (float)width;
        for (int64_t i = 0; by_bias && i < width; i++) by_bias[i] += g[i];
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            float n = (from[i] - mean) * scale;
            by_weight[i] += g[i] * n;
            to[i] = scale * (g[i] * w[i] - sum - n * along);
        }
    }
    const float *way_round = norm->kind == NO_NORM ? by_normed : by_x;
#pragma omp simd
    for (int64_t i = 0; i < rows * width; i++)
        by_x[i] = (gradient ? gradient[i] : 0.0f) + way_round[i];
}

#endif
