/* Label tables in both forms, their faults, matching with folders, writing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "io/labels.h"
#include "temporary.h"

static eq_context *ctx;

static int make_context(void **state)
{
    ctx = eq_context_new();
    return ctx ? 0 : -1;
}

static int drop_context(void **state)
{
    eq_context_free(ctx);
    return 0;
}

/* Parses from a block of exactly the text's size, so that a sanitizer sees any read beyond it. */
static eq_status parse(const char *text, size_t size, eq_labels *out)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    eq_status status = eq_labels_parse(ctx, copy, size, "labels.csv", out);
    free(copy);
    return status;
}

static eq_labels parse_good(const char *text)
{
    eq_labels labels;
    if (parse(text, strlen(text), &labels) != EQ_OK)
        fail_msg("%s", eq_last_error(ctx));
    return labels;
}

static void assert_refused(const char *text, const char *fault)
{
    eq_labels labels;
    assert_int_equal(parse(text, strlen(text), &labels), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "labels.csv: "));
    if (!strstr(eq_last_error(ctx), fault))
        fail_msg("expected \"%s\" in: %s", fault, eq_last_error(ctx));
    assert_null(labels.files);
}

/* The class's name of an image, or "-". */
static const char *class_of(const eq_labels *labels, const char *file, const char *attribute)
{
    int64_t row = eq_labels_find(labels, file);
    int a = eq_attribute_find(labels->attributes, labels->attribute_count, attribute);
    assert_true(row >= 0 && a >= 0);
    int k = labels->classes[row * labels->attribute_count + a];
    return k < 0 ? "-" : labels->attributes[a].class_names[k];
}

static void csv_of_every_flavour(void **state)
{
    eq_labels labels = parse_good("\xef\xbb\xbf"
                                  "gender, file_name ,\"hair, style\"\r\n"
                                  "male,b.png,\"short \"\"crop\"\"\"\r\n"
                                  "\r\n"
                                  " female ,./a.png,\n"
                                  ",\"c\nd.png\",\"long\"");
    assert_int_equal(labels.count, 3);
    assert_int_equal(labels.attribute_count, 2);
    assert_string_equal(labels.files[0], "b.png");
    assert_string_equal(labels.files[1], "a.png");
    assert_string_equal(labels.attributes[0].name, "gender");
    assert_string_equal(labels.attributes[1].name, "hair, style");
    /* Classes are sorted, though "male" came first. */
    assert_string_equal(labels.attributes[0].class_names[0], "female");
    assert_string_equal(labels.attributes[0].class_names[1], "male");
    assert_string_equal(class_of(&labels, "b.png", "gender"), "male");
    assert_string_equal(class_of(&labels, "b.png", "hair, style"), "short \"crop\"");
    assert_string_equal(class_of(&labels, "./a.png", "gender"), "female");
    assert_string_equal(class_of(&labels, "a.png", "hair, style"), "-");
    assert_string_equal(class_of(&labels, "c\nd.png", "gender"), "-");
    assert_int_equal(eq_labels_find(&labels, "d.png"), -1);
    eq_labels_free(&labels);
}

static void probabilities_are_no_attribute(void **state)
{
    eq_labels labels = parse_good("file_name,age,gender,gender_p,top_p\na,old,female,0.93,x\nb,old,male,,y\n");
    assert_int_equal(labels.attribute_count, 3); /* there is no "top": "top_p" is an attribute of its own */
    assert_string_equal(labels.attributes[2].name, "top_p");
    assert_true(labels.probabilities[1] == 0.93f);
    assert_true(isnan(labels.probabilities[0]) && isnan(labels.probabilities[4]));
    eq_labels_free(&labels);

    /* More of them than there may be classes. */
    char *text = malloc(64 * 1024);
    size_t length = (size_t)sprintf(text, "file_name,g,g_p\n");
    for (int i = 0; i < 2000; i++)
        length += (size_t)sprintf(text + length, "%d,%d,%.4f\n", i, i % 2, i / 2000.0);
    labels = parse_good(text);
    assert_true(labels.probabilities[1999] == 0.9995f);
    eq_labels_free(&labels);
    free(text);

    assert_refused("file_name,g,g_p\na,1,0.5\nb,1,1.5\n", "line 3");
    assert_refused("file_name,g,g_p\na,1,often\n", "often");
    assert_refused("file_name,g_p,g\na,1,0.5\n", "g_p");
}

