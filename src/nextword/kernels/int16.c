/* Matrix products of whole numbers of 16 bits, of which a processor with VNNI multiplies and adds
   twice as many at a time as of floats (dynamic fixed point: arXiv 1802.00930).

   Each vector is scaled by its largest number, which becomes LARGEST, and rounded: a number is off by
   1/5792 of its vector's largest at most, a dithered one by 1/2896 (a vector whose largest is below
   1e-35 becomes 0). The sum of STRETCH products is exact in 32 bits; such sums are added up as
   floats. A vector with something in it that is not finite gives what is not a number.

   Short numbers lie in pairs, two neighbours of one vector in 32 bits. Those of a factor either lie as
   vectors, pair after pair, or in panels: the first pairs of PANEL vectors, then their second pairs,
   and so on. The right factor lies in panels always, the left one where its vectors lie across. */

#include "int16.h"

#include <string.h>

#if defined(__AVX512VNNI__)
#include <immintrin.h>
enum { BYTES = 64, ROWS = 8, FAST = 1 };
#define ADD_PRODUCTS(sum, a, b) _mm512_dpwssd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b))
#elif defined(__AVXVNNI__)
#include <immintrin.h>
enum { BYTES = 32, ROWS = 6, FAST = 1 };
#define ADD_PRODUCTS(sum, a, b) _mm256_dpwssd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(b))
#else /* right, and slow: taken only where it is asked for */
enum { BYTES = 16, ROWS = 4, FAST = 0 };
#define ADD_PRODUCTS(sum, a, b) \
    ((sum) + (((a) << 16) >> 16) * (((b) << 16) >> 16) + ((a) >> 16) * ((b) >> 16))
#endif

enum { LANES = BYTES / 4, PANEL = 2 * LANES, FEW = 4 };
enum { STRETCH = 256 };  /* numbers whose products are added up as whole numbers */
enum { AT_ONCE = 128 };  /* numbers of a vector that go into a panel before the next vector's do */
enum { BLOCK_ROWS = 512, BLOCK_COLUMNS = 256 }; /* of a result that stays in the cache meanwhile */
#define LARGEST 2896.0f /* 256 · 2896² < 2³¹; a few of 2897, dithered, leave room enough */

typedef int32_t Wholes __attribute__((vector_size(BYTES)));
typedef float Floats __attribute__((vector_size(BYTES)));

int64_t int16_is_fast(void) { return FAST; }

static int64_t whole_panels(int64_t count) { return (count + PANEL - 1) / PANEL * PANEL; }

int64_t short_room(int64_t count, int64_t length)
{
    return whole_panels(count) * ((length + 1) / 2 + 2);
}

static inline int32_t bits_of(float x)
{
    union { float value; int32_t bits; } both = {.value = x};
    return both.bits;
}

static inline float float_of(int32_t bits)
{
    union { int32_t bits; float value; } both = {.bits = bits};
    return both.value;
}

/* The whole number nearest to x in the lower 16 bits: 1.5 · 2²³ leaves no room for a fraction. */
static inline int32_t rounded(float x) { return bits_of(x + 12582912.0f); }

static inline int32_t pair_of(float first, float second)
{
    return (rounded(first) & 0xffff) | (int32_t)((uint32_t)rounded(second) << 16);
}

/* What is added to number i of vector v before it is rounded: from -1/2 to 1/2, spread evenly over
   any stretch of a vector and over any vectors (multiples of the plastic number's powers). */
static inline float dither(int64_t i, int64_t v)
{
    uint32_t turns = (uint32_t)i * 3242174889u + (uint32_t)v * 2447445414u;
    return (float)(int32_t)turns * 0x1p-32f;
}

/* What short numbers are multiplied by to be what they were, and what makes them short. The largest
   is found among the bits, where infinity and what is not a number are larger than any number. */
static inline float scale_of(int32_t largest) { return float_of(largest) / LARGEST; }
static inline float share_of(int32_t largest)
{
    return largest > 0 ? LARGEST / float_of(largest) : 0.0f;
}

