/* What the progress shows, at chosen times and widths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "equipoise/progress.h"

/* 250 of 1000 images after 10 s of which the first took 2 s. */
static eq_progress quarter(void)
{
    return (eq_progress){.doing = "drawing",
                         .unit = "images",
                         .begun = 100,
                         .start = 102,
                         .first = 10,
                         .latest = 110,
                         .done = 250,
                         .total = 1000,
                         .note = "loss 0.1"};
}

static void shows_bar(const eq_progress *progress, double now, int width, const char *expected)
{
    char text[256];
    eq_progress_format_bar(progress, now, width, text, sizeof text);
    assert_string_equal(text, expected);
    assert_true(strlen(text) <= (size_t)width);
}

static void test_widths(void **state)
{
    eq_progress p = quarter();
    shows_bar(&p, 110, 120,
              "drawing [##########------------------------------]  25%  250/1000  30.0 images/s  loss 0.1  0:25 left");
    shows_bar(&p, 110, 80, "drawing [####---------------]  25%  250/1000  30.0 images/s  loss 0.1  0:25 left");
    shows_bar(&p, 110, 70, "drawing [####---------------]  25%  250/1000  30.0 images/s  0:25 left");
    shows_bar(&p, 110, 50, "drawing [###-----------]  25%  250/1000  0:25 left");
    shows_bar(&p, 110, 40, "drawing [###-----------]  25%  0:25 left");
    shows_bar(&p, 110, 30, "drawing  25%");
    shows_bar(&p, 110, 5, "drawi");
    for (int width = 0; width < 240; width++) {
        char text[256];
        eq_progress_format_bar(&p, 110, width, text, sizeof text);
        assert_true(strlen(text) <= (size_t)width);
    }
}

static void test_times(void **state)
{
    eq_progress p = quarter();
    p.note[0] = '\0';
    p.done = 11; /* 1/8 image a second */
    shows_bar(&p, 110, 76, "drawing [----------------------]   1%  11/1000  7.5 images/min  2:11:52 left");
    p.done = 10; /* no rate yet */
    shows_bar(&p, 110, 76, "drawing [-----------------------------]   1%  10/1000  - images/s  -:-- left");
    p.done = 999;
    shows_bar(&p, 110, 70, "drawing [###################-]  99%  999/1000  124 images/s  0:00 left");
    p.done = 1000;
    shows_bar(&p, 160, 70, "drawing [###################] 100%  1000/1000  124 images/s  took 1:00");
    p.total = 0;
    shows_bar(&p, 160, 70, "drawing 1000 images, 124 images/s");
}

static void test_line(void **state)
{
    char text[256];
    eq_progress p = quarter();
    eq_progress_format_line(&p, 110, text, sizeof text);
    assert_string_equal(text, "drawing: 250 of 1000 images (25%), 30.0 images/s, loss 0.1, 0:25 left");
    p.note[0] = '\0';
    p.total = 0;
    eq_progress_format_line(&p, 110, text, sizeof text);
    assert_string_equal(text, "drawing: 250 images, 30.0 images/s");
}

/* Runs a loop of work that takes no time, with a note in its midst; returns what was printed, to be freed. */
static char *run_work(bool terminal, bool quiet)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    eq_progress p = {.out = out, .terminal = terminal, .quiet = quiet};
    eq_progress_begin(&p, "counting", "numbers");
    for (int i = 1; i <= 100000; i++)
        eq_progress_set(&p, i, 100000, NULL);
    eq_progress_log(&p, EQ_LOG_INFO, "a note");
    eq_progress_log(&p, EQ_LOG_DEBUG, "a detail");
    eq_progress_log(&p, EQ_LOG_WARNING, "a danger");
    eq_progress_end(&p);
    eq_progress_set(&p, 1, 1, NULL);
    eq_progress_end(&p);
    fclose(out);
    return text;
}

static int occurrences(const char *text, const char *part)
{
    int count = 0;
    while ((text = strstr(text, part)) != NULL) {
        count++;
        text++;
    }
    return count;
}

static void test_output(void **state)
{
    char *text = run_work(false, false);
    assert_null(strchr(text, '\r'));
    assert_int_equal(occurrences(text, "counting: 100000 of 100000 numbers (100%)"), 1);
    assert_int_equal(occurrences(text, "a note\nequipoise: warning: a danger\n"), 1);
    assert_null(strstr(text, "a detail"));
    free(text);

    text = run_work(true, false);
    /* Ten redraws a second at most: the work is far shorter than the ten seconds that a hundred would need. */
    assert_in_range(occurrences(text, "\rcounting ["), 1, 100);
    assert_int_equal(occurrences(text, "100000/100000"), 1);
    assert_true(text[strlen(text) - 1] == '\n');
    free(text);

    text = run_work(false, true);
    assert_string_equal(text, "equipoise: warning: a danger\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