static void json_lines(void **state)
{
    eq_labels labels = parse_good("{\"file_name\": \"a.png\", \"age\": 7, \"glasses\": true}\r\n"
                                  "\n"
                                  "{\"hat\": \"no\", \"file_name\": \"b.png\", \"glasses\": null}\n"
                                  "{\"file_name\": \"c.png\", \"age\": 10, \"glasses\": false}");
    assert_int_equal(labels.count, 3);
    assert_int_equal(labels.attribute_count, 3);
    assert_string_equal(class_of(&labels, "a.png", "age"), "7");
    assert_string_equal(class_of(&labels, "c.png", "age"), "10");
    assert_string_equal(class_of(&labels, "b.png", "age"), "-");
    assert_string_equal(class_of(&labels, "a.png", "glasses"), "true");
    assert_string_equal(class_of(&labels, "b.png", "glasses"), "-");
    assert_string_equal(class_of(&labels, "a.png", "hat"), "-");
    assert_string_equal(class_of(&labels, "b.png", "hat"), "no");
    eq_labels_free(&labels);
}

static void faults_name_the_line(void **state)
{
    assert_refused("", "empty");
    assert_refused(" \r\n ", "empty");
    assert_refused("file_name,gender\n", "no rows");
    assert_refused("file_name\na.png\n", "no labels");
    assert_refused("file,gender\na.png,male\n", "line 1: no column is called \"file_name\"");
    assert_refused("file_name,g,g\na,x,y\n", "line 1: the column \"g\" occurs twice");
    assert_refused("file_name,file_name\na,x\n", "line 1: the column \"file_name\" occurs twice");
    assert_refused("file_name,,g\na,x,y\n", "line 1: an attribute has no name");
    assert_refused("file_name,g\na.png,x\nb.png\n", "line 3: expected 2 fields as in the header, found 1");
    assert_refused("file_name,g\na.png,x,y\n", "line 2: expected 2 fields as in the header, found 3");
    assert_refused("file_name,g\na.png,x\nb.png,x\n./a.png,x\n",
                   "line 4: the file a.png was labelled before, in line 2");
    assert_refused("file_name,g\n,x\n", "line 2: \"file_name\" is empty");
    assert_refused("file_name,g\na,\"x\nb,y\n", "line 2: the quote is never closed");
    assert_refused("file_name,g\na,\"x\" y\n", "line 2: expected a comma after the closing quote");
    assert_refused("file_name,g\na,\xff\n", "UTF-8");
    assert_refused("{\"file_name\": \"a\", \"g\": \"x\"}\n{\"g\": \"x\"}\n", "line 2: expected a string under");
    assert_refused("{\"file_name\": \"a\", \"g\": \"x\"}\n[]\n", "line 2: expected a JSON object");
    assert_refused("{\"file_name\": \"a\", \"g\": 0.5}\n", "line 1: the label \"g\" should be");
    assert_refused("{\"file_name\": \"a\", \"g\": \"x\"", "line 1: expected a JSON object");
    eq_labels labels;
    assert_int_equal(parse("file_name,g\na\0,x\n", 17, &labels), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "zero bytes"));
    assert_int_equal(eq_labels_read(ctx, "/nonexistent.csv", &labels), EQ_BAD_INPUT);
}

static void free_text_is_recognised(void **state)
{
    for (int classes = 1000; classes <= 1001; classes++) {
        char *text;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        fputs("file_name,id\n", stream);
        for (int i = 0; i < classes; i++)
            fprintf(stream, "%d.png,id%d\n", i, i);
        fclose(stream);
        eq_labels labels;
        if (classes == 1000) {
            assert_int_equal(parse(text, size, &labels), EQ_OK);
            assert_int_equal(labels.attributes[0].classes, 1000);
            assert_string_equal(class_of(&labels, "517.png", "id"), "id517");
            eq_labels_free(&labels);
        } else {
            assert_refused(text, "line 1002: \"id\" has more than 1000 classes");
        }
        free(text);
    }
}

