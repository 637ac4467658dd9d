/* Guidance of a guided-diffusion network's h by imported heads against the numbers of the authors' debiasing code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "diffusion/timesteps.h"
#include "guidance/adp_import.h"
#include "guidance/guidance.h"
#include "reference/network.h"

static eq_context *ctx;
static network adm;

/* The scales that the fixtures' gradients were made with: these numbers are in no file. */
static const struct {
    const char *attribute;
    double distribution, sample;
} scales[] = {{"gender", 15, 2}, {"race", 7, 2}};

/* "dist_gender_race_50_50": the distribution over each attribute's classes in percent; "sample_gender_class1". */
typedef struct guided_case {
    bool sample;
    int attributes;
    char attribute[EQ_MAX_ADPS][32];
    int numbers, number[EQ_ADP_CLASSES];
} guided_case;

static guided_case parse_case(const char *name)
{
    guided_case out = {0};
    char copy[128], *state;
    snprintf(copy, sizeof copy, "%s", name);
    char *word = strtok_r(copy, "_", &state);
    out.sample = strcmp(word, "sample") == 0;
    assert_true(out.sample || strcmp(word, "dist") == 0);
    while ((word = strtok_r(NULL, "_", &state))) {
        int number;
        assert_true(out.numbers < EQ_ADP_CLASSES && out.attributes < EQ_MAX_ADPS);
        if (sscanf(word, out.sample ? "class%d" : "%d", &number) == 1)
            out.number[out.numbers++] = number;
        else
            snprintf(out.attribute[out.attributes++], sizeof out.attribute[0], "%.31s", word);
    }
    assert_true(out.attributes > 0 && out.numbers > 0);
    return out;
}

/* The heads of the case's attributes, their targets, and guidance of n images by them. */
typedef struct guided_run {
    int count;
    eq_adp adp[EQ_MAX_ADPS];
    eq_targets targets;
    eq_guidance *guidance;
} guided_run;

/* The heads belong to the timesteps of a published run, which has one step more: the first goes without. */
static void open_heads(const char *attribute, eq_shape h_shape, eq_adp *out)
{
    static const char *const classes[] = {"class0", "class1", "class2", "class3",
                                          "class4", "class5", "class6", "class7"};
    char files[2][128];
    snprintf(files[0], sizeof files[0], "guided-diffusion/adp_%s.pt", attribute);
    snprintf(files[1], sizeof files[1], "guided-diffusion/adp_%s_legacy.pt", attribute);
    eq_tensor_file file;
    assert_ok(eq_tensor_file_open(ctx, fixture_path(files[0]), &file));
    int steps = eq_adp_import_heads(&file) + 1;
    const eq_tensor *bias = eq_tensor_file_find(&file, "linears.0.bias");
    assert_non_null(bias);
    eq_attribute known = {attribute, (int)eq_shape_count(&bias->shape), classes};
    assert_in_range(known.classes, 2, sizeof classes / sizeof classes[0]);
    eq_tensor_file_close(&file);
    assert_true(steps > 1 && steps <= EQ_ADP_IMPORT_HEADS);

    int falling[EQ_ADP_IMPORT_HEADS], previous[EQ_ADP_IMPORT_HEADS];
    int64_t timesteps[EQ_ADP_IMPORT_HEADS];
    assert_ok(eq_timesteps(ctx, &adm.schedule, EQ_SPACING_PAPER, steps, falling, previous));
    for (int i = 0; i < steps; i++)
        timesteps[i] = falling[steps - 1 - i];
    assert_ok(eq_adp_import(ctx, fixture_path(files[0]), &known, h_shape, timesteps, steps, out));
    assert_int_equal(out->heads, steps - 1);
    if (access(fixture_path(files[1]), R_OK) != 0)
        return;
    eq_adp legacy;
    assert_ok(eq_adp_import(ctx, fixture_path(files[1]), &known, h_shape, timesteps, steps, &legacy));
    assert_memory_equal(legacy.weight, out->weight,
                        (size_t)(legacy.heads * known.classes * legacy.h_count) * sizeof(float));
    assert_memory_equal(legacy.bias, out->bias, (size_t)(legacy.heads * known.classes) * sizeof(float));
    eq_adp_free(&legacy);
}

static double scale_of(const char *attribute, bool sample)
{
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(scales[i].attribute, attribute) == 0)
            return sample ? scales[i].sample : scales[i].distribution;
    fail_msg("the guidance scale of %s is not known", attribute);
    return 0;
}

/* "gender=a:0.2,b:0.8" */
static void add_target(const guided_case *c, const eq_attribute *attribute, eq_targets *targets)
{
    char text[1024];
    int used = snprintf(text, sizeof text, "%s=", attribute->name);
    assert_true(c->sample || c->numbers == attribute->classes);
    for (int k = 0; k < attribute->classes; k++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s:%g", k ? "," : "", attribute->class_names[k],
                         c->sample ? k == c->number[0] : c->number[k] / 100.0);
    assert_ok(eq_targets_add(ctx, targets, text, attribute, 1));
}

