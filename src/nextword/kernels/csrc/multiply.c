/* Matrix products of short factors (shorten.c), both of 16 or both of 8 bits.

   Of 16 bits the sum of 256 products is exact in 32 bits; such sums are added up as floats (dynamic
   fixed point: arXiv 1802.00930). Of 8 bits the sum of 2¹⁶ products is, and no factor has more. */

#include "short.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>
enum { ROWS = 8, FAST = 1 };
#define ADD_PAIRS(sum, a, b) _mm512_dpwssd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b))
#define ADD_FOURS(sum, a, b) _mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b))
#elif defined(__AVXVNNI__)
#include <immintrin.h>
enum { ROWS = 6, FAST = 1 };
#define ADD_PAIRS(sum, a, b) _mm256_dpwssd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(b))
#define ADD_FOURS(sum, a, b) _mm256_dpbusd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(b))
#else /* right, and slow: taken only where it is asked for */
enum { ROWS = 4, FAST = 0 };
#define ADD_PAIRS(sum, a, b) \
    ((sum) + (((a) << 16) >> 16) * (((b) << 16) >> 16) + ((a) >> 16) * ((b) >> 16))
#define BYTE(a, b, n) (((a) >> 8 * (n) & 0xff) * (((b) << (24 - 8 * (n))) >> 24))
#define ADD_FOURS(sum, a, b) ((sum) + BYTE(a, b, 0) + BYTE(a, b, 1) + BYTE(a, b, 2) + BYTE(a, b, 3))
#endif

enum { FEW = 4 };
/* Packed numbers of a vector that go through together, of pairs and of fours. */
enum { STRETCH = 128, STRETCH_OF_FOURS = 256 };
enum { BLOCK_ROWS = 512, BLOCK_COLUMNS = 256 }; /* of a result that stays in the cache meanwhile */

typedef int32_t Wholes __attribute__((vector_size(BYTES)));
typedef float Floats __attribute__((vector_size(BYTES)));

int64_t short_is_fast(void) { return FAST; }

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
    const int32_t *left, *right; /* the first packed of its rows, and of its panel */
    const float *left_scale, *right_scale;
    const int32_t *sums;          /* of its panel, of bytes */
    float *out;
    float *partial;               /* [rows, PANEL] what earlier stretches gave; of bytes, wholes */
    int64_t step, columns, packed; /* columns of out from here on: PANEL are worked out at most */
    int add, later, last;         /* whether there are earlier stretches, and none after this one */
} Tile;

/* What a stretch gave of a tile, added to what earlier ones did, goes where it belongs. */
static inline __attribute__((always_inline)) void put_tile(const Tile *t, int rows,
                                                           const Wholes *first,
                                                           const Wholes *second, int bytes,
                                                           int later, int last)
{
    Floats scale = floats_at(t->right_scale), other = floats_at(t->right_scale + LANES);
    Wholes sum = {0}, other_sum = {0};
    if (bytes && last) sum = wholes_at(t->sums), other_sum = wholes_at(t->sums + LANES);
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++) {
        float here = t->left_scale[row], *partial = t->partial + row * PANEL;
        const int32_t *so_far = (const int32_t *)(const void *)partial;
        Wholes whole = first[row] - sum, other_whole = second[row] - other_sum;
        if (bytes && later) whole += wholes_at(so_far), other_whole += wholes_at(so_far + LANES);
        if (bytes && !last) {
            memcpy(partial, &whole, sizeof whole);
            memcpy(partial + LANES, &other_whole, sizeof other_whole);
            continue;
        }
        Floats one = __builtin_convertvector(whole, Floats);
        Floats two = __builtin_convertvector(other_whole, Floats);
        if (!bytes && later) one += floats_at(partial), two += floats_at(partial + LANES);
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

/* `rows` ≤ ROWS of one panel's columns; the packed of the left factor's rows are `apart`, a row's
   `next`. */
static inline __attribute__((always_inline)) void multiply_tile(const Tile *t, int rows, int bytes,
                                                                int64_t apart, int64_t next)
{
    Wholes first[ROWS], second[ROWS];
    const int32_t *left = t->left, *later = left + 3 * apart, *last = left + 6 * apart;
    const int32_t *right = t->right, *end = right + t->packed * PANEL;
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++) first[row] = second[row] = (Wholes){0};
    for (; right < end; right += PANEL, left += next, later += next, last += next) {
        Wholes one = wholes_at(right), two = wholes_at(right + LANES);
#define ROW(row, place)                                                       \
    if (row < rows && row < ROWS) {                                           \
        Wholes it = (place) - (Wholes){0}, *sum = first + row, *other = second + row; \
        *sum = (Wholes)(bytes ? ADD_FOURS(*sum, it, one) : ADD_PAIRS(*sum, it, one)); \
        *other = (Wholes)(bytes ? ADD_FOURS(*other, it, two) : ADD_PAIRS(*other, it, two)); \
    }
        ROW(0, left[0]) ROW(1, left[apart]) ROW(2, left[2 * apart]) ROW(3, later[0])
        ROW(4, left[4 * apart]) ROW(5, later[2 * apart]) ROW(6, last[0]) ROW(7, later[4 * apart])
#undef ROW
    }
    if (t->last && !t->later) put_tile(t, rows, first, second, bytes, 0, 1);
    else put_tile(t, rows, first, second, bytes, t->later, t->last);
}

/* Each way in which the left factor lies has a loop of its own, and so have ROWS, FEW and one. */
static void multiply_rows(const Tile *tile, int64_t rows, const Factor *left, int64_t each)
{
#define FOR(count)                                                     \
    do {                                                               \
        if (left->bytes) multiply_tile(tile, count, 1, each, 1);       \
        else if (left->in_panels) multiply_tile(tile, count, 0, 1, PANEL); \
        else multiply_tile(tile, count, 0, each, 1);                   \
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
    int64_t each = packed_of(right), stretch = right->bytes ? STRETCH_OF_FOURS : STRETCH;
    float *out = tile.out, *partial = partial_sums;
    for (int64_t from = 0; from < each; from += stretch) {
        tile.packed = least(each - from, stretch);
        tile.later = from > 0, tile.last = from + stretch >= each;
        for (int64_t column = first_column; column < end_column; column += PANEL) {
            tile.columns = right->count - column;
            tile.right = right->packed + column * each + from * PANEL;
            tile.right_scale = right->scale + column;
            tile.sums = right->sums + column;
            for (int64_t row = first, rows; row < end; row += rows) {
                int64_t inside = row % PANEL;
                tile.left = left->in_panels
                                ? left->packed + (row - inside) * each + from * PANEL + inside
                                : left->packed + row * each + from;
                tile.left_scale = left->scale + row;
                tile.out = out + row * tile.step + column;
                tile.partial = partial + (column - first_column) * BLOCK_ROWS +
                               (row - first) * PANEL;
                rows = together(left, row, end);
                multiply_rows(&tile, rows, left, each);
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
