/* Atomic writing, reading, mapping, folders and listings. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
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

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = eq_path_join(folder, name);
    assert_int_equal(eq_file_write(ctx, path, text, strlen(text)), EQ_OK);
    free(path);
}

static void assert_content(const char *path, const char *expected)
{
    uint8_t *bytes;
    size_t size;
    assert_int_equal(eq_file_read(ctx, path, 1000, &bytes, &size), EQ_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(bytes, expected); /* a zero byte follows */
    free(bytes);
}

static int count_entries;

static int count_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    count_entries += type == FTW_F;
    return 0;
}

static int files_below(const char *folder)
{
    count_entries = 0;
    nftw(folder, count_entry, 16, FTW_PHYS);
    return count_entries;
}

static void commit_replaces_and_abort_keeps(void **state)
{
    char *path = eq_path_join(*state, "a.txt");
    write_text(*state, "a.txt", "old");
    eq_file_writer writer;
    assert_int_equal(eq_file_writer_open(ctx, path, &writer), EQ_OK);
    assert_int_equal(eq_file_writer_write(ctx, &writer, "ne", 2), EQ_OK);
    assert_content(path, "old");
    eq_file_writer_abort(&writer);
    assert_content(path, "old");
    assert_int_equal(files_below(*state), 1);

    /* Two writers at once do not disturb each other; the later commit stays. */
    eq_file_writer other;
    assert_int_equal(eq_file_writer_open(ctx, path, &writer), EQ_OK);
    assert_int_equal(eq_file_writer_open(ctx, path, &other), EQ_OK);
    assert_int_equal(eq_file_writer_printf(ctx, &writer, "%s%d", "new", 1), EQ_OK);
    assert_int_equal(eq_file_writer_printf(ctx, &other, "new%d", 2), EQ_OK);
    assert_int_equal(eq_file_writer_commit(ctx, &writer), EQ_OK);
    assert_content(path, "new1");
    assert_int_equal(eq_file_writer_commit(ctx, &other), EQ_OK);
    assert_content(path, "new2");
    assert_int_equal(files_below(*state), 1);
    free(path);
}

static void a_name_of_full_length_is_writable(void **state)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    write_text(*state, name, "text");
    assert_int_equal(files_below(*state), 1);
}

static void writing_where_one_cannot(void **state)
{
    eq_file_writer writer;
    assert_int_equal(eq_file_writer_open(ctx, "/nonexistent/a.txt", &writer), EQ_IO_ERROR);
    assert_non_null(strstr(eq_last_error(ctx), "/nonexistent/a.txt: its folder does not exist"));
    assert_int_equal(eq_file_writer_open(ctx, *state, &writer), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "it is a folder"));
    /* Renaming over a device would replace it. */
    assert_int_equal(eq_file_writer_open(ctx, "/dev/null", &writer), EQ_BAD_USAGE);
    eq_file_writer_abort(&writer);
}

/* A limit on the file's size stands for a full disk. */
static void a_failed_write_keeps_the_old_file(void **state)
{
    char *path = eq_path_join(*state, "a.txt");
    static char large[100000];
    write_text(*state, "a.txt", "old");
    struct rlimit old, limited;
    getrlimit(RLIMIT_FSIZE, &old);
    limited = old;
    limited.rlim_cur = 5000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limited);
    eq_status status = eq_file_write(ctx, path, large, sizeof large);
    /* 6000 bytes may all be in the stream's buffer until the commit. */
    eq_status late = eq_file_write(ctx, path, large, 6000);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, EQ_IO_ERROR);
    assert_int_equal(late, EQ_IO_ERROR);
    assert_non_null(strstr(eq_last_error(ctx), path));
    assert_content(path, "old");
    assert_int_equal(files_below(*state), 1);
    free(path);
}

static void a_full_disk_has_a_remedy(void **state)
{
    assert_int_equal(eq_fail_system(ctx, "write", "out/a.png", ENOSPC), EQ_IO_ERROR);
    assert_non_null(strstr(eq_last_error(ctx), "cannot write out/a.png: no space left on the disk; free some"));
    assert_int_equal(eq_fail_system(ctx, "read", "a.png", EACCES), EQ_IO_ERROR);
    assert_non_null(strstr(eq_last_error(ctx), "permissions"));
}

static void reading_has_a_limit(void **state)
{
    char *path = eq_path_join(*state, "a.txt");
    uint8_t *bytes;
    size_t size;
    write_text(*state, "a.txt", "12345");
    assert_int_equal(eq_file_read(ctx, path, 5, &bytes, &size), EQ_OK);
    free(bytes);
    assert_int_equal(eq_file_read(ctx, path, 4, &bytes, &size), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), path));
    assert_null(bytes);
    assert_int_equal(eq_file_read(ctx, "/dev/zero", 100000, &bytes, &size), EQ_BAD_INPUT);
    assert_int_equal(eq_file_read(ctx, *state, 5, &bytes, &size), EQ_BAD_INPUT);
    assert_int_equal(eq_file_read(ctx, "/nonexistent", 5, &bytes, &size), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "cannot read /nonexistent: no such file"));
    write_text(*state, "a.txt", "");
    assert_content(path, "");
    free(path);
}

