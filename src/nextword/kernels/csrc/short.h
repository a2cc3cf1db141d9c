/* Factors of matrix products in short form: as whole numbers of 16 or 8 bits. */

#ifndef SHORT_H
#define SHORT_H

#include <stdint.h>
#include <string.h>

/* `count` vectors of `length` numbers; a product sums over the length of two factors' vectors.
   Number i of vector v is at[v · step + i], or at[i · step + v] where vectors lie `across`. Those
   of a `dithered` left one are rounded up or down by turns: of many small ones a share remains. */
typedef struct {
    const float *at;
    int64_t step, count, length, across, dithered;
    int64_t bytes;         /* whether its whole numbers are of 8 bits, and not of 16 */
    const int32_t *packed; /* the whole numbers, two or four of a vector in each; null: none */
    const float *scale;    /* [count], in panels rounded up: what they are to be multiplied by */
    const int32_t *sums;   /* likewise, of bytes of a right one: see shorten.c */
    int64_t in_panels;     /* how the packed lie: see shorten.c */
} Factor;

static inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

int64_t short_is_fast(void);                       /* whether the processor has what it takes */
int64_t short_room(int64_t count, int64_t length); /* floats enough for a factor's short form */
void shorten_left(Factor *factor, float *room);    /* to be the left factor of products */
void shorten_right(Factor *factor, float *room);   /* to be the right one */
void shorten_all(Factor *factors, float **rooms, int64_t count); /* to be right ones */
void find_right(Factor *factor, float *room);      /* the short form that is there already */
void multiply_short(const Factor *left, const Factor *right, float *out, int64_t step, int add);

/* So many numbers of 32 bits are worked with at once; a panel has two times as many vectors. */
#if defined(__AVX512VNNI__)
enum { BYTES = 64 };
#elif defined(__AVXVNNI__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
enum { LANES = BYTES / 4, PANEL = 2 * LANES };

static inline int64_t whole_panels(int64_t count) { return (count + PANEL - 1) / PANEL * PANEL; }

/* Numbers of 32 bits that a vector's whole numbers take. */
static inline int64_t packed_of(const Factor *factor)
{
    return factor->bytes ? (factor->length + 3) / 4 : (factor->length + 1) / 2;
}

#endif
