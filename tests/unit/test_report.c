/* Reports: what they say, that they stand alone, that nothing in a run's folder can break out of its text, and that
 * whatever is missing or of the wrong type is left out. */
#include "unit/report_run.h"

static void assert_says(const char *html, const char *text)
{
    if (!strstr(html, text))
        fail_msg("the report does not say: %s", text);
}

static void assert_silent(const char *html, const char *text)
{
    const char *found = strstr(html, text);
    if (found)
        fail_msg("the report says: %.80s", found);
}

static int count_of(const char *html, const char *text)
{
    int count = 0;
    for (const char *at = html; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

/* -- tests -- */

static void text_is_escaped(void **state)
{
    eq_html html = {0};
    eq_html_text(&html,
                 "a<b>&\"'\n\t\x01\x7f\xff \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc0\x80 \xed\xa0\x80 \xe2\x82");
    assert_string_equal(html.text, "a&lt;b&gt;&amp;&quot;&#39;\n\t\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xc3\xa9 "
                                   "\xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd "
                                   "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd");
    eq_html_free(&html);
    eq_html_format(&html, "<b title=\"%s\">%d %zu %5.2f%% %g</b>", "\"<", -3, (size_t)9, 1.256, 0.5);
    assert_string_equal(html.text, "<b title=\"&quot;&lt;\">-3 9  1.26% 0.5</b>");
    eq_html_free(&html);
    assert_null(html.text);
}

/* The vectors of RFC 4648, section 10. */
static void base64(void **state)
{
    const char *const expected[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t size = 0; size <= 6; size++) {
        eq_html html = {0};
        eq_html_png_uri(&html, (const uint8_t *)"foobar", size);
        assert_string_equal(html.text + strlen("data:image/png;base64,"), expected[size]);
        eq_html_free(&html);
    }
}

static void says_what_was_obtained(void **state)
{
    sample after = good("after", 64, 32), before = good("before", 64, 15);
    write_run(&after);
    write_run(&before);
    char *html = report_of("after", "before");
    assert_says(html, "<h1>64 images, 50.0% female (95% interval 38\u201362), asked 50%; before: 23%.</h1>");
    assert_says(html, "Within sampling noise of the target");
    assert_says(html, "32 of 64 \u00b7 50.0%");
    assert_says(html, "15 of 64 \u00b7 23.4%");
    assert_says(html, "<b>17 of 64</b> images changed class");
    assert_says(html, "<b>1.000</b>");  /* chi-square p of exact counts */
    assert_says(html, "95.0%");         /* from the evaluator's confusion */
    assert_says(html, "before 0.376");  /* FD: sqrt(2) (32 - 15) / 64 */
    assert_says(html, "<td>2.25</td>"); /* Frechet distance: 1.5 squared */
    assert_says(html, "Precision 0.0%");
    assert_says(html, "<b>31.2 dB</b>");
    assert_says(html, "between unrelated images 7");
    assert_says(html, "Deviation ratio");
    assert_says(html, "equipoise generate");
    assert_says(html, "abc123");
    assert_says(html, "def456");
    assert_says(html, "3.2</dd>");  /* images a second */
    assert_says(html, "6.25</dd>"); /* passes an image */
    assert_says(html, "123 MB</dd>");
    assert_says(html, "Made by Equipoise 1.2.3");
    assert_int_equal(count_of(html, "data:image/png"), 2);
    free(html);

    html = report_of("before", NULL);
    assert_says(html, "Off the target");
    assert_says(html, "<h1>64 images, 23.4% female");
    assert_silent(html, "class=\"earlier\"");
    assert_says(html, "No unguided twin was given");
    assert_int_equal(count_of(html, "data:image/png"), 1);
    free(html);
}

/* Whatever part of the run the evaluator had, in red at the top; nothing where it had none. */
static void marks_self_grading(void **state)
{
    static const struct {
        const char *parts, *text;
    } cases[] = {
        {"[\"guided\"]", "the classifier that guided. What"},
        {"[\"labelled\", \"chose\"]", "the classifier that labelled for the predictors and chose the images. What"},
        {"[\"chose\", \"guided\", \"labelled\"]",
         "the classifier that labelled for the predictors, guided and chose the images. What"},
        {"[]", NULL},
        {"[7, \"<b>\"]", NULL},
        {"true", NULL},
    };
    sample s = good("judged", 8, 4);
    write_run(&s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = run_json(&s);
        json_object_set_new(json, "self_grading", json_loads(cases[i].parts, JSON_DECODE_ANY, NULL));
        write_json(&s, json);
        json_decref(json);
        char *html = report_of("judged", NULL);
        if (cases[i].text) {
            assert_says(html, "<p style=\"color:#c00000");
            assert_says(html, cases[i].text);
            assert_true(strstr(html, "Self-grading") < strstr(html, "<h2 id=\"verdict\">"));
        } else {
            assert_silent(html, "Self-grading");
        }
        free(html);
    }
}

static void stands_alone(void **state)
{
    sample run = good("run", 8, 3);
    write_run(&run);
    char *html = report_of("run", "run");
    assert_silent(html, "http:");
    assert_silent(html, "https:");
    assert_silent(html, "<script");
    assert_silent(html, "<link");
    assert_silent(html, "@import");
    assert_says(html, "default-src 'none'");
    assert_says(html, "prefers-color-scheme:dark");
    assert_says(html, "@media print");
    /* Links lead to what is there. */
    for (const char *at = html; (at = strstr(at, "href=\"#")); at++) {
        char name[64], id[80];
        assert_int_equal(sscanf(at, "href=\"#%63[a-z]", name), 1);
        snprintf(id, sizeof(id), " id=\"%s\"", name);
        assert_int_equal(count_of(html, id), 1);
    }
    free(html);
}

static int sextet(char c)
{
    const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return c == '=' ? 0 : (int)(strchr(digits, c) - digits);
}

static eq_image sprite_of(const char *html)
{
    const char *text = strstr(html, "base64,") + strlen("base64,");
    size_t length = strcspn(text, ")\"");
    uint8_t *bytes = malloc(length);
    size_t size = 0;
    for (size_t i = 0; i + 3 < length; i += 4) {
        int group = sextet(text[i]) << 18 | sextet(text[i + 1]) << 12 | sextet(text[i + 2]) << 6 | sextet(text[i + 3]);
        for (int shift = 16; shift >= 0; shift -= 8)
            bytes[size++] = (uint8_t)(group >> shift);
    }
    eq_image image;
    assert_int_equal(eq_image_decode(ctx, bytes, size, "the sprite", &image), EQ_OK);
    free(bytes);
    return image;
}

/* Each tile shows the image whose name it bears. */
static void tiles_show_their_images(void **state)
{
    sample run = good("run", 47, 20);
    write_run(&run);
    char *html = report_of("run", NULL);
    eq_image sprite = sprite_of(html);
    int columns = sprite.width / SIDE, rows = sprite.height / SIDE, seen = 0;
    assert_int_equal(columns, 20);
    assert_int_equal(rows, 3);
    for (const char *at = html; (at = strstr(at, "background-position:")); at++) {
        double x, y;
        int number;
        assert_int_equal(sscanf(at, "background-position:%lf%% %lf%%\" title=\"%d.png", &x, &y, &number), 3);
        int column = (int)lround(x * (columns - 1) / 100), row = (int)lround(y * (rows - 1) / 100);
        const uint8_t *pixel =
            sprite.pixels + ((size_t)(row * SIDE) * (size_t)sprite.width + (size_t)(column * SIDE)) * 3;
        assert_int_equal(pixel[0], number);
        assert_int_equal(pixel[2], 77);
        seen++;
    }
    assert_int_equal(seen, VIEWS * run.n);
    assert_int_equal(count_of(html, "unsure\" style"), 2);
    assert_says(html, "000001.png, 61% sure");
    eq_image_free(&sprite);
    free(html);
}

static void large_sets_are_cut(void **state)
{
    sample run = good("run", 403, 402);
    write_run(&run);
    char *html = report_of("run", NULL);
    assert_says(html, "The first 400 of 403 images are shown");
    assert_int_equal(count_of(html, "<i class=\"tile"), VIEWS * 400);
    assert_says(html, "1 of 403 \u00b7 0.2%");
    assert_says(html, "none among those shown");
    free(html);
}

static void hostile_text_stays_text(void **state)
{
    sample run = good("run", 6, 3);
    run.gender = "</style><script>alert(1)</script>";
    run.classes[0] = "<img src=x onerror=alert(2)>";
    run.classes[1] = "' onload='alert(3)' & \xe2\x80\xae";
    run.evaluator = "--><svg onload=alert(4)>%s%n";
    run.command = "</code></pre><iframe src=http://x>";
    write_run(&run);
    char *html = report_of("run", "run");
    assert_silent(html, "<script");
    assert_silent(html, "<img");
    assert_silent(html, "<svg onload");
    assert_silent(html, "<iframe");
    assert_silent(html, "' onload");
    assert_says(html, "too few"); /* KID of three images a class */
    assert_says(html, "&lt;script&gt;alert(1)&lt;/script&gt;");
    assert_says(html, "&#39; onload=&#39;alert(3)&#39; &amp;");
    assert_says(html, "%s%n");
    assert_int_equal(count_of(html, "</style>"), 1);
    free(html);
}

/* The manifest may not make the report show other files. */
static void files_outside_are_refused(void **state)
{
    const char *const files[] = {"../secret.png", "/etc/secret.png", "images/../../secret.png", ".."};
    sample run = good("run", 2, 1);
    write_run(&run);
    write_text("", "report.html", "what was there before");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char line[256];
        snprintf(line, sizeof(line),
                 "{\"file\": \"%s\", \"seed\": 7, \"index\": 0, \"batch\": 0, \"target_class\": {}, \"adp\": {}, "
                 "\"guided\": true}\n",
                 files[i]);
        write_text("run", "manifest.jsonl", line);
        assert_int_equal(eq_report_write(ctx, in_folder("run", ""), NULL, in_folder("report.html", "")), EQ_BAD_INPUT);
        assert_non_null(strstr(eq_last_error(ctx), "manifest.jsonl"));
    }
    /* A report that fails leaves the old file. */
    uint8_t *bytes;
    size_t size;
    assert_int_equal(eq_file_read(ctx, in_folder("report.html", ""), 1000, &bytes, &size), EQ_OK);
    assert_string_equal((char *)bytes, "what was there before");
    free(bytes);
}

static void faults_of_files(void **state)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/report.html", folder);
    assert_int_equal(eq_make_folders(ctx, in_folder("empty", "")), EQ_OK);
    assert_int_equal(eq_report_write(ctx, in_folder("empty", ""), NULL, path), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "run.json"));
    assert_int_equal(eq_report_write(ctx, in_folder("missing", ""), NULL, path), EQ_BAD_INPUT);
    sample run = good("run", 4, 2);
    write_run(&run);
    assert_int_equal(eq_report_write(ctx, in_folder("run", ""), in_folder("empty", ""), path), EQ_BAD_INPUT);
    write_text("run", "labels.csv", "file_name,gender\n\"never closed");
    assert_int_equal(eq_report_write(ctx, in_folder("run", ""), NULL, path), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "labels.csv"));
    assert_false(eq_path_exists(path));
}

