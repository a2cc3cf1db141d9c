/* Half a block: y = x + feed_forward(norm(x)), forward and back, some rows at a time. */

#include "products.h"

static void activate(int64_t kind, const float *gated, const float *raised, float *hidden,
                     int64_t count)
{
    if (kind == SWIGLU) swiglu(gated, raised, hidden, count);
    if (kind == GELU_TANH) gelu_tanh(raised, hidden, count);
    if (kind == SWIGLU || kind == GELU_TANH) return;
    int squared = kind == RELU2;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float x = raised[i] < 0.0f ? 0.0f : raised[i]; /* what is not a number stays so */
        hidden[i] = squared ? x * x : x;
    }
}

/* `hidden` is worked out again on the way; by_raised may be where `gradient` is. */
static void activate_back(int64_t kind, const float *gradient, const float *gated,
                          const float *raised, float *by_gated, float *by_raised, float *hidden,
                          int64_t count)
{
    if (kind == SWIGLU) swiglu_back(gradient, gated, raised, by_gated, by_raised, hidden, count);
    if (kind == GELU_TANH) gelu_tanh_back(gradient, raised, by_raised, hidden, count);
    if (kind == SWIGLU || kind == GELU_TANH) return;
    int squared = kind == RELU2;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float x = raised[i] < 0.0f ? 0.0f : raised[i];
        float slope = squared ? 2.0f * x : raised[i] <= 0.0f ? 0.0f : 1.0f;
        by_raised[i] = gradient[i] * slope;
        hidden[i] = squared ? x * x : x;
    }
}

/* Where the parts of one group of rows lie. */
typedef struct {
    float *normed, *inverse, *hidden;        /* both ways */
    float *by_normed, *by_hidden, *by_gated; /* back */
    float *left, *right, *up, *gate, *down;  /* rooms of factors' short forms; null: there are none */
} Parts;

static int64_t cut(const FeedForward *f, Parts *parts) /* returns how many floats it takes */
{
    int64_t rows = f->group, width = f->width, inner = f->inner, total = 0;
    int64_t wide = inner > width ? inner : width, times = f->bits ? 1 : 0;
#define TAKE(part, count) \
    (parts->part = f->scratch ? f->scratch + total : NULL, total += in_lines(count))
    TAKE(normed, rows * width);
    TAKE(inverse, 2 * rows);
    TAKE(hidden, rows * inner);
    TAKE(by_normed, rows * width);
    TAKE(by_hidden, rows * inner);
    TAKE(by_gated, rows * inner);
    TAKE(left, times * room_for(rows, wide));
    TAKE(right, times * room_for(rows, wide));
    times = f->up_short.forward ? 0 : times;
    TAKE(up, times * room_for(inner, width));
    TAKE(gate, times * room_for(inner, width));
    TAKE(down, times * room_for(inner, width));
#undef TAKE
    if (!f->bits) parts->left = parts->right = parts->up = parts->gate = parts->down = NULL;
    return total;
}

int64_t feed_forward_scratch(const FeedForward *f)
{
    Parts parts;
    return cut(f, &parts);
}

void feed_forward(const FeedForward *f)
{
    Parts p;
    cut(f, &p);
    int64_t width = f->width, inner = f->inner;
    Factor up = matrix(f->up, inner, width, f->up_short, p.up, f->bits, FORWARD);
    Factor gate = matrix(f->gate, inner, width, f->gate_short, p.gate, f->bits, FORWARD);
    Factor down = matrix(f->down, width, inner, f->down_short, p.down, f->bits, FORWARD);
    for (int64_t row = 0; row < f->rows; row += f->group) {
        int64_t rows = f->rows - row < f->group ? f->rows - row : f->group;
        const float *x = f->x + row * width;
        float *raised = f->raised + row * inner, *y = f->y + row * width;
        float *gated = f->gate ? f->gated + row * inner : NULL;
        const float *n = normed(&f->norm, x, p.normed, p.inverse, rows, width);
        Factor each = left_of(up, rows_of(n, width, rows, width), p.left);
        linear(f->product, each, up, f->up_bias, raised, inner);
        if (f->gate) linear(f->product, each, gate, f->gate_bias, gated, inner);
        activate(f->activation, gated, raised, p.hidden, rows * inner);
        each = left_of(down, rows_of(p.hidden, inner, rows, inner), p.left);
        add_branch(f->product, each, down, f->down_bias, x, y, &f->dropout, p.normed, row);
    }
}

void feed_forward_back(const FeedForward *f)
{
    Parts p;
    cut(f, &p);
    int64_t width = f->width, inner = f->inner;
    Factor up = matrix(f->up, inner, width, f->up_short, p.up, f->bits, BACK);
    Factor gate = matrix(f->gate, inner, width, f->gate_short, p.gate, f->bits, BACK);
    Factor down = matrix(f->down, width, inner, f->down_short, p.down, f->bits, BACK);
    for (int64_t row = 0; row < f->rows; row += f->group) {
        int64_t rows = f->rows - row < f->group ? f->rows - row : f->group;
        const float *x = f->x + row * width, *gradient = f->gradient + row * width;
        const float *raised = f->raised + row * inner;
        const float *gated = f->gate ? f->gated + row * inner : NULL;
        const float *by_branch = branch_back(&f->dropout, gradient, p.by_normed, row, rows, width);
        Factor each = left_of(down, rows_of(by_branch, width, rows, width), p.left);
        multiply(f->product, each, down, p.by_hidden, inner, 0);
        activate_back(f->activation, p.by_hidden, gated, raised, p.by_gated, p.by_hidden, p.hidden,
                      rows * inner);
        each = left(columns_of(by_branch, width, rows, width), p.left);
        Factor hidden = right(columns_of(p.hidden, inner, rows, inner), p.right);
        multiply(f->product, each, hidden, f->by_down, inner, row > 0);
        add_rows(by_branch, width, f->by_down_bias, rows, width);
        const float *n = normed(&f->norm, x, p.normed, p.inverse, rows, width);
        Factor columns = right(columns_of(n, width, rows, width), p.right);
        int later = row ? BY_MATRIX : 0;
        linear_back(f->product, p.by_hidden, inner, rows, inner, columns, up, f->by_up,
                    f->by_up_bias, p.by_normed, later, p.left);
        if (f->gate)
            linear_back(f->product, p.by_gated, inner, rows, inner, columns, gate, f->by_gate,
                        f->by_gate_bias, p.by_normed, later | BY_ROWS, p.left);
        normed_back(&f->norm, p.by_normed, x, p.inverse, gradient, f->by_x + row * width, rows,
                    width);
    }
}
