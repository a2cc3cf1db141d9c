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

int64_t feed_forward_scratch(const FeedForward *f)
{
    return f->group * (2 * f->width + 3 * f->inner + 2);
}

void feed_forward(const FeedForward *f)
{
    int64_t width = f->width, inner = f->inner;
    float *scratch = f->scratch, *hidden = scratch + f->group * width;
    float *inverse = hidden + f->group * inner;
    for (int64_t row = 0; row < f->rows; row += f->group) {
        int64_t rows = f->rows - row < f->group ? f->rows - row : f->group;
        const float *x = f->x + row * width;
        float *raised = f->raised + row * inner, *y = f->y + row * width;
        float *gated = f->gate ? f->gated + row * inner : NULL;
        const float *n = normed(&f->norm, x, scratch, inverse, rows, width);
        linear(f->product, n, f->up, f->up_bias, raised, inner, rows, inner, width);
        if (f->gate)
            linear(f->product, n, f->gate, f->gate_bias, gated, inner, rows, inner, width);
        activate(f->activation, gated, raised, hidden, rows * inner);
        lay_out(f->down_bias, x, y, width, rows, width);
        forward(f->product, hidden, inner, f->down, inner, y, width, rows, width, inner, 1.0f);
    }
}

void feed_forward_back(const FeedForward *f)
{
    int64_t width = f->width, inner = f->inner;
    float *normed_rows = f->scratch, *by_normed = normed_rows + f->group * width;
    float *hidden = by_normed + f->group * width, *by_hidden = hidden + f->group * inner;
    float *by_gated = by_hidden + f->group * inner, *inverse = by_gated + f->group * inner;
    for (int64_t row = 0; row < f->rows; row += f->group) {
        int64_t rows = f->rows - row < f->group ? f->rows - row : f->group;
        const float *x = f->x + row * width, *gradient = f->gradient + row * width;
        const float *raised = f->raised + row * inner;
        const float *gated = f->gate ? f->gated + row * inner : NULL;
        backward(f->product, gradient, width, f->down, inner, by_hidden, inner, rows, width, inner,
                 0.0f);
        activate_back(f->activation, by_hidden, gated, raised, by_gated, by_hidden, hidden,
                      rows * inner);
        collect(f->product, gradient, width, hidden, inner, f->by_down, inner, rows, width, inner);
        add_rows(gradient, width, f->by_down_bias, rows, width);
        const float *n = normed(&f->norm, x, normed_rows, inverse, rows, width);
        linear_back(f->product, by_hidden, inner, n, f->up, f->by_up, f->by_up_bias, by_normed,
                    rows, inner, width, 0.0f);
        if (f->gate)
            linear_back(f->product, by_gated, inner, n, f->gate, f->by_gate, f->by_gate_bias,
                        by_normed, rows, inner, width, 1.0f);
        normed_back(&f->norm, by_normed, x, inverse, gradient, f->by_x + row * width, rows, width);
    }
}
