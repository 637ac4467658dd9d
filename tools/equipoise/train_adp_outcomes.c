#include "base/path.h"
#include "train/outcome_fit.h"
#include "train_adp.h"

/* The model's own samples, as generate draws them when it is not told otherwise: all noise fresh. */
static const double fresh_noise = 1;

static eq_status draw(eq_adp_recorded *samples)
{
    eq_record_options options = eq_adp_record_options(samples);
    options.eta = fresh_noise;
    options.seed++; /* others than may have been learnt from */
    return eq_adp_record_samples(samples, &options, "own samples");
}

static eq_status fit_all(const eq_adp_recorded *samples, eq_adp *adps, int count)
{
    const eq_adp_run *r = samples->run;
    for (int i = 0; i < count; i++) {
        int a = eq_attribute_find(r->attributes, r->attribute_count, adps[i].attribute.name);
        EQ_TRY(eq_adp_fit_outcomes(r->call->ctx, &samples->store, samples->classes + a * samples->count, &adps[i]));
    }
    return EQ_OK;
}

eq_status eq_adp_outcomes(eq_adp_run *r, eq_adp *adps, int count)
{
    eq_adp_recorded samples;
    if (r->s->own_samples == 0 || count == 0)
        return EQ_OK;
    eq_status status = eq_adp_recorded_open(r, r->s->own_samples, eq_path_join(r->s->out, "own-samples.tmp"), &samples);
    if (status == EQ_OK)
        status = draw(&samples);
    if (status == EQ_OK)
        status = fit_all(&samples, adps, count);
    eq_adp_recorded_close(&samples);
    return status;
}
