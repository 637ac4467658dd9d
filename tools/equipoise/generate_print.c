/* What a finished `equipoise generate` prints. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/process.h"
#include "generate_parts.h"
#include "io/json.h"

static eq_status print_json(const eq_generate_run *r)
{
    json_t *json;
    const eq_generation *g = &r->result.generation;
    if (!r->result.graded)
        return eq_print_json(r->call, json_pack("{s:o, s:I, s:f}", "out", eq_json_text(r->s->out), "n",
                                                (json_int_t)g->count, "seconds", g->seconds));
    EQ_TRY(eq_evaluation_json(r->call->ctx, &r->result.grade.evaluation, &json));
    return eq_print_json(r->call, json);
}

static void print_verification(const eq_generate_run *r)
{
    const eq_verification *v = &r->result.verification;
    const eq_generation *g = &r->result.generation;
    int64_t replaced = 0;
    for (int64_t i = 0; i < g->count; i++)
        replaced += g->replaces[i] >= 0;
    if (v->rejection) {
        printf("kept to the quota by %s: %" PRId64 " images thrown away (%.0f U-Net passes, %.0f%% more)\n",
               v->classifier, v->drawn, v->unet_passes,
               100 * v->unet_passes / fmax(g->unet_passes - v->unet_passes, 1));
        return;
    }
    printf("verified by %s: %" PRId64 " of %" PRId64 " images replaced, %" PRId64 " drawn for it (%.0f U-Net passes, "
           "%.0f%% more)\n",
           v->classifier, replaced, g->count, v->drawn, v->unet_passes,
           100 * v->unet_passes / fmax(g->unet_passes - v->unet_passes, 1));
}

static void print_memory(const eq_generation *g)
{
    const struct {
        const char *name;
        size_t bytes;
    } parts[] = {{"process", g->process_bytes},       {"activations", g->arena_bytes},
                 {"packed weights", g->weight_bytes}, {"encoder's results", g->carry_bytes},
                 {"images", g->held_bytes},           {"decoder", g->decoder_bytes},
                 {"guidance", g->guidance_bytes}};
    size_t planned = 0, count = sizeof parts / sizeof parts[0];
    for (size_t i = 0; i < count; i++)
        planned += parts[i].bytes;
    printf("memory: %.0f MB planned (", 1e-6 * (double)planned);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || parts[i].bytes > 0)
            printf("%s%s %.0f", i ? ", " : "", parts[i].name, 1e-6 * (double)parts[i].bytes);
    printf("), at most %.0f MB taken\n", 1e-6 * (double)eq_process_peak());
}

eq_status eq_generate_print(const eq_generate_run *r)
{
    const eq_generation *g = &r->result.generation;
    if (r->result.was_finished) {
        if (!r->call->common.json)
            printf("%s was finished already\n", r->s->out);
        return EQ_OK;
    }
    if (r->call->common.json)
        return print_json(r);
    if (r->result.graded) {
        char *text;
        EQ_TRY(eq_evaluation_format(r->call->ctx, &r->result.grade.evaluation, &text));
        fputs(text, stdout);
        free(text);
    }
    if (r->result.verification.done)
        print_verification(r);
    print_memory(g);
    printf("%" PRId64 " images in %s: %.1f s, of which guidance %.2f s, %.0f U-Net passes\n", g->count, r->s->out,
           g->seconds, g->guidance_seconds, g->unet_passes);
    return EQ_OK;
}
