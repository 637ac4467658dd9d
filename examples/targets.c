/* Reads a joint target and tells what it asks of a set of N images: the quota of each cell, and of each attribute.
 *
 *     cc targets.c $(pkg-config --cflags --libs equipoise) -o targets
 *     ./targets 'gender*glasses=female/yes:0.3,female/no:0.2,male/yes:0.3,male/no:0.2' 25
 */
#include <stdio.h>
#include <stdlib.h>

#include <equipoise/equipoise.h>

static const char *const genders[] = {"female", "male"};
static const char *const glasses[] = {"no", "yes"};
static const eq_attribute known[] = {{"gender", 2, genders}, {"glasses", 2, glasses}};

static void print_cells(const eq_target *target, int n)
{
    int quota[EQ_TARGET_CELLS];
    eq_target_quota(target, n, quota);
    for (int cell = 0; cell < target->cells; cell++) {
        char name[128];
        eq_target_cell_name(target, cell, name, sizeof name);
        printf("%-12s %.3f  %d of %d\n", name, target->p[cell], quota[cell], n);
    }
}

static void print_marginals(const eq_target *target)
{
    for (int a = 0; a < target->attribute_count; a++) {
        double p[EQ_TARGET_CELLS];
        eq_target_marginal(target, a, p);
        printf("%s:", target->attributes[a].name);
        for (int k = 0; k < target->attributes[a].classes; k++)
            printf(" %s %.3f", target->attributes[a].class_names[k], p[k]);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || atoi(argv[2]) < 1) {
        fprintf(stderr, "usage: %s TARGET N\n", argv[0]);
        return 2;
    }
    eq_context *ctx = eq_context_new();
    if (!ctx)
        return 1;
    eq_target target;
    eq_status status = eq_target_parse(ctx, argv[1], known, 2, &target);
    if (status == EQ_OK) {
        print_cells(&target, atoi(argv[2]));
        print_marginals(&target);
        eq_target_free(&target);
    } else {
        fprintf(stderr, "%s: %s\n", argv[0], eq_last_error(ctx));
    }
    eq_context_free(ctx);
    return status == EQ_OK ? 0 : 1;
}