static inline int32_t largest_of(const float *x, int64_t length)
{
    int32_t largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < length; i++) {
        int32_t size = bits_of(x[i]) & 0x7fffffff;
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Numbers of vector v that lie side by side into pairs that lie `apart`. */
static inline __attribute__((always_inline)) void pair_up(const float *x, int64_t length,
                                                          float share, int32_t *pairs,
                                                          int64_t apart, int dithered, int64_t v)
{
    int64_t whole = length / 2;
#pragma omp simd
    for (int64_t p = 0; p < whole; p++)
        pairs[p * apart] = pair_of(x[2 * p] * share + (dithered ? dither(2 * p, v) : 0.0f),
                                   x[2 * p + 1] * share + (dithered ? dither(2 * p + 1, v) : 0.0f));
    if (length % 2) {
        float last = x[length - 1] * share + (dithered ? dither(length - 1, v) : 0.0f);
        pairs[whole * apart] = pair_of(last, 0.0f);
    }
}

/* One panel of `count` vectors that lie one below the other; some numbers of all, then the next. */
static void shorten_panel(const Factor *factor, int64_t first, int64_t count, int32_t *pairs,
                          float *scale)
{
    float share[PANEL];
    const float *x = factor->at + first * factor->step;
    for (int64_t v = 0; v < count; v++) {
        int32_t largest = largest_of(x + v * factor->step, factor->length);
        share[v] = share_of(largest);
        scale[v] = scale_of(largest);
    }
    for (int64_t i = 0; i < factor->length; i += AT_ONCE) {
        int64_t numbers = factor->length - i < AT_ONCE ? factor->length - i : AT_ONCE;
        for (int64_t v = 0; v < count; v++)
            pair_up(x + v * factor->step + i, numbers, share[v], pairs + i / 2 * PANEL + v, PANEL,
                    0, v);
    }
}

enum { TOGETHER = 4 }; /* rows that are looked at together, so that `largest` is stored less often */

/* The largest of each column of some rows, and of what was there. */
static inline void look_at(const float *x, int64_t step, int32_t *largest, int64_t count,
                           int64_t rows)
{
    const float *others[TOGETHER]; /* the first row in place of those that there are not */
    for (int64_t row = 0; row < TOGETHER; row++) others[row] = row < rows ? x + row * step : x;
#pragma omp simd
    for (int64_t v = 0; v < count; v++) {
        int32_t most = largest[v];
#pragma GCC unroll 4
        for (int row = 0; row < TOGETHER; row++) {
            int32_t size = bits_of(others[row][v]) & 0x7fffffff;
            most = size > most ? size : most;
        }
        largest[v] = most;
    }
}

/* Numbers i and i + 1, unless that is one too many, of vectors that lie side by side from v on. */
static inline __attribute__((always_inline)) void pair_rows(const float *one, const float *two,
                                                            const float *share, int paired,
                                                            int32_t *pairs, int64_t count,
                                                            int dithered, int64_t i, int64_t v)
{
#pragma omp simd
    for (int64_t n = 0; n < count; n++) {
        float first = one[n] * share[n], second = two[n] * (paired ? share[n] : 0.0f);
        if (dithered) first += dither(i, v + n), second += paired ? dither(i + 1, v + n) : 0.0f;
        pairs[n] = pair_of(first, second);
    }
}

/* Vectors that lie across, row by row as memory has them; `scale` and `share` for whole panels. */
static void shorten_across(const Factor *factor, int32_t *pairs, float *scale, float *share)
{
    int64_t count = factor->count, length = factor->length, half = (length + 1) / 2;
    int32_t *largest = (int32_t *)(void *)scale;
    memset(scale, 0, (size_t)whole_panels(count) * sizeof *scale);
    for (int64_t i = 0; i < length; i += TOGETHER)
        look_at(factor->at + i * factor->step, factor->step, largest, count,
                length - i < TOGETHER ? length - i : TOGETHER);
    for (int64_t v = 0; v < whole_panels(count); v++) {
        share[v] = share_of(largest[v]);
        scale[v] = scale_of(largest[v]);
    }
    if (count % PANEL) memset(pairs, 0, (size_t)(whole_panels(count) * half) * sizeof *pairs);
    for (int64_t i = 0; i < length; i += 2) { /* row by row: memory is fastest in its own order */
        int paired = i + 1 < length;
        const float *one = factor->at + i * factor->step, *two = paired ? one + factor->step : one;
        int32_t *to = pairs + i / 2 * PANEL;
        for (int64_t first = 0; first < count; first += PANEL, to += PANEL * half) {
            int64_t here = count - first < PANEL ? count - first : PANEL;
            if (factor->dithered)
                pair_rows(one + first, two + first, share + first, paired, to, here, 1, i, first);
            else
                pair_rows(one + first, two + first, share + first, paired, to, here, 0, i, first);
        }
    }
}

void find_right(Factor *factor, float *room)
{
    factor->pairs = (int32_t *)(void *)room;
    factor->scale = room + whole_panels(factor->count) * ((factor->length + 1) / 2);
    factor->in_panels = 1;
}

static void shorten_in_panels(Factor *factor, float *room)
{
    int64_t count = factor->count, half = (factor->length + 1) / 2;
    int32_t *pairs = (int32_t *)(void *)room;
    float *scale = room + whole_panels(count) * half;
    find_right(factor, room);
    if (factor->across) {
        shorten_across(factor, pairs, scale, scale + whole_panels(count));
        return;
    }
    if (count % PANEL) memset(room, 0, (size_t)short_room(count, factor->length) * sizeof *room);
    for (int64_t first = 0; first < count; first += PANEL)
        shorten_panel(factor, first, count - first < PANEL ? count - first : PANEL,
                      pairs + first * half, scale + first);
}

void shorten_right(Factor *factor, float *room) { shorten_in_panels(factor, room); }

void shorten_all(Factor *factors, float **rooms, int64_t count)
{
    for (int64_t i = 0; i < count; i++) shorten_in_panels(factors + i, rooms[i]);
}

void shorten_left(Factor *factor, float *room)
{
    if (factor->across) {
        shorten_in_panels(factor, room);
        return;
    }
    int64_t half = (factor->length + 1) / 2;
    int32_t *pairs = (int32_t *)(void *)room;
    float *scale = room + factor->count * half;
    factor->pairs = pairs, factor->scale = scale, factor->in_panels = 0;
    for (int64_t v = 0; v < factor->count; v++) {
        const float *x = factor->at + v * factor->step;
        int32_t largest = largest_of(x, factor->length);
        scale[v] = scale_of(largest);
        if (factor->dithered)
            pair_up(x, factor->length, share_of(largest), pairs + v * half, 1, 1, v);
        else
            pair_up(x, factor->length, share_of(largest), pairs + v * half, 1, 0, v);
    }
}

static inline Wholes wholes_at(const int32_t *at)
{
    Wholes all;
    memcpy(&all, at, sizeof all);
    return all;
}

static inline Floats floats_at(const float *at)
{
    Floats all;
    memcpy(&all, at, sizeof all);
    return all;
}

/* out += or = product, of one row and `count` ≤ LANES columns. */
static inline void put(Floats product, float *out, int64_t count, int add)
{
    if (count >= LANES) {
        if (add) product += floats_at(out);
        memcpy(out, &product, sizeof product);
        return;
    }
    float each[LANES];
    memcpy(each, &product, sizeof each);
    for (int64_t i = 0; i < count; i++) out[i] = each[i] + (add ? out[i] : 0.0f);
}

typedef struct {
    const int32_t *left, *right; /* the first pairs of its rows, and of its panel */
    const float *left_scale, *right_scale;
    float *out;
    float *partial;               /* [rows, PANEL] what earlier stretches gave */
    int64_t step, columns, pairs; /* columns of out from here on: PANEL are worked out at most */
    int add, later, last;         /* whether there are earlier stretches, and none after this one */
} Tile;

/* What a stretch gave of a tile, added to what earlier ones did, goes where it belongs. */
static inline __attribute__((always_inline)) void put_tile(const Tile *t, int rows,
                                                           const Wholes *first,
                                                           const Wholes *second, int later,
                                                           int last)
{
    Floats scale = floats_at(t->right_scale), other = floats_at(t->right_scale + LANES);
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++) {
        float here = t->left_scale[row], *partial = t->partial + row * PANEL;
        Floats one = __builtin_convertvector(first[row], Floats);
        Floats two = __builtin_convertvector(second[row], Floats);
        if (later) one += floats_at(partial), two += floats_at(partial + LANES);
        if (last) {
            float *out = t->out + row * t->step;
            put(one * (scale * here), out, t->columns, t->add);
            put(two * (other * here), out + LANES, t->columns - LANES, t->add);
        } else {
            memcpy(partial, &one, sizeof one);
            memcpy(partial + LANES, &two, sizeof two);
        }
    }
}