static void remember_warning(void *user, eq_log_level level, const char *line)
{
    if (level == EQ_LOG_WARNING)
        snprintf(user, 256, "%s", line);
}

static void empty_columns_are_dropped_with_a_warning(void **state)
{
    char warning[256] = "";
    eq_set_log(ctx, remember_warning, warning);
    eq_labels labels = parse_good("file_name,none,g\na,,x\nb,,y\n");
    eq_set_log(ctx, NULL, NULL);
    assert_int_equal(labels.attribute_count, 1);
    assert_string_equal(class_of(&labels, "b", "g"), "y");
    assert_non_null(strstr(warning, "\"none\" has no label"));
    eq_labels_free(&labels);
}

/* Any prefix of a table is read or refused. */
static void truncated_anywhere(void **state)
{
    static const char *const texts[] = {
        "file_name,\"a \"\"b\"\"\"\r\nx.png,\"u,v\"\r\ny.png,w\r\n",
        "{\"file_name\":\"a\",\"g\":\"\\u00e9\"}\n{\"file_name\":\"b\",\"g\":null}\n",
    };
    for (int i = 0; i < 2; i++) {
        for (size_t size = 0; size <= strlen(texts[i]); size++) {
            eq_labels labels;
            eq_status status = parse(texts[i], size, &labels);
            assert_true(status == EQ_OK || status == EQ_BAD_INPUT);
            eq_labels_free(&labels);
        }
    }
}

static void matching_counts_both_sides(void **state)
{
    eq_labels labels = parse_good("file_name,g\nimages/a.png,x\nimages/b.png,y\nother/b.png,y\nimages/c.png,x\n");
    int64_t rows[3];
    eq_labels_match match;
    eq_names full = {(char *[]){"images/a.png", "images/z.png", "other/b.png"}, 3};
    assert_int_equal(eq_labels_match_images(ctx, &labels, &full, rows, &match), EQ_OK);
    assert_int_equal(rows[0], 0);
    assert_int_equal(rows[1], -1);
    assert_int_equal(rows[2], 2);
    assert_int_equal(match.matched, 2);
    assert_int_equal(match.images_unmatched, 1);
    assert_int_equal(match.labels_unmatched, 2);

    /* Inside the folder itself: by the last part, where that is unambiguous. */
    eq_names within = {(char *[]){"c.png", "b.png", "a.png"}, 3};
    assert_int_equal(eq_labels_match_images(ctx, &labels, &within, rows, &match), EQ_OK);
    assert_int_equal(rows[0], 3);
    assert_int_equal(rows[1], -1);
    assert_int_equal(rows[2], 0);
    assert_int_equal(match.matched, 2);
    assert_int_equal(match.labels_unmatched, 2);

    eq_names none = {0};
    assert_int_equal(eq_labels_match_images(ctx, &labels, &none, rows, &match), EQ_OK);
    assert_int_equal(match.matched, 0);
    assert_int_equal(match.labels_unmatched, 4);
    eq_labels_free(&labels);
}

static void written_tables_read_back(void **state)
{
    char *path = eq_path_join(*state, "labels.csv");
    eq_labels labels = parse_good("file_name,\"a, \"\"b\"\"\",c\n\"x\ny.png\",\" spaced \",1\nz.png,,2\n"), back;
    assert_int_equal(eq_labels_write_csv(ctx, path, &labels), EQ_OK);
    assert_int_equal(eq_labels_read(ctx, path, &back), EQ_OK);
    assert_int_equal(back.count, 2);
    assert_int_equal(back.attribute_count, 2);
    assert_string_equal(back.attributes[0].name, "a, \"b\"");
    assert_string_equal(class_of(&back, "x\ny.png", "a, \"b\""), " spaced ");
    assert_string_equal(class_of(&back, "z.png", "a, \"b\""), "-");
    assert_string_equal(class_of(&back, "z.png", "c"), "2");
    eq_labels_free(&back);
    eq_labels_free(&labels);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_of_every_flavour),
        cmocka_unit_test(probabilities_are_no_attribute),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(faults_name_the_line),
        cmocka_unit_test(free_text_is_recognised),
        cmocka_unit_test(empty_columns_are_dropped_with_a_warning),
        cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(matching_counts_both_sides),
        cmocka_unit_test_setup_teardown(written_tables_read_back, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