static void mapping(void **state)
{
    char *path = eq_path_join(*state, "a.txt");
    eq_mapping map;
    assert_int_equal(eq_mapping_open(ctx, path, &map), EQ_BAD_INPUT);
    write_text(*state, "a.txt", "12345");
    assert_int_equal(eq_mapping_open(ctx, path, &map), EQ_OK);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.bytes, "12345", 5);
    eq_mapping_close(&map);
    write_text(*state, "a.txt", "");
    assert_int_equal(eq_mapping_open(ctx, path, &map), EQ_OK);
    assert_null(map.bytes);
    eq_mapping_close(&map);
    assert_int_equal(eq_mapping_open(ctx, *state, &map), EQ_BAD_INPUT);
    free(path);
}

static void assert_path(char *actual, const char *expected)
{
    assert_string_equal(actual, expected);
    free(actual);
}

static void paths(void **state)
{
    assert_path(eq_path_join("a", "b"), "a/b");
    assert_path(eq_path_join("a/", "b"), "a/b");
    assert_path(eq_path_join("", "b"), "b");
    assert_path(eq_path_join("a", "/b"), "/b");
    assert_path(eq_path_folder("a/b/c"), "a/b");
    assert_path(eq_path_folder("c"), ".");
    assert_path(eq_path_folder("/c"), "/");
    assert_string_equal(eq_path_name("a/b"), "b");
    assert_string_equal(eq_path_name("b"), "b");
    assert_true(eq_path_has_extension("a.PNG", ".png"));
    assert_false(eq_path_has_extension(".png", ".png"));
    assert_false(eq_path_has_extension("png", ".png"));
}

static void folders(void **state)
{
    char *deep = eq_path_join(*state, "a/b//c/");
    assert_int_equal(eq_make_folders(ctx, deep), EQ_OK);
    assert_true(eq_path_is_folder(deep));
    assert_int_equal(eq_make_folders(ctx, deep), EQ_OK);
    free(deep);
    write_text(*state, "file", "");
    deep = eq_path_join(*state, "file/below");
    assert_int_equal(eq_make_folders(ctx, deep), EQ_BAD_USAGE);
    assert_non_null(strstr(eq_last_error(ctx), "a file of that name exists"));
    assert_false(eq_path_exists(deep));
    free(deep);
    assert_int_equal(eq_make_folders(ctx, ""), EQ_BAD_USAGE);
}

static void listings_are_sorted(void **state)
{
    char *below = eq_path_join(*state, "sub/x.png"), *link = eq_path_join(*state, "sub/loop");
    assert_int_equal(eq_make_folders(ctx, below), EQ_OK); /* a folder, in spite of its name */
    write_text(*state, "b.png", "");
    write_text(*state, "a.JPEG", "");
    write_text(*state, "c.webp", "");
    write_text(*state, "B.jpg", "");
    write_text(*state, ".hidden.png", "");
    write_text(*state, "notes.txt", "");
    write_text(*state, "sub/y.png", "");
    write_text(*state, "sub/x.png/z.png", "");
    assert_int_equal(symlink(*state, link), 0);

    eq_names names;
    assert_int_equal(eq_list_images(ctx, *state, false, &names), EQ_OK);
    static const char *const flat[] = {"B.jpg", "a.JPEG", "b.png", "c.webp"};
    assert_int_equal(names.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(names.name[i], flat[i]);
    eq_names_free(&names);

    assert_int_equal(eq_list_images(ctx, *state, true, &names), EQ_OK);
    assert_int_equal(names.count, 6);
    assert_string_equal(names.name[4], "sub/x.png/z.png");
    assert_string_equal(names.name[5], "sub/y.png");
    eq_names_free(&names);

    assert_int_equal(eq_list_images(ctx, "/nonexistent", true, &names), EQ_BAD_INPUT);
    free(below);
    below = eq_path_join(*state, "b.png");
    assert_int_equal(eq_list_images(ctx, below, true, &names), EQ_BAD_INPUT);
    assert_non_null(strstr(eq_last_error(ctx), "not a folder"));
    free(below);
    free(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_replaces_and_abort_keeps, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(a_name_of_full_length_is_writable, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(writing_where_one_cannot, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_keeps_the_old_file, temporary_setup, temporary_teardown),
        cmocka_unit_test(a_full_disk_has_a_remedy),
        cmocka_unit_test_setup_teardown(reading_has_a_limit, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(mapping, temporary_setup, temporary_teardown),
        cmocka_unit_test(paths),
        cmocka_unit_test_setup_teardown(folders, temporary_setup, temporary_teardown),
        cmocka_unit_test_setup_teardown(listings_are_sorted, temporary_setup, temporary_teardown),
    };
    return cmocka_run_group_tests(tests, make_context, drop_context);
}
