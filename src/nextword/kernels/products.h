/* What both halves of a block are made of: products of rows with matrices, and the norm. */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "blocks.h"
#include "steps.h"

#include <math.h>
#include <stddef.h>

/* Below, a matrix is (where it lies, how far apart its rows are). All three products are of rows:
   out [rows, n] = x [rows, k] · wᵀ, w [n, k]. */
static inline void forward(Product product, const float *x, int64_t x_step, const float *w,
                           int64_t w_step, float *out, int64_t out_step, int64_t rows, int64_t n,
                           int64_t k, float kept)
{
    int m_ = (int)n, n_ = (int)rows, k_ = (int)k;
    int a = (int)w_step, b = (int)x_step, c = (int)out_step;
    float one = 1.0f;
    product("T", "N", &m_, &n_, &k_, &one, w, &a, x, &b, &kept, out, &c);
}

/* out [rows, k] = g [rows, n] · w [n, k], added to `kept` times what is there. */
static inline void backward(Product product, const float *g, int64_t g_step, const float *w,
                            int64_t w_step, float *out, int64_t out_step, int64_t rows, int64_t n,
                            int64_t k, float kept)
{
    int m_ = (int)k, n_ = (int)rows, k_ = (int)n;
    int a = (int)w_step, b = (int)g_step, c = (int)out_step;
    float one = 1.0f;
    product("N", "N", &m_, &n_, &k_, &one, w, &a, g, &b, &kept, out, &c);
}

/* out [n, k] += gᵀ · x, g [rows, n], x [rows, k]. */
static inline void collect(Product product, const float *g, int64_t g_step, const float *x,
                           int64_t x_step, float *out, int64_t out_step, int64_t rows, int64_t n,
                           int64_t k)
{
    int m_ = (int)k, n_ = (int)n, k_ = (int)rows;
    int a = (int)x_step, b = (int)g_step, c = (int)out_step;
    float one = 1.0f;
    product("N", "T", &m_, &n_, &k_, &one, x, &a, g, &b, &one, out, &c);
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

/* One matrix with its bias: out = x · wᵀ + bias. */
static inline void linear(Product product, const float *x, const float *w, const float *bias,
                          float *out, int64_t out_step, int64_t rows, int64_t n, int64_t k)
{
    if (bias) lay_out(bias, NULL, out, out_step, rows, n);
    forward(product, x, k, w, k, out, out_step, rows, n, k, bias ? 1.0f : 0.0f);
}

/* The way back through it: by_w, by_bias and by_x get their shares added, by_x to `kept` times it. */
static inline void linear_back(Product product, const float *g, int64_t g_step, const float *x,
                               const float *w, float *by_w, float *by_bias, float *by_x,
                               int64_t rows, int64_t n, int64_t k, float kept)
{
    collect(product, g, g_step, x, k, by_w, k, rows, n, k);
    add_rows(g, g_step, by_bias, rows, n);
    backward(product, g, g_step, w, k, by_x, k, rows, n, k, kept);
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

/* by_x = gradient (of the residual link) + the way back through the norm of `by_normed`. */
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
    for (int64_t i = 0; i < rows * width; i++) by_x[i] = gradient[i] + way_round[i];
}

#endif
