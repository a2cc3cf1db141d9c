/* What steps.c does for a tensor, and the halves of a block do for some of its rows. */

#ifndef STEPS_H
#define STEPS_H

#include <stdint.h>

#ifdef BFLOAT16
typedef uint16_t real; /* the upper half of a float */
#else
typedef float real;
#endif

/* exp(x) to about 1e-7 of itself: 2^n by the exponent's bits, the rest by a polynomial. */
static inline float exponential(float x)
{
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504f + 12582912.0f; /* 1.5 · 2^23: rounds to a whole number */
    float n = shifted - 12582912.0f;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union { int32_t bits; float value; } power = {.bits = ((int32_t)n + 127) << 23};
    return p * power.value;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

void rms_norm(const real *x, const float *weight, real *y, float *inverse, int64_t rows,
              int64_t width, float epsilon);
void rms_norm_back(const real *gradient, const real *x, const float *weight, const float *inverse,
                   real *by_x, float *by_weight, int64_t rows, int64_t width);
void deal_heads(const real *joined, const float *query_weight, const float *key_weight,
                const float *cos, const float *sin, real *query, real *key, real *value,
                float *inverse, int64_t tokens, int64_t places, int64_t heads, int64_t shared,
                int64_t width, float epsilon);
void deal_heads_back(const real *by_query, const real *by_key, const real *by_value,
                     const real *joined, const float *query_weight, const float *key_weight,
                     const float *cos, const float *sin, const float *inverse, real *by_joined,
                     float *by_query_weight, float *by_key_weight, int64_t tokens, int64_t places,
                     int64_t heads, int64_t shared, int64_t width);
void swiglu(const real *gate, const real *up, real *hidden, int64_t count);
void swiglu_back(const real *gradient, const real *gate, const real *up, real *by_gate,
                 real *by_up, real *hidden, int64_t count);
void gelu_tanh(const real *input, real *output, int64_t count);
void gelu_tanh_back(const real *gradient, const real *input, real *by_input, real *hidden,
                    int64_t count);

#endif