static void parts_may_be_missing(void **state)
{
    sample run = good("run", 6, 2);
    run.labels = false;
    write_run(&run);
    char *html = report_of("run", NULL);
    assert_says(html, "there is no labels.csv");
    assert_int_equal(count_of(html, "<i class=\"tile"), VIEWS * 6);
    free(html);

    write_text("run", "images/000002.png", "not an image");
    assert_int_equal(remove(in_folder("run", "images/000004.png")), 0);
    html = report_of("run", NULL);
    assert_says(html, "2 images could not be read");
    assert_int_equal(count_of(html, "<i class=\"tile"), VIEWS * 4);
    free(html);

    sample bare = good("bare", 6, 2);
    bare.labels = bare.manifest = bare.images = false;
    write_run(&bare);
    write_text("bare", "run.json", "{}");
    html = report_of("bare", "bare");
    assert_says(html, "0 images, not graded");
    assert_says(html, "The run holds no evaluation: there is no verdict.");
    assert_says(html, "There are no readable images");
    assert_says(html, "The run holds no predictions per step");
    assert_says(html, "nothing was measured");
    assert_says(html, "The run does not hold its command line");
    assert_says(html, "The run does not say which model made it");
    assert_says(html, "The run holds no settings");
    assert_says(html, "The run does not say what it cost");
    free(html);

    /* Images without a manifest are found; all else is still missing. */
    write_image(&bare, 3);
    html = report_of("bare", NULL);
    assert_says(html, "1 image, not graded");
    assert_says(html, "000003.png");
    free(html);
}

