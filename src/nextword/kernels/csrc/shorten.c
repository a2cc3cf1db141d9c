/* Factors in short form: whole numbers of 16 or 8 bits, of which a processor with VNNI multiplies
   and adds two or four times as many at a time as of floats (multiply.c).

   Each vector is scaled by its largest number, which becomes LARGEST or LARGEST_BYTE, and rounded. Of
   16 bits a number is off by 1/5792 of its vector's largest at most, a dithered one by 1/2896; of 8
   bits by 1/254. A vector whose largest is below 1e-35 (of bytes, 1e-36) becomes 0, and one with
   something in it that is not finite gives what is not a number.

   Short numbers lie packed, two or four neighbours of one vector in 32 bits. Those of a factor
   either lie as vectors, one after the other, or in panels: the first 32 bits of PANEL vectors, then
   their second 32, and so on. The right factor lies in panels always, the left one where its vectors
   lie across; it is of 16 bits then.

   The processor multiplies bytes without a sign by bytes that have one. So the left ones are MORE
   than they are, and of a right vector is known by how much that makes its products too large: MORE
   times its sum. */

#include "short.h"

enum { AT_ONCE = 128 }; /* numbers of a vector that go into a panel before the next vector's do */
enum { MORE = 128 };    /* than they are: left bytes */
#define LARGEST 2896.0f /* 256 · 2896² < 2³¹; a few of 2897, dithered, leave room enough */
#define LARGEST_BYTE 127.0f

