/* Targets: the command line's text, and target files. A target that was read is formatted and must come back the same.
 */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "guidance/target.h"

static const char *const genders[] = {"female", "male"}, *const ages[] = {"young", "middle", "old"};
static const char *const odd_classes[] = {"a", "a/b", "b", "b/a"};
static const eq_attribute known[] = {
    {"gender", 2, genders}, {"age", 3, ages}, {"odd", 4, odd_classes}, {"gender*age", 2, genders}};
enum { KNOWN = 4 };

static void check_target(const eq_target *target)
{
    double sum = 0;
    int quota[EQ_TARGET_CELLS], images = 0;
    FUZZ_CHECK(target->cells >= 1 && target->cells <= EQ_TARGET_CELLS);
    for (int i = 0; i < target->cells; i++) {
        FUZZ_CHECK(target->p[i] >= 0);
        sum += target->p[i];
    }
    FUZZ_CHECK(fabs(sum - 1) < 1e-9);
    eq_target_quota(target, 101, quota);
    for (int i = 0; i < target->cells; i++)
        images += quota[i];
    FUZZ_CHECK(images == 101);
}

static void check_round_trip(eq_context *ctx, const eq_target *target)
{
    char *text;
    eq_target again;
    if (!fuzz_accepted(ctx, eq_target_format(ctx, target, &text), EQ_NO_MEMORY))
        return;
    FUZZ_CHECK(eq_target_parse(ctx, text, known, KNOWN, &again) == EQ_OK);
    FUZZ_CHECK(again.cells == target->cells && again.attribute_count == target->attribute_count);
    for (int i = 0; i < target->cells; i++)
        FUZZ_CHECK(fabs(again.p[i] - target->p[i]) < 1e-3);
    eq_target_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eq_context *ctx = eq_context_new();
    char *text = strndup((const char *)data, size);
    eq_target target;
    if (text && fuzz_accepted(ctx, eq_target_parse(ctx, text, known, KNOWN, &target), EQ_BAD_USAGE)) {
        check_target(&target);
        check_round_trip(ctx, &target);
        eq_target_free(&target);
    }
    free(text);
    eq_targets targets = {0};
    eq_status status = eq_targets_parse(ctx, &targets, (const char *)data, size, "input", known, KNOWN);
    if (!fuzz_accepted(ctx, status, EQ_BAD_INPUT))
        FUZZ_CHECK(targets.count == 0);
    for (int i = 0; i < targets.count; i++)
        check_target(&targets.items[i]);
    eq_targets_free(&targets);
    eq_context_free(ctx);
    return 0;
}
