/* Factors of matrix products as whole numbers of 16 bits. */

#ifndef INT16_H
#define INT16_H

#include <stdint.h>

/* `count` vectors of `length` numbers; a product sums over the length of two factors' vectors.
   Number i of vector v is at[v · step + i], or at[i · step + v] where vectors lie `across`. Those
   of a `dithered` left one are rounded up or down by turns: of many small ones a share remains. */
typedef struct {
    const float *at;
    int64_t step, count, length, across, dithered;
    const int32_t *pairs; /* as whole numbers, two of a vector side by side; null: not */
    const float *scale;   /* [count], in panels rounded up: what they are to be multiplied by */
    int64_t in_panels;    /* how the pairs lie: see int16.c */
} Factor;

static inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

int64_t int16_is_fast(void);                             /* whether the processor has what it takes */
int64_t short_room(int64_t count, int64_t length);       /* floats that a factor's short form takes */
void shorten_left(Factor *factor, float *room);          /* to be the left factor of products */
void shorten_right(Factor *factor, float *room);         /* to be the right one */
void shorten_all(Factor *factors, float **rooms, int64_t count); /* to be right ones */
void find_right(Factor *factor, float *room);            /* the short form that is there already */
void multiply_short(const Factor *left, const Factor *right, float *out, int64_t step, int add);

#endif