/* Replaces each value in `node` by two of another type or size, in turn, and writes the report each time. */
static int mutate(const sample *s, json_t *root, json_t *node, int written)
{
    static const char *const others[] = {"null", "true", "-7", "1e300", "\"x\"", "[]", "{}", "[-1.5, 2.5, 1e300]"};
    size_t count = json_is_object(node) ? json_object_size(node) : json_array_size(node);
    for (size_t i = 0; i < count; i++) {
        void *at = json_object_iter(node);
        for (size_t k = 0; json_is_object(node) && k < i; k++)
            at = json_object_iter_next(node, at);
        char *key = at ? strdup(json_object_iter_key(at)) : NULL;
        json_t *value = json_incref(key ? json_object_get(node, key) : json_array_get(node, i));
        written = mutate(s, root, value, written);
        for (int k = 0; k < 2; k++, written++) {
            json_t *other = json_loads(others[(written * 3) % 8], JSON_DECODE_ANY, NULL);
            assert_int_equal(key ? json_object_set_new(node, key, other) : json_array_set_new(node, i, other), 0);
            write_json(s, root);
            free(report_of(s->name, s->name));
        }
        assert_int_equal(key ? json_object_set_new(node, key, value) : json_array_set_new(node, i, value), 0);
        free(key);
    }
    return written;
}

static void any_value_may_be_wrong(void **state)
{
    sample run = good("run", 3, 1);
    write_run(&run);
    json_t *root = run_json(&run);
    assert_true(mutate(&run, root, root, 0) > 200);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(base64),
        cmocka_unit_test_setup_teardown(says_what_was_obtained, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(marks_self_grading, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(stands_alone, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(tiles_show_their_images, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(large_sets_are_cut, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(hostile_text_stays_text, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(files_outside_are_refused, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(faults_of_files, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(parts_may_be_missing, setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(any_value_may_be_wrong, setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
