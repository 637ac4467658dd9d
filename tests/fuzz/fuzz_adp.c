/* Attribute predictor files. Heads that were read must predict distributions. */
#include <math.h>

#include "fuzz.h"
#include "guidance/adp_file.h"

static void check_prediction(const eq_adp *adp)
{
    int classes = adp->attribute.classes;
    float *h = calloc((size_t)adp->h_count, sizeof *h), *p = calloc((size_t)classes, sizeof *p);
    float *work = calloc(eq_adp_work(adp, 1), sizeof *work);
    if (h && p && work) {
        eq_adp_predict(adp, eq_adp_head(adp, 500), 0, h, 1, p, work);
        float sum = 0;
        for (int k = 0; k < classes; k++)
            sum += p[k];
        /* Weights may be any numbers, even infinite ones, whose softmax is none. */
        FUZZ_CHECK(isnan(sum) || fabsf(sum - 1) < 1e-3f);
    }
    free(h);
    free(p);
    free(work);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    eq_adp adp;
    if (fuzz_accepted(ctx, eq_adp_from_memory(ctx, data, size, "input", &adp), EQ_BAD_INPUT)) {
        FUZZ_CHECK(adp.heads >= 1 && adp.attribute.classes >= 2);
        check_prediction(&adp);
        eq_adp_free(&adp);
    }
    eq_context_free(ctx);
    return 0;
}