/* `rows` ≤ ROWS of one panel's columns; pairs of the left factor's rows are `apart`, a row's `next`. */
static inline __attribute__((always_inline)) void multiply_tile(const Tile *t, int rows,
                                                                int64_t apart, int64_t next)
{
    Wholes first[ROWS], second[ROWS];
    const int32_t *left = t->left, *later = left + 3 * apart, *last = left + 6 * apart;
    const int32_t *right = t->right, *end = right + t->pairs * PANEL;
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++) first[row] = second[row] = (Wholes){0};
    for (; right < end; right += PANEL, left += next, later += next, last += next) {
        Wholes one = wholes_at(right), two = wholes_at(right + LANES);
#define ROW(row, place)                                              \
    if (row < rows && row < ROWS) {                                  \
        Wholes pair = (place) - (Wholes){0};                         \
        first[row] = (Wholes)ADD_PRODUCTS(first[row], pair, one);    \
        second[row] = (Wholes)ADD_PRODUCTS(second[row], pair, two);  \
    }
        ROW(0, left[0]) ROW(1, left[apart]) ROW(2, left[2 * apart]) ROW(3, later[0])
        ROW(4, left[4 * apart]) ROW(5, later[2 * apart]) ROW(6, last[0]) ROW(7, later[4 * apart])
#undef ROW
    }
    if (t->last && !t->later) put_tile(t, rows, first, second, 0, 1);
    else put_tile(t, rows, first, second, t->later, t->last);
}

