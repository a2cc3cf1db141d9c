/* Dropout: a share of some numbers becomes 0, and the others grow by as much (Srivastava et al. 2014).
   Which ones is a hash of a seed and of where a number stands: the way back finds the same again. */

#ifndef DROPOUT_H
#define DROPOUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t seed, seed_of_weights; /* 32 bits of each count: of what is added, and within attention */
    float share;                   /* 0: nothing is dropped */
} Dropout;

/* What makes one draw after the other of a seed cheap: all that does not depend on the place. */
typedef struct {
    uint32_t seed, limit; /* numbers whose hash is below the limit are dropped */
    float kept;           /* what the others are multiplied by */
} Draw;

static inline Draw draw_of(float share, int64_t seed)
{
    return (Draw){(uint32_t)seed, (uint32_t)((double)share * 4294967296.0), 1.0f / (1.0f - share)};
}

/* 0 or `kept`, of the number at a place; multiplications and shifts by Wellons (hash prospector). */
static inline float drawn(Draw draw, uint32_t place)
{
    uint32_t x = place * 2654435769u + draw.seed;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    x ^= x >> 16;
    return x < draw.limit ? 0.0f : draw.kept;
}

/* out = base + what is left of x, both from place `first` on; base may be null, out may be either. */
static inline void drop(Draw draw, const float *x, const float *base, float *out, int64_t first,
                        int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float left = draw.limit ? x[i] * drawn(draw, (uint32_t)(first + i)) : x[i];
        out[i] = base ? base[i] + left : left;
    }
}

#endif
