#include "training_options.h"

#include <inttypes.h>
#include <stdio.h>

eq_optimiser_options eq_training_optimiser(const eq_optimiser_options *given)
{
    eq_optimiser_options o = eq_optimiser_defaults();
    o.learning_rate = given->learning_rate;
    o.weight_decay = given->weight_decay;
    o.clip_norm = given->clip_norm;
    o.ema_decay = given->ema_decay;
    o.warmup_steps = given->warmup_steps;
    o.total_steps = given->total_steps;
    return o;
}

void eq_training_show(void *user, const eq_training_progress *now)
{
    eq_training_watch *watch = user;
    char note[64];
    watch->last = *now;
    snprintf(note, sizeof note, "loss %.4f, %.1f images/s", now->loss, now->images_per_second);
    eq_progress_set(watch->progress, (double)now->step, (double)now->total_steps, note);
}

eq_status eq_training_classifier(const eq_invocation *call, const eq_classifier_trunk *trunk, int64_t size,
                                 const eq_integers *channels, int64_t blocks, eq_classifier_config *out)
{
    *out = (eq_classifier_config){.trunk = trunk, .size = (int)size, .stages = channels->count, .blocks = (int)blocks};
    if (channels->count > EQ_CLASSIFIER_MAX_STAGES)
        return eq_fail(call->ctx, EQ_BAD_USAGE, "--channels gives %d stages; there can be up to %d", channels->count,
                       EQ_CLASSIFIER_MAX_STAGES);
    for (int i = 0; i < channels->count; i++) {
        if (channels->item[i] % 4 != 0)
            return eq_fail(call->ctx, EQ_BAD_USAGE, "--channels must be multiples of 4, not %" PRId64,
                           channels->item[i]);
        out->channels[i] = (int)channels->item[i];
    }
    int multiple = 1 << (channels->count - !trunk->last_halves);
    if (size % multiple != 0)
        return eq_fail(call->ctx, EQ_BAD_USAGE,
                       "--size must be a multiple of %d with %d stages of --channels, not %" PRId64, multiple,
                       channels->count, size);
    return EQ_OK;
}
