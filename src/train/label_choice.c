#include "train/label_choice.h"

#include "base/rng.h"

enum { LIMIT = 0x11A17u, DISTURB = 0xD157u };

/* A draw an image: those of a class with the lowest ones stay. Finding the threshold by halving needs no memory. */
static uint32_t draw_of(uint64_t seed, int64_t i, uint32_t what)
{
    eq_rng rng = eq_rng_make(seed, (uint64_t)i, what);
    return eq_rng_u32(&rng);
}

static int64_t count_below(const int *labels, int64_t n, int class, uint64_t seed, uint64_t threshold)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += labels[i] == class && draw_of(seed, i, LIMIT) < threshold;
    return count;
}

void eq_labels_limit(int *labels, int64_t n, int classes, int64_t per_class, uint64_t seed)
{
    for (int k = 0; k < classes; k++) {
        uint64_t low = 0, high = (uint64_t)UINT32_MAX + 1; /* at `low` few enough stay */
        if (count_below(labels, n, k, seed, high) <= per_class)
            continue;
        while (high - low > 1) {
            uint64_t middle = (low + high) / 2;
            if (count_below(labels, n, k, seed, middle) <= per_class)
                low = middle;
            else
                high = middle;
        }
        for (int64_t i = 0; i < n; i++)
            if (labels[i] == k && draw_of(seed, i, LIMIT) >= low)
                labels[i] = -1;
    }
}

int64_t eq_labels_disturb(int *labels, int64_t n, int classes, double share, uint64_t seed)
{
    int64_t changed = 0;
    for (int64_t i = 0; i < n; i++) {
        eq_rng rng = eq_rng_make(seed, (uint64_t)i, DISTURB);
        if (labels[i] < 0 || (double)eq_rng_uniform(&rng) >= share)
            continue;
        labels[i] = (labels[i] + 1 + (int)eq_rng_below(&rng, (uint32_t)classes - 1)) % classes;
        changed++;
    }
    return changed;
}
