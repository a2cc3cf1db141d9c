/* The parts of a training step that are neither matrix products nor attention, each in one pass.

   torch works a norm, a rotation or a gate out as a chain of small operations, and every link reads
   and writes the whole tensor. Here a row is read once, while it lies in the processor's first
   cache. native.py compiles this file once for float32 and once, with BFLOAT16 defined, for
   bfloat16; fused.py calls it, and so do the halves of a block. Everything is computed in float.
   Rows are worked through in their order and by one thread, so the same numbers give the same
   results. */

#include "steps.h"

#include <math.h>
#include <string.h>

#ifdef BFLOAT16
static inline float load(real x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline real store(float value) /* to the nearest, halves to even, as torch rounds */
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return value == value ? (real)rounded : (real)0x7fc0;
}
#else
static inline float load(real x) { return x; }
static inline real store(float value) { return value; }
#endif

/* 1 / sqrt(mean(x²) + ε) of one row. */
static inline float inverse_length(const real *x, int64_t width, float epsilon)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++) sum += load(x[i]) * load(x[i]);
    return 1.0f / sqrtf(sum / (float)width + epsilon);
}

/* y = x · inverse · weight for each of `rows` rows; the inverses are kept for the way back. */
void rms_norm(const real *x, const float *weight, real *y, float *inverse, int64_t rows,
              int64_t width, float epsilon)
{
    for (int64_t row = 0; row < rows; row++, x += width, y += width) {
        float scale = inverse[row] = inverse_length(x, width, epsilon);
#pragma omp simd
        for (int64_t i = 0; i < width; i++) y[i] = store(load(x[i]) * scale * weight[i]);
    }
}

/* With n = x · inverse: by_x = inverse · (g · weight − n · mean(g · weight · n));
   by_weight += g · n. */
void rms_norm_back(const real *gradient, const real *x, const float *weight, const float *inverse,
                   real *by_x, float *by_weight, int64_t rows, int64_t width)
{
    for (int64_t row = 0; row < rows; row++, gradient += width, x += width, by_x += width) {
        float scale = inverse[row], sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++)
            sum += load(gradient[i]) * weight[i] * load(x[i]);
        float mean = sum * scale / (float)width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            float g = load(gradient[i]), n = load(x[i]) * scale;
            by_weight[i] += g * n;
            by_x[i] = store(scale * (g * weight[i] - n * mean));
        }
    }
}

/* One head of one token: norm (unless weight is null), then rotation of the pairs (i, i + half)
   (unless cos is null). Returns the inverse length. */
static inline float turn_head(const real *restrict x, const float *restrict weight,
                              const float *restrict cos, const float *restrict sin,
                              real *restrict y, int64_t width, float epsilon)
{
    int64_t half = width / 2;
    float scale = weight ? inverse_length(x, width, epsilon) : 1.0f;
    float normed[width];
    if (weight) {
#pragma omp simd
        for (int64_t i = 0; i < width; i++) normed[i] = load(x[i]) * scale * weight[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < width; i++) normed[i] = load(x[i]);
    }
    if (!cos) {
#pragma omp simd
        for (int64_t i = 0; i < width; i++) y[i] = store(normed[i]);
        return scale;
    }
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        float a = normed[i], b = normed[i + half];
        y[i] = store(a * cos[i] - b * sin[i]);
        y[i + half] = store(b * cos[i] + a * sin[i]);
    }
    return scale;
}

/* The way back through turn_head. */
static inline void turn_head_back(const real *restrict gradient, const real *restrict x,
                                  const float *restrict weight, const float *restrict cos,
                                  const float *restrict sin, float scale, real *restrict by_x,
                                  float *restrict by_weight, int64_t width)
{
    int64_t half = width / 2;
    float turned[width]; /* the gradient before the rotation */
    if (cos) {
#pragma omp simd
        for (int64_t i = 0; i < half; i++) {
            float first = load(gradient[i]), second = load(gradient[i + half]);
            turned[i] = first * cos[i] + second * sin[i];
            turned[i + half] = second * cos[i] - first * sin[i];
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < width; i++) turned[i] = load(gradient[i]);
    }
    if (!weight) {
#pragma omp simd
        for (int64_t i = 0; i < width; i++) by_x[i] = store(turned[i]);
        return;
    }
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++) sum += turned[i] * weight[i] * load(x[i]);
    float mean = sum * scale / (float)width;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        float n = load(x[i]) * scale;
        by_weight[i] += turned[i] * n;
        by_x[i] = store(scale * (turned[i] * weight[i] - n * mean));
    }
}

