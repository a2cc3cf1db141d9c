/* What Python hands over: the two halves of a block, the norm before each, and the loss. */

#ifndef BLOCKS_H
#define BLOCKS_H

#include "dropout.h"

#include <stdint.h>

/* BLAS's sgemm as Fortran has it: every argument by its address, matrices column by column. */
typedef void (*Product)(const char *, const char *, const int *, const int *, const int *,
                        const float *, const float *, const int *, const float *, const int *,
                        const float *, float *, const int *);

enum { NO_NORM, RMS_NORM, LAYER_NORM };
enum { RELU, RELU2, GELU_TANH, SWIGLU };

typedef struct {
    const float *weight, *bias; /* [M]; bias may be null */
    float *by_weight, *by_bias;
    int64_t kind;
    float epsilon;
} Norm;

typedef struct {
    float *forward, *back; /* a matrix in short form, the right factor of either way; or null */
} Short;

typedef struct {
    Product product;
    /* x [B·T, M] → y [B·T, M]; kept for the way back: joined [B·T, (H + 2K)·D], context [B·T, H·D],
       log_sum [B, H, T] */
    const float *x;
    float *y, *joined, *context, *log_sum;
    const float *query, *key, *value, *output; /* matrices; output may be null */
    const float *query_bias, *key_bias, *value_bias, *output_bias;
    const float *query_norm, *key_norm, *cos, *sin; /* as in deal_heads */
    const int64_t *documents;                       /* [B·T], or null */
    const float *gradient;                          /* of y */
    float *by_x, *by_query, *by_key, *by_value, *by_output;
    float *by_query_bias, *by_key_bias, *by_value_bias, *by_output_bias;
    float *by_query_norm, *by_key_norm;
    float *scratch;
    int64_t batch, tokens, places, width, heads, shared, head_width, window, group;
    int64_t bits; /* of the whole numbers as which matrices are multiplied: 16 or 8; 0: as floats */
    float scale, epsilon;
    Short query_short, key_short, value_short, output_short;
    Dropout dropout;
    Norm norm;
} Attention;

typedef struct {
    Product product;
    /* x [R, M] → y [R, M]; kept for the way back: gated and raised [R, F] */
    const float *x;
    float *y, *gated, *raised;
    const float *gate, *up, *down; /* matrices; gate may be null */
    const float *gate_bias, *up_bias, *down_bias;
    const float *gradient; /* of y */
    float *by_x, *by_gate, *by_up, *by_down, *by_gate_bias, *by_up_bias, *by_down_bias;
    float *scratch;
    int64_t rows, width, inner, group, activation, bits;
    Short gate_short, up_short, down_short;
    Dropout dropout;
    Norm norm;
} FeedForward;

typedef struct {
    Product product;
    const float *x;                 /* [R, M], the residual behind the last block */
    const float *weight, *bias;     /* the unembedding, [V, M] and [V]; bias may be null */
    const int64_t *targets;         /* [R], below 0 where there is none */
    float *by_x, *by_weight, *by_bias;
    float *scratch;
    int64_t rows, width, words, part, group, bits; /* part: words that go together */
    float known;     /* what the sum of the losses is divided by */
    float smoothing; /* of the wanted probabilities: this share is spread evenly over all words */
    Short of_weight; /* of the unembedding's parts, each in whole lines; or null */
    Norm norm;
} Loss;

int64_t attention_scratch(const Attention *a); /* how many floats it takes */
void attention(const Attention *a);
void attention_back(const Attention *a);
int64_t feed_forward_scratch(const FeedForward *f);
void feed_forward(const FeedForward *f);
void feed_forward_back(const FeedForward *f);
void drop_rows(const float *x, float *out, int64_t count, float share, int64_t seed);
int64_t loss_scratch(const Loss *l);
double loss(const Loss *l);

#endif