static void open_run(const guided_case *c, eq_shape h_shape, int64_t n, guided_run *out)
{
    *out = (guided_run){.count = c->attributes};
    eq_guidance_options options = {.method = c->sample ? &eq_method_sample : &eq_method_distribution,
                                   .loss = eq_loss_find("chi2"),
                                   .rule = EQ_STRENGTH_P2,
                                   .temperature = 8};
    const eq_adp *adps[EQ_MAX_ADPS];
    for (int a = 0; a < c->attributes; a++) {
        open_heads(c->attribute[a], h_shape, &out->adp[a]);
        adps[a] = &out->adp[a];
        options.strengths[a] = scale_of(c->attribute[a], c->sample);
        add_target(c, &out->adp[a].attribute, &out->targets);
    }
    assert_ok(eq_guidance_new(ctx, &options, adps, c->attributes, &out->targets, n, 1, &out->guidance));
}

static void close_run(guided_run *run)
{
    eq_guidance_free(run->guidance);
    eq_targets_free(&run->targets);
    for (int a = 0; a < run->count; a++)
        eq_adp_free(&run->adp[a]);
}

/* The gradient alone, scaled as the reference has it: without beta, and not subtracted from h, where its small numbers
 * would be rounded off. grad: [n, h_count] zeroed. After eq_guidance_apply. */
static void read_gradient(const guided_run *run, int timestep, float *grad)
{
    eq_guidance *g = run->guidance;
    for (int a = 0; a < run->count; a++) {
        const eq_adp *adp = &run->adp[a];
        eq_adp_push(adp, eq_adp_head(adp, timestep), g->options.temperature, -300 * eq_guidance_strength(g, a),
                    g->dlogits[a], g->n, grad, g->work[a]);
    }
}

/* name: of what follows "grad_" and "guided_". */
static void check_guided(const char *name, int timestep)
{
    guided_case c = parse_case(name);
    const eq_tensor *x = eq_tensor_file_find(&adm.reference, "x");
    assert_non_null(x);
    int64_t n = x->shape.dim[0], x_count = eq_shape_count(&x->shape);
    int64_t out_count = x_count / adm.unet.in_channels * adm.unet.out_channels;
    eq_denoiser *denoiser = network_denoiser(ctx, &adm, n, EQ_F32, NULL);
    int64_t h_count = n * eq_denoiser_h_count(denoiser);
    guided_run run;
    open_run(&c, eq_denoiser_h_shape(denoiser), n, &run);

    float *inputs = network_expected(&adm, "x", x_count);
    float *expected_grad = network_expected(&adm, eq_prefix_format("grad_%s", name).text, h_count);
    float *expected = network_expected(&adm, eq_prefix_format("guided_%s", name).text, out_count);
    float *h = calloc((size_t)h_count, sizeof(float)), *grad = calloc((size_t)h_count, sizeof(float));
    float *unguided = calloc((size_t)out_count, sizeof(float)), *out = calloc((size_t)out_count, sizeof(float));
    assert_ok(eq_denoiser_encode(denoiser, inputs, (float)timestep, h));
    assert_ok(eq_denoiser_decode(denoiser, inputs, (float)timestep, h, unguided));
    assert_ok(eq_guidance_apply(run.guidance, 0, timestep, adm.schedule.betas[timestep], h));
    assert_ok(eq_denoiser_decode(denoiser, inputs, (float)timestep, h, out));
    read_gradient(&run, timestep, grad);

    double grad_error = relative_error(grad, expected_grad, h_count), error = relative_error(out, expected, out_count);
    double change = relative_error(unguided, expected, out_count);
    print_message("%s: relative error of the gradient %.2e, of the guided output %.2e (of the unguided one %.2e)\n",
                  name, grad_error, error, change);
    assert_true(grad_error < 1e-5);
    assert_true(error < 1e-5);
    assert_true(change > 100 * error);
    free(inputs);
    free(expected_grad);
    free(expected);
    free(h);
    free(grad);
    free(unguided);
    free(out);
    close_run(&run);
    eq_denoiser_free(denoiser);
}

/* Every "grad_<case>", at the timestep whose beta the fixture names. */
static void guidance_of_h(void **state)
{
    int timestep = -1, cases = 0;
    for (size_t i = 0; i < adm.reference.count; i++)
        sscanf(adm.reference.entries[i].name, "beta_%d", &timestep);
    assert_in_range(timestep, 0, adm.schedule.config.num_train_timesteps - 1);
    for (size_t i = 0; i < adm.reference.count; i++)
        if (strncmp(adm.reference.entries[i].name, "grad_", 5) == 0) {
            check_guided(adm.reference.entries[i].name + 5, timestep);
            cases++;
        }
    assert_true(cases > 0);
}

static int open_network(void **state)
{
    network_open(ctx, "guided-diffusion", "model.pt", EQ_FAMILY_ADM, &adm);
    return 0;
}

static int close_network(void **state)
{
    network_close(&adm);
    return 0;
}

int main(void)
{
    if (!fixture_exists("guided-diffusion"))
        return FIXTURES_SKIP;
    ctx = eq_context_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guidance_of_h),
    };
    int failed = cmocka_run_group_tests(tests, open_network, close_network);
    eq_context_free(ctx);
    return failed;
}
