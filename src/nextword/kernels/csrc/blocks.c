/* The blocks of a decoder in one call: in each, attention and feed-forward, with the norm before
   and the residual link around either, forward and back. In float32, products also in int16.

   The products in float32 are torch's own library's, handed over as `product`. What is ours is the
   order: some rows at a time go through half a block, so that what one step writes still lies in the
   processor's cache when the next one reads it. One thread works through the rows in their order,
   so the same numbers give the same results. calls.py fills in the structs. */

#include "blocks.h"

/* How many floats of scratch half a block needs at most; what `scratch` is does not matter. */
int64_t blocks_scratch(const Attention *attentions, const FeedForward *feed_forwards)
{
    int64_t one = attention_scratch(attentions), other = feed_forward_scratch(feed_forwards);
    return one > other ? one : other;
}

/* What enters the first block, and the gradient on its way back. */
void drop_rows(const float *x, float *out, int64_t count, float share, int64_t seed)
{
    drop(draw_of(share, seed), x, NULL, out, 0, count);
}

void blocks(const Attention *attentions, const FeedForward *feed_forwards, int64_t count)
{
    for (int64_t layer = 0; layer < count; layer++) {
        attention(attentions + layer);
        if (feed_forwards[layer].inner) feed_forward(feed_forwards + layer);
    }
}

void blocks_back(const Attention *attentions, const FeedForward *feed_forwards, int64_t count)
{
    for (int64_t layer = count - 1; layer >= 0; layer--) {
        if (feed_forwards[layer].inner) feed_forward_back(feed_forwards + layer);
        attention_back(attentions + layer);
    }
}