/* Query, key and value out of one product: `joined` holds for each token H + 2K heads of `width`
   side by side. Queries and keys are normed and turned, values copied. cos and sin have `places`
   rows of width / 2; token t takes row t mod places. inverse: [tokens, H + K]. */
void deal_heads(const real *joined, const float *query_weight, const float *key_weight,
                const float *cos, const float *sin, real *query, real *key, real *value,
                float *inverse, int64_t tokens, int64_t places, int64_t heads, int64_t shared,
                int64_t width, float epsilon)
{
    for (int64_t t = 0; t < tokens; t++) {
        const float *c = cos ? cos + (t % places) * (width / 2) : 0;
        const float *s = cos ? sin + (t % places) * (width / 2) : 0;
        for (int64_t h = 0; h < heads; h++, joined += width, query += width)
            *inverse++ = turn_head(joined, query_weight, c, s, query, width, epsilon);
        for (int64_t h = 0; h < shared; h++, joined += width, key += width)
            *inverse++ = turn_head(joined, key_weight, c, s, key, width, epsilon);
        memcpy(value, joined, (size_t)(shared * width) * sizeof *value);
        joined += shared * width;
        value += shared * width;
    }
}

/* The way back through deal_heads; adds to the weights' gradients. */
void deal_heads_back(const real *by_query, const real *by_key, const real *by_value,
                     const real *joined, const float *query_weight, const float *key_weight,
                     const float *cos, const float *sin, const float *inverse, real *by_joined,
                     float *by_query_weight, float *by_key_weight, int64_t tokens, int64_t places,
                     int64_t heads, int64_t shared, int64_t width)
{
    for (int64_t t = 0; t < tokens; t++) {
        const float *c = cos ? cos + (t % places) * (width / 2) : 0;
        const float *s = cos ? sin + (t % places) * (width / 2) : 0;
        for (int64_t h = 0; h < heads; h++, joined += width, by_joined += width, by_query += width)
            turn_head_back(by_query, joined, query_weight, c, s, *inverse++, by_joined,
                           by_query_weight, width);
        for (int64_t h = 0; h < shared; h++, joined += width, by_joined += width, by_key += width)
            turn_head_back(by_key, joined, key_weight, c, s, *inverse++, by_joined, by_key_weight,
                           width);
        memcpy(by_joined, by_value, (size_t)(shared * width) * sizeof *by_value);
        joined += shared * width;
        by_joined += shared * width;
        by_value += shared * width;
    }
}

/* silu(gate) · up, silu(x) = x · sigmoid(x). */
void swiglu(const real *gate, const real *up, real *hidden, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float x = load(gate[i]);
        hidden[i] = store(x * sigmoid(x) * load(up[i]));
    }
}

/* `hidden`, unless it is null, gets what swiglu gives once more. */
void swiglu_back(const real *gradient, const real *gate, const real *up, real *by_gate,
                 real *by_up, real *hidden, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float g = load(gradient[i]), x = load(gate[i]), s = sigmoid(x), raised = load(up[i]);
        by_up[i] = store(g * x * s);
        by_gate[i] = store(g * raised * s * (1.0f + x * (1.0f - s)));
        if (hidden) hidden[i] = store(x * s * raised);
    }
}

/* GPT-2's GELU, x/2 · (1 + tanh u) = x · sigmoid(2u) with u = sqrt(2/π) · (x + 0.044715 x³). */
#define TWICE_ROOT 1.5957691216f
#define CUBIC 0.044715f

void gelu_tanh(const real *input, real *output, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float x = load(input[i]);
        output[i] = store(x * sigmoid(TWICE_ROOT * (x + CUBIC * x * x * x)));
    }
}

/* `hidden`, unless it is null, gets what gelu_tanh gives once more. */
void gelu_tanh_back(const real *gradient, const real *input, real *by_input, real *hidden,
                    int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float x = load(input[i]);
        float s = sigmoid(TWICE_ROOT * (x + CUBIC * x * x * x));
        float slope = TWICE_ROOT * (1.0f + 3.0f * CUBIC * x * x);
        by_input[i] = store(load(gradient[i]) * s * (1.0f + x * (1.0f - s) * slope));
        if (hidden) hidden[i] = store(x * s);
    }
}