/* Either way in which the left factor lies has a loop of its own, and so have ROWS, FEW and one. */
static void multiply_rows(const Tile *tile, int64_t rows, const Factor *left, int64_t half)
{
#define FOR(count)                                                  \
    do {                                                            \
        if (left->in_panels) multiply_tile(tile, count, 1, PANEL);  \
        else multiply_tile(tile, count, half, 1);                   \
    } while (0)
    if (rows == ROWS) FOR(ROWS);
    else if (rows == FEW) FOR(FEW);
    else FOR(1);
#undef FOR
}

/* How many rows from `row` on go together: ROWS if there are so many, all of one panel. */
static int64_t together(const Factor *left, int64_t row, int64_t end)
{
    int64_t there = end - row;
    if (left->in_panels && there > PANEL - row % PANEL) there = PANEL - row % PANEL;
    return there >= ROWS ? ROWS : there >= FEW ? FEW : 1;
}

/* What the stretches so far gave of a block, tile after tile: rows of the result itself may lie so
   far apart that they would drive each other out of the cache. */
static _Thread_local float partial_sums[BLOCK_ROWS * BLOCK_COLUMNS];

/* A block of the result: all stretches are added up before the next block. */
static void multiply_block(const Factor *left, const Factor *right, int64_t first, int64_t end,
                           int64_t first_column, int64_t end_column, Tile tile)
{
    int64_t half = (right->length + 1) / 2, stretch = STRETCH / 2;
    float *out = tile.out, *partial = partial_sums;
    for (int64_t pair = 0; pair < half; pair += stretch) {
        tile.pairs = least(half - pair, stretch);
        tile.later = pair > 0, tile.last = pair + stretch >= half;
        for (int64_t column = first_column; column < end_column; column += PANEL) {
            tile.columns = right->count - column;
            tile.right = right->pairs + column * half + pair * PANEL;
            tile.right_scale = right->scale + column;
            for (int64_t row = first, rows; row < end; row += rows) {
                int64_t inside = row % PANEL;
                tile.left = left->in_panels
                                ? left->pairs + (row - inside) * half + pair * PANEL + inside
                                : left->pairs + row * half + pair;
                tile.left_scale = left->scale + row;
                tile.out = out + row * tile.step + column;
                tile.partial = partial + (column - first_column) * BLOCK_ROWS +
                               (row - first) * PANEL;
                rows = together(left, row, end);
                multiply_rows(&tile, rows, left, half);
            }
        }
    }
}

void multiply_short(const Factor *left, const Factor *right, float *out, int64_t step, int add)
{
    Tile tile = {.out = out, .step = step, .add = add};
    for (int64_t row = 0; row < left->count; row += BLOCK_ROWS)
        for (int64_t column = 0; column < right->count; column += BLOCK_COLUMNS)
            multiply_block(left, right, row, least(left->count, row + BLOCK_ROWS), column,
                           least(right->count, column + BLOCK_COLUMNS), tile);
}
