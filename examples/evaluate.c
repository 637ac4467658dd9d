/* Grades a folder of labelled images: how far from the target it is, and whether that is more than chance.
 *
 *     cc evaluate.c $(pkg-config --cflags --libs equipoise) -o evaluate
 *     ./evaluate portraits/images portraits/labels.csv gender=female:0.5,male:0.5
 */
#include <stdio.h>

#include <equipoise/equipoise.h>

static void print(const eq_attribute_evaluation *a)
{
    printf("%s\n", a->attribute.name);
    for (int k = 0; k < a->attribute.classes; k++)
        printf("  %-12s %5d  %.3f (%.3f to %.3f)\n", a->attribute.class_names[k], a->counts[k], a->frequency[k].value,
               a->frequency[k].low, a->frequency[k].high);
    if (a->target)
        printf("  distance to the target %.3f; chance alone gives up to %.3f in 95 of 100 such sets\n",
               a->distances.fd.value, a->noise.p95);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s IMAGES LABELS TARGET\n", argv[0]);
        return 2;
    }
    eq_context *ctx = eq_context_new();
    if (!ctx)
        return 1;
    const char *targets[] = {argv[3]};
    eq_evaluate_options options = {.images = argv[1], .labels = argv[2], .targets = targets, .target_count = 1};
    eq_evaluation evaluation;
    eq_status status = eq_evaluate_folder(ctx, &options, &evaluation);
    if (status == EQ_OK) {
        printf("%d images\n", evaluation.n);
        for (int i = 0; i < evaluation.attribute_count; i++)
            print(&evaluation.attributes[i]);
        eq_evaluation_free(&evaluation);
    } else {
        fprintf(stderr, "%s: %s: %s\n", argv[0], eq_status_name(status), eq_last_error(ctx));
    }
    eq_context_free(ctx);
    return status == EQ_OK ? 0 : 1;
}