int64_t short_room(int64_t count, int64_t length)
{
    return whole_panels(count) * ((length + 1) / 2 + 3);
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
static inline float top(const Factor *factor) { return factor->bytes ? LARGEST_BYTE : LARGEST; }
static inline float scale_of(int32_t largest, float becomes) { return float_of(largest) / becomes; }
static inline float share_of(int32_t largest, float becomes)
{
    return largest > 0 ? becomes / float_of(largest) : 0.0f;
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

/* Numbers of a left vector into bytes, MORE than they are; what is too many of the last four is 0. */
static void left_bytes(const float *x, int64_t length, float share, int32_t *packed)
{
    uint8_t *bytes = (uint8_t *)(void *)packed;
#pragma omp simd
    for (int64_t i = 0; i < length; i++) bytes[i] = (uint8_t)((uint32_t)rounded(x[i] * share) + MORE);
    for (int64_t i = length; i % 4; i++) bytes[i] = 0;
}

/* Numbers of a right vector, AT_ONCE at most, into bytes that lie four by four in a panel; returns
   their sum. */
static int32_t right_bytes(const float *x, int64_t length, float share, int32_t *packed)
{
    int8_t bytes[AT_ONCE];
    int32_t sum = 0, four;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < length; i++) sum += bytes[i] = (int8_t)rounded(x[i] * share);
    for (int64_t i = length; i % 4; i++) bytes[i] = 0;
    for (int64_t i = 0; i < length; i += 4, packed += PANEL) {
        memcpy(&four, bytes + i, sizeof four);
        *packed = four;
    }
    return sum;
}

/* One panel of `count` vectors that lie one below the other; some numbers of all, then the next. */
static void shorten_panel(const Factor *factor, int64_t first, int64_t count, int32_t *packed,
                          float *scale, int32_t *sums)
{
    float share[PANEL];
    int32_t sum[PANEL] = {0};
    const float *x = factor->at + first * factor->step;
    for (int64_t v = 0; v < count; v++) {
        int32_t largest = largest_of(x + v * factor->step, factor->length);
        share[v] = share_of(largest, top(factor));
        scale[v] = scale_of(largest, top(factor));
    }
    for (int64_t i = 0; i < factor->length; i += AT_ONCE) {
        int64_t numbers = least(factor->length - i, AT_ONCE);
        for (int64_t v = 0; v < count; v++) {
            const float *from = x + v * factor->step + i;
            if (factor->bytes)
                sum[v] += right_bytes(from, numbers, share[v], packed + i / 4 * PANEL + v);
            else
                pair_up(from, numbers, share[v], packed + i / 2 * PANEL + v, PANEL, 0, v);
        }
    }
    for (int64_t v = 0; factor->bytes && v < PANEL; v++) sums[v] = MORE * sum[v];
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

/* Numbers i to i + 3, of which there are `numbers`, of vectors that lie side by side. */
static void four_rows(const float *x, int64_t step, int64_t numbers, const float *share,
                      int32_t *packed, int32_t *sums, int64_t count)
{
    const float *others[4];
    float there[4];
    for (int64_t row = 0; row < 4; row++) {
        others[row] = row < numbers ? x + row * step : x;
        there[row] = row < numbers ? 1.0f : 0.0f;
    }
#pragma omp simd
    for (int64_t n = 0; n < count; n++) {
        int32_t sum = 0, four = 0;
#pragma GCC unroll 4
        for (int row = 0; row < 4; row++) {
            int8_t byte = (int8_t)rounded(others[row][n] * share[n] * there[row]);
            sum += byte;
            four |= (int32_t)((uint32_t)(uint8_t)byte << 8 * row);
        }
        packed[n] = four;
        sums[n] += MORE * sum;
    }
}

/* Vectors that lie across, row by row as memory has them, which is fastest; for whole panels. */
static void shorten_across(const Factor *factor, int32_t *packed, float *scale, int32_t *sums,
                           float *share)
{
    int64_t count = factor->count, length = factor->length, each = packed_of(factor);
    int64_t rows = factor->bytes ? 4 : 2; /* that go together */
    int32_t *largest = (int32_t *)(void *)scale;
    memset(scale, 0, (size_t)whole_panels(count) * sizeof *scale);
    memset(sums, 0, (size_t)whole_panels(count) * sizeof *sums);
    for (int64_t i = 0; i < length; i += TOGETHER)
        look_at(factor->at + i * factor->step, factor->step, largest, count,
                least(length - i, TOGETHER));
    for (int64_t v = 0; v < whole_panels(count); v++) {
        share[v] = share_of(largest[v], top(factor));
        scale[v] = scale_of(largest[v], top(factor));
    }
    if (count % PANEL) memset(packed, 0, (size_t)(whole_panels(count) * each) * sizeof *packed);
    for (int64_t i = 0; i < length; i += rows) {
        int paired = i + 1 < length;
        const float *one = factor->at + i * factor->step, *two = paired ? one + factor->step : one;
        int32_t *to = packed + i / rows * PANEL;
        for (int64_t v = 0; v < count; v += PANEL, to += PANEL * each) {
            int64_t here = least(count - v, PANEL);
            if (factor->bytes)
                four_rows(one + v, factor->step, length - i, share + v, to, sums + v, here);
            else if (factor->dithered)
                pair_rows(one + v, two + v, share + v, paired, to, here, 1, i, v);
            else
                pair_rows(one + v, two + v, share + v, paired, to, here, 0, i, v);
        }
    }
}

void find_right(Factor *factor, float *room)
{
    float *scale = room + whole_panels(factor->count) * packed_of(factor);
    factor->packed = (int32_t *)(void *)room;
    factor->scale = scale;
    factor->sums = (int32_t *)(void *)(scale + whole_panels(factor->count));
    factor->in_panels = 1;
}

static void shorten_in_panels(Factor *factor, float *room)
{
    int64_t count = factor->count, panels = whole_panels(count), each = packed_of(factor);
    int32_t *packed = (int32_t *)(void *)room;
    float *scale = room + panels * each;
    int32_t *sums = (int32_t *)(void *)(scale + panels);
    find_right(factor, room);
    if (factor->across) {
        shorten_across(factor, packed, scale, sums, scale + 2 * panels);
        return;
    }
    if (count % PANEL) memset(room, 0, (size_t)short_room(count, factor->length) * sizeof *room);
    for (int64_t first = 0; first < count; first += PANEL)
        shorten_panel(factor, first, least(count - first, PANEL), packed + first * each,
                      scale + first, sums + first);
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
    int64_t each = packed_of(factor), length = factor->length;
    int32_t *packed = (int32_t *)(void *)room;
    float *scale = room + factor->count * each;
    factor->packed = packed, factor->scale = scale, factor->in_panels = 0;
    for (int64_t v = 0; v < factor->count; v++) {
        const float *x = factor->at + v * factor->step;
        int32_t largest = largest_of(x, length);
        float share = share_of(largest, top(factor));
        scale[v] = scale_of(largest, top(factor));
        if (factor->bytes)
            left_bytes(x, length, share, packed + v * each);
        else if (factor->dithered)
            pair_up(x, length, share, packed + v * each, 1, 1, v);
        else
            pair_up(x, length, share, packed + v * each, 1, 0, v);
    }
}
